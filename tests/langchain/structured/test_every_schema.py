"""Every kind of schema, every method, both engines: a valid value, or field and keyword.

The model writes at random whatever the grammar allows.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from functools import partial

import pytest

from langchain_rocm import ChatRocm
from langchain_rocm.conversion.schemas import wanted
from langchain_rocm.conversion.tools import openai_tool
from langchain_rocm.structured import METHODS
from rocm_core import TextModel
from rocm_core.config import Engine
from rocm_core.requests import is_object
from tests.support.adapters.filled import ANY_TOKEN, outcome
from tests.support.models.walker import WALKER
from tests.support.pydantic_models import CHECKED, SCHEMAS
from tests.support.schemas.walking import fits

SEEDS = (1, 2)
# Schemas of objects that any engine can be sent: what tools may have for arguments.
OBJECTS = [
    name
    for name, schema in SCHEMAS.items()
    if is_object(wanted(schema).schema)
    and name not in ("raw-impossible", "raw-dangling reference", "raw-untitled")
]


@pytest.fixture(scope="module")
def walk(engine: Engine, walker: TextModel) -> Iterator[ChatRocm]:
    walk = ChatRocm(model=WALKER, engine=engine, max_tokens=2000, **ANY_TOKEN)
    yield walk
    walk.close()


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_valid_value_or_field_and_keyword(walk: ChatRocm, name: str) -> None:
    for method, seed in itertools.product(METHODS, SEEDS):
        asked = walk.with_structured_output(SCHEMAS[name], method=method)  # type: ignore[arg-type]
        found = outcome(partial(asked.invoke, "?", seed=seed), name)
        assert found == "valid" or name in CHECKED, (method, seed)


@pytest.mark.parametrize("name", OBJECTS)
def test_a_named_tool_has_arguments_of_the_schema(walk: ChatRocm, name: str) -> None:
    tool = openai_tool(SCHEMAS[name])
    choice = tool["function"]["name"]
    bound = walk.bind_tools([tool], tool_choice=choice)
    for seed in SEEDS:
        answer = bound.invoke("?", seed=seed)
        if answer.invalid_tool_calls:  # no grammar rules out a number beyond the range of a float
            [invalid] = answer.invalid_tool_calls
            assert re.search(r"^\$.+ is out of range \(number\)$", str(invalid["error"]))
            continue
        [call] = answer.tool_calls
        assert call["name"] == choice
        assert name in CHECKED or fits(call["args"], tool["function"]["parameters"])


@pytest.mark.parametrize("name", OBJECTS)
def test_a_tool_that_may_be_called_is_accepted(walk: ChatRocm, name: str) -> None:
    """llama-server makes a grammar of every tool, whether it is called or not."""
    walk.bind_tools([openai_tool(SCHEMAS[name])]).invoke("?", max_tokens=2)
