"""LangChain's own standard suites, on the demo model in the embedded engine.

No standard test is overridden. What this package does not claim is said by the properties.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("langchain_tests", reason="pip install langchain-tests runs these")

from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from langchain_rocm import ChatRocm

PARAMS = {"model": "demo", "engine": "embedded"}


@pytest.fixture(scope="module", autouse=True)
def _one_server() -> Iterator[None]:
    """Keep a share in the server, so that each test's own model finds it running."""
    chat = ChatRocm(**PARAMS)  # type: ignore[arg-type]
    chat.text_model.load()
    yield
    chat.close()


class Claims:
    """What is tested, and what it does not claim."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatRocm

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return PARAMS

    @property
    def has_tool_calling(self) -> bool:
        return False

    @property
    def has_tool_choice(self) -> bool:
        return False

    @property
    def has_structured_output(self) -> bool:
        return False


class TestUnit(Claims, ChatModelUnitTests):
    """No server, no model."""


class TestIntegration(Claims, ChatModelIntegrationTests):
    """Against the running server."""
