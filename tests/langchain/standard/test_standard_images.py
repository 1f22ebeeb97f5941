"""The image tests of LangChain's standard suite, on a model with eyes.

The suite takes its picture from the internet; here it gets one of ours from the same call. The
vision encoder has random weights: what counts is that every form of image reaches the engine.
"""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

pytest.importorskip("langchain_tests", reason="pip install langchain-tests runs these")
pytest.importorskip("gguf", reason="the vision encoder is written by it")

from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests

from langchain_rocm import ChatRocm
from rocm_core.config import Engine
from rocm_core.demo import demo_model_path
from tests.support.models.pictures import eyes_for, png


class Seeing(ChatModelIntegrationTests):
    """The suite's own methods, with what this model claims."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatRocm

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def supports_image_tool_message(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True


@pytest.fixture(scope="module")
def seeing(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatRocm]:
    eyes = eyes_for(demo_model_path(), tmp_path_factory.mktemp("vision") / "mmproj.gguf")
    chat = ChatRocm(model="demo", engine=engine, mmproj=str(eyes), temperature=0, max_tokens=60)
    yield chat
    chat.close()


@pytest.mark.parametrize(
    "test", ["test_image_inputs", "test_image_tool_message", "test_anthropic_inputs"]
)
def test_standard(seeing: ChatRocm, monkeypatch: pytest.MonkeyPatch, test: str) -> None:
    asked: list[str] = []

    def get(url: str, **_: object) -> httpx.Response:
        asked.append(url)
        return httpx.Response(200, content=png(56, 28, (200, 30, 30)))

    monkeypatch.setattr(httpx, "get", get)
    getattr(Seeing(), test)(seeing)
    assert asked
