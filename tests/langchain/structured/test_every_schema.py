"""Every kind of schema, every method, both engines: a valid value, or field and keyword.

The model writes at random whatever the grammar allows.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from langchain_rocm import ChatRocm
from langchain_rocm.structured import METHODS
from rocm_core import TextModel
from rocm_core.config import Engine
from tests.support.adapters.filled import outcome
from tests.support.models.random_walk import RANDOM_WALK, WALK
from tests.support.pydantic_models import CHECKED, SCHEMAS

SEEDS = (1, 2)


@pytest.fixture(scope="module")
def walk(engine: Engine, random_walk: TextModel) -> Iterator[ChatRocm]:
    walk = ChatRocm(model=RANDOM_WALK, engine=engine, max_tokens=2000, **WALK)
    yield walk
    walk.close()


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_valid_value_or_field_and_keyword(walk: ChatRocm, name: str) -> None:
    for method in METHODS:
        asked = walk.with_structured_output(SCHEMAS[name], method=method)
        for seed in SEEDS:
            found = outcome(lambda asked=asked, seed=seed: asked.invoke("?", seed=seed), name)
            assert found == "valid" or name in CHECKED, (method, seed)
