"""One server of the walker per engine for all tests of schemas."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rocm_core import TextModel, load_model
from rocm_core.config import Engine
from tests.support.models.walker import WALKER


@pytest.fixture(scope="session")
def walker(engine: Engine) -> Iterator[TextModel]:
    """A model that takes every next step by chance."""
    with load_model(WALKER, engine=engine) as model:
        model.load()
        yield model
