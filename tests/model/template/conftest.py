"""Models with the chat templates of published ones; ``tests/README.md`` says how to get those."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rocm_core import TextModel, load_model
from rocm_core.config import Engine
from tests.support.models.reciter import RECITER
from tests.support.templates import template_names, template_text


@pytest.fixture(scope="module", params=template_names() or ["none"])
def name(request: pytest.FixtureRequest) -> str:
    """A template; all tests of a module on one server of it run one after the other."""
    if request.param == "none":
        pytest.skip("no chat templates here: see tests/README.md")
    return str(request.param)


@pytest.fixture(scope="module")
def published(engine: Engine, name: str) -> Iterator[TextModel]:
    """A model with that template."""
    with load_model(RECITER, engine=engine, chat_template=template_text(name)) as model:
        model.load()
        yield model
