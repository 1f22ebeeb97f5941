"""The schema of a tool's arguments is made once, and is always that of the class."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.tools import FunctionTool, ToolMetadata
from pydantic import BaseModel, Field

from llama_index_rocm.tool_calls import offer


class Query(BaseModel):
    """A query."""

    text: str = Field(description="What to look for.")
    limit: int = 3


def _offered(cls: Any) -> dict[str, Any]:
    def search(**given: Any) -> str:
        return str(given)

    metadata = ToolMetadata("Search.", "search", fn_schema=cls)
    tool = FunctionTool(search, metadata)
    [made] = offer([tool], None, required=False, parallel=False)["tools"]
    assert made["function"]["name"] == "search"
    assert made["function"]["description"] == "Search."
    parameters: dict[str, Any] = made["function"]["parameters"]
    return parameters


def _wanted(cls: type[BaseModel]) -> dict[str, Any]:
    schema = cls.model_json_schema()
    return {k: v for k, v in schema.items() if k not in ("title", "description")}


def test_the_schema_is_that_of_the_class_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = _wanted(Query)
    assert _offered(Query) == wanted

    def no_more(*args: Any, **options: Any) -> Any:
        raise AssertionError("made anew")

    monkeypatch.setattr("pydantic.main.model_json_schema", no_more)
    changed = _offered(Query)
    changed["properties"]["text"]["type"] = "integer"
    assert _offered(Query) == wanted


def test_a_class_that_is_built_anew_has_another_schema() -> None:
    class Later(BaseModel):
        a: int

    before = _offered(Later)
    Later.model_fields["a"].description = "of a"
    Later.model_rebuild(force=True)
    assert _offered(Later) == _wanted(Later) != before


def test_a_class_that_makes_its_schema_itself_is_asked_each_time() -> None:
    made = []

    class Own(BaseModel):
        a: int

        @classmethod
        def model_json_schema(cls, *args: Any, **options: Any) -> dict[str, Any]:
            made.append(cls)
            return {"type": "object", "properties": {str(len(made)): {}}}

    assert [list(_offered(Own)["properties"]) for _ in range(2)] == [["1"], ["2"]]


def test_metadata_of_another_class_names_and_describes_itself() -> None:
    class Loud(ToolMetadata):
        def to_openai_tool(self, skip_length_check: bool = False) -> dict[str, Any]:
            made = super().to_openai_tool(skip_length_check)
            return {**made, "function": {**made["function"], "name": "LOUD"}}

    tool = FunctionTool(lambda text: text, Loud("d", "quiet", fn_schema=Query))
    [made] = offer([tool], None, required=False, parallel=False)["tools"]
    assert made["function"]["name"] == "LOUD"
    assert made["function"]["parameters"] == _wanted(Query)
