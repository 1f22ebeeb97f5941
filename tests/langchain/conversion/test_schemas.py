"""Every kind of schema, as an answer and as a tool: what is sent is what was given."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from langchain_core.tools import InjectedToolArg, StructuredTool, Tool, tool
from pydantic import BaseModel, TypeAdapter, ValidationError
from typing_extensions import Annotated, TypedDict  # noqa: UP035

from langchain_rocm import ChatRocm, errors
from langchain_rocm.conversion.schemas import wanted
from langchain_rocm.conversion.tools import openai_tool
from langchain_rocm.structured import tool_of
from rocm_core.requests import VALUE
from tests.support.pydantic_models import SCHEMAS
from tests.support.pydantic_models.aliases import Refs
from tests.support.pydantic_models.behavior import Strict
from tests.support.pydantic_models.collections import Point
from tests.support.pydantic_models.nested import Person
from tests.support.pydantic_models.other_kinds import Harbor, Joke, Sparse, Voyage, Wind
from tests.support.pydantic_models.recursion import Node
from tests.support.pydantic_models.roots import Words

SPECS = ("raw-function", "raw-tool", "raw-anthropic")


def _parameters(given: Any, **options: Any) -> Any:
    return openai_tool(given, **options)["function"]["parameters"]


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_schema_is_the_one_that_was_given(name: str) -> None:
    given = SCHEMAS[name]
    found = wanted(given)
    if name in SPECS:
        assert found.name == "move" and found.schema == SCHEMAS["raw-untitled"]
    elif isinstance(given, dict):
        assert found.schema == given
    elif given is not Joke:
        assert found.schema == TypeAdapter(given).json_schema()
    assert tool_of(given)["function"]["parameters"].get("type", "object") == "object"


@pytest.mark.parametrize(
    ("schema", "good", "bad", "fault"),
    [
        ({"title": "L", "type": "array", "items": {"type": "boolean"}}, "[true]", "[1]", r"\b0\b"),
        ({"enum": ["a", 1]}, "1", "2", "enum"),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, "null", '"x"', "anyOf"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "{}", '{"a": "b"}', "a"),
        (SCHEMAS["raw-recursive"], '{"leaf": true}', '{"trees": []}', "required"),
        (Node, '{"name": "a", "children": [{"name": "b"}]}', '{"name": "a", "children": [1]}', "0"),
        (Harbor, '{"piers": 1, "open": false}', '{"piers": 1}', "open"),
        (Wind, '"north"', '"up"', "enum"),
        (list[int], "[1, 2]", '[1, "x"]', r"\b1\b"),
    ],
)
def test_answers_are_checked_against_it(schema: Any, good: str, bad: str, fault: str) -> None:
    from rocm_core.errors import InvalidAnswer

    wanted(schema).read(good)
    with pytest.raises(InvalidAnswer, match=fault):
        wanted(schema).read(bad)


def test_strict_classes_are_read_from_json() -> None:
    text = (
        '{"day": "2024-02-29", "id": "12345678-1234-5678-1234-567812345678", "suit": "hearts",'
        ' "pair": [1, true], "letters": ["a"]}'
    )
    read = wanted(Strict).read(text)
    assert isinstance(read, Strict) and read.pair == (1, True)
    with pytest.raises(ValidationError):
        Strict.model_validate(read.model_dump(mode="json"))


def test_typed_dicts_have_their_types() -> None:
    harbor = '{"piers": 1, "open": true}'
    voyage = wanted(Voyage).read(f'{{"begin": {harbor}, "stops": [], "day": "2024-02-29"}}')
    assert voyage["day"].year == 2024
    assert wanted(Sparse).schema["required"] == ["name", "owner"]


def test_the_notation_of_langchain_is_read() -> None:
    joke = wanted(Joke)
    assert joke.schema["required"] == ["setup"]
    assert joke.schema["properties"]["setup"]["description"] == "The first line"
    assert joke.read('{"setup": "a"}') == {"setup": "a"}

    class Outer(TypedDict):
        inner: Joke

    [nested] = wanted(Outer).schema["$defs"].values()
    assert nested["required"] == ["setup"]


def test_what_is_no_schema() -> None:
    class Thing:
        def __init__(self, other: object) -> None: ...

    for nothing in (3, object(), Thing):
        with pytest.raises(ValueError, match="is no schema|no schema"):
            wanted(nothing)


# ---------------------------------------------------------------------------
# Tools
# ---------------------------------------------------------------------------


def test_recursive_tools_keep_their_recursion() -> None:
    @tool
    def plant(node: Node) -> str:
        """Plant a tree."""
        return node.name

    def water(node: Node, liters: int = 1) -> str:
        """Water a tree."""
        return node.name * liters

    deep = {"name": "a", "children": [{"name": "b", "children": [{"name": "c"}]}]}
    broken = {"name": "a", "children": [{"name": "b", "children": [{"name": 3}]}]}
    cases: list[tuple[Any, Callable[[Any], Any]]] = [
        (Node, lambda value: value),
        (plant, lambda value: {"node": value}),
        (water, lambda value: {"node": value}),
    ]
    for given, arguments in cases:
        schema = _parameters(given)
        jsonschema.validate(arguments(deep), schema)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(arguments(broken), schema)
    assert openai_tool(water)["function"]["description"] == "Water a tree."


def test_schemas_without_properties_are_kept() -> None:
    for name in ("map", "any of objects", "all of", "reference", "pattern properties"):
        schema = SCHEMAS[f"raw-{name}"]
        kept = _parameters(schema)
        for value in ({}, {"x": 1, "y": 2}, {"x": True}, {"x_": 1}, {"name": "a"}, {"z": 1}):
            validator = jsonschema.Draft202012Validator
            assert validator(kept).is_valid(value) == validator(schema).is_valid(value)


def test_a_tool_of_a_protocol_with_a_map_as_schema() -> None:
    """Such as those of MCP, whose schemas are dicts."""
    schema = {"type": "object", "additionalProperties": {"type": "integer"}}
    given = StructuredTool(name="m", description="d", args_schema=schema, func=print)
    assert _parameters(given) == schema


def test_references_are_replaced_and_titles_left_out() -> None:
    parameters = _parameters(Person)
    assert "$defs" not in parameters and "title" not in parameters
    assert parameters["properties"]["home"]["properties"]["number"]["maximum"] == 999
    assert set(_parameters(Refs)["properties"]) == {"$ref", "$defs"}


def test_injected_arguments_are_not_shown() -> None:
    @tool
    def ask(question: str, user: Annotated[str, InjectedToolArg]) -> str:
        """Ask."""
        return question + user

    assert _parameters(ask)["properties"].keys() == {"question"}


def test_tools_of_one_text() -> None:
    given = Tool(name="echo", description="d", func=str)
    assert _parameters(given)["required"] == ["__arg1"]


def test_strict_tools_are_closed() -> None:
    made = openai_tool(Person, strict=True)
    assert made["function"]["strict"] is True
    assert made["function"]["parameters"]["additionalProperties"] is False
    home = made["function"]["parameters"]["properties"]["home"]
    assert home["additionalProperties"] is False


def test_arguments_that_are_no_object_are_refused_at_once() -> None:
    chat = ChatRocm(model="demo")
    for given in (Words, SCHEMAS["raw-list"], SCHEMAS["raw-any of types"]):
        with pytest.raises(errors.ConfigError, match="structured output"):
            chat.bind_tools([given])

    class Kind(enum.Enum):
        A = "a"

    with pytest.raises(ValueError, match="arguments of a tool are an object"):
        chat.bind_tools([Kind])


def test_as_structured_output_they_become_one_property() -> None:
    for given in (Words, SCHEMAS["raw-list"], Wind):
        assert tool_of(given)["function"]["parameters"]["required"] == [VALUE]
    assert VALUE not in tool_of(Point)["function"]["parameters"]["properties"]


def test_names_of_tools_are_plain() -> None:
    class Box(BaseModel):
        model_config = {"title": "Box[of tea]"}
        tea: str

    assert tool_of(Box)["function"]["name"] == "Box_of_tea_"


def test_numbers_beyond_those_of_python_are_refused_with_their_path() -> None:
    from rocm_core.errors import InvalidAnswer

    halves = {"type": "array", "items": {"type": "number", "multipleOf": 0.5}}
    with pytest.raises(InvalidAnswer, match=r"\$\[1\]: the number is larger"):
        wanted(halves).read("[1.5, 1e999]")
    with pytest.raises(InvalidAnswer, match=r"\$.value: .* \(type\)"):
        wanted(SCHEMAS["numbers-Finite"]).read('{"value": 1e999}')
