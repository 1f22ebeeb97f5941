"""TypedDicts of ``typing``, which pydantic takes from Python 3.12 on; here they all work."""

from __future__ import annotations

import sys
import typing
from typing import Annotated, Any, Optional

import pytest
import typing_extensions

from langchain_rocm.conversion.schemas import wanted
from langchain_rocm.conversion.tools import openai_tool
from rocm_core.errors import InvalidAnswer


class Port(typing.TypedDict):
    depth: int


class Voyage(typing.TypedDict, total=False):
    """A voyage."""

    ports: typing_extensions.Required[list[Port]]
    first: Port | None
    last: Optional[Port]  # noqa: UP045
    note: Annotated[str, "a note"]
    by: dict[str, Port]
    legs: list[Voyage]


ANSWER = '{"ports": [{"depth": 3}], "legs": [{"ports": [], "first": {"depth": 1}}]}'


def test_they_are_read_like_those_of_typing_extensions() -> None:
    found = wanted(Voyage)
    assert (found.name, found.description) == ("Voyage", "A voyage.")
    schema = found.schema["$defs"]["Voyage"]
    assert list(schema["properties"]) == ["ports", "first", "last", "note", "by", "legs"]
    assert schema["properties"]["legs"]["items"] == {"$ref": "#/$defs/Voyage"}
    assert found.read(ANSWER)["legs"][0]["first"] == {"depth": 1}
    with pytest.raises(InvalidAnswer, match=r"\$.ports\[0\].depth"):
        found.read('{"ports": [{"depth": "deep"}]}')


@pytest.mark.parametrize("kind", [list[Port], dict[str, Port], Optional[Port], Port | None])  # noqa: UP045
def test_types_that_hold_them(kind: Any) -> None:
    assert wanted(kind).schema["$defs"]["Port"]["required"] == ["depth"]


def test_tools() -> None:
    assert openai_tool(Port)["function"]["parameters"]["required"] == ["depth"]


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="pydantic takes them there")
def test_where_they_cannot_be_replaced_it_is_said() -> None:
    import dataclasses

    @dataclasses.dataclass
    class Ship:
        port: Port

    with pytest.raises(ValueError, match="no schema.*typing_extensions.TypedDict"):
        wanted(Ship)
