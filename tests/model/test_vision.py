"""Images on the real engines: a text model with the smallest vision encoder there is."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from rocm_core import GenerateConfig, TextModel, load_model
from rocm_core.config import Engine
from rocm_core.errors import InvalidRequest, RocmError
from rocm_core.types import Usage

pytest.importorskip("gguf")

from tests.support.models.pictures import eyes_for, png
from tests.support.models.reciter import RECITER
from tests.support.models.vision import PATCHES


def asking(text: str, *pictures: bytes) -> list[dict[str, object]]:
    parts: list[dict[str, object]] = [{"type": "text", "text": text}]
    for picture in pictures:
        url = "data:image/png;base64," + base64.b64encode(picture).decode()
        parts.append({"type": "image_url", "image_url": {"url": url}})
    return [{"role": "user", "content": parts}]


def prompt_tokens(model: TextModel, messages: list[dict[str, object]]) -> int:
    usage: Usage | None = None
    for event in model.chat_events(messages, GenerateConfig(max_tokens=4)):
        usage = event.usage or usage
    assert usage is not None
    return usage.prompt_tokens


@pytest.fixture(scope="module")
def seeing(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TextModel]:
    path = eyes_for(RECITER, tmp_path_factory.mktemp("vision") / "mmproj.gguf")
    with load_model(RECITER, engine=engine, mmproj=path) as model:
        yield model


def test_the_server_says_that_it_takes_pictures(seeing: TextModel, model: TextModel) -> None:
    seeing.load()
    assert seeing.info.modalities["vision"] is True
    assert model.info.modalities["vision"] is False


def test_a_picture_becomes_tokens_of_the_prompt(seeing: TextModel) -> None:
    plain = prompt_tokens(seeing, asking("What is this?"))
    red, wide = png(28, 28, (255, 0, 0)), png(90, 40, (0, 0, 255))
    assert prompt_tokens(seeing, asking("What is this?", red)) >= plain + PATCHES
    both = prompt_tokens(seeing, asking("What is this?", red, wide))
    assert both >= plain + 2 * PATCHES


def test_a_broken_picture_is_an_error(seeing: TextModel) -> None:
    with pytest.raises(InvalidRequest, match="(?i)image|media|bitmap"):
        prompt_tokens(seeing, asking("What is this?", b"no picture"))


def test_a_model_without_eyes_says_so(model: TextModel) -> None:
    with pytest.raises(RocmError, match="(?i)image|mmproj"):
        prompt_tokens(model, asking("What is this?", png(28, 28, (0, 255, 0))))
