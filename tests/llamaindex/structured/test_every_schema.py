"""Every pydantic class, every way to ask, both engines: an object, or field and keyword.

The model writes at random whatever the grammar allows.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from llama_index.core import PromptTemplate
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.program import FunctionCallingProgram
from pydantic import BaseModel

from llama_index_rocm import RocmLLM
from llama_index_rocm.structured import read_object
from rocm_core import TextModel
from rocm_core.config import Engine
from tests.support.adapters.filled import ANY_TOKEN, outcome
from tests.support.models.walker import WALKER
from tests.support.pydantic_models import CHECKED, SCHEMAS

ASK = PromptTemplate("?")
SEEDS = (1, 2)


@pytest.fixture(scope="module")
def walk(engine: Engine, walker: TextModel) -> Iterator[RocmLLM]:
    walk = RocmLLM(model=WALKER, engine=engine, max_tokens=2000, **ANY_TOKEN)
    yield walk
    walk.close()


def _schema(llm: RocmLLM, cls: type[BaseModel], seed: int) -> Any:
    return llm.structured_predict(cls, ASK, {"seed": seed})


def _stream(llm: RocmLLM, cls: type[BaseModel], seed: int) -> Any:
    return list(llm.stream_structured_predict(cls, ASK, {"seed": seed}))[-1]


def _call(llm: RocmLLM, cls: type[BaseModel], seed: int) -> Any:
    program = FunctionCallingProgram.from_defaults(cls, prompt=ASK, llm=llm)
    return program(llm_kwargs={"seed": seed})


def _json(llm: RocmLLM, cls: type[BaseModel], seed: int) -> Any:
    wanted = {"type": "json_object", "schema": cls.model_json_schema()}
    return read_object(cls, llm.chat([ChatMessage("?")], response_format=wanted, seed=seed))


WAYS: list[Callable[[RocmLLM, type[BaseModel], int], Any]] = [_schema, _stream, _call, _json]
CLASSES = {
    name: schema
    for name, schema in SCHEMAS.items()
    if isinstance(schema, type) and issubclass(schema, BaseModel)
}


@pytest.mark.parametrize("name", CLASSES)
def test_an_object_or_field_and_keyword(walk: RocmLLM, name: str) -> None:
    for way, seed in itertools.product(WAYS, SEEDS):
        found = outcome(partial(way, walk, CLASSES[name], seed), name)
        assert found in _expected(way) or name in CHECKED, (way, seed)


def _expected(way: Any) -> tuple[str, ...]:
    """A call, unlike an answer, has to be sent back in the next turn: as JSON, without infinity."""
    return ("valid", "beyond") if way is _call else ("valid",)
