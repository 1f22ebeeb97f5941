"""Structured output: enforced by the real engines, and checked all the same."""

from __future__ import annotations

import sys
from typing import Any, Literal, Optional

import pytest
from langchain_core.output_parsers import StrOutputParser
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from langchain_rocm import ChatRocm, errors
from langchain_rocm.structured import METHODS, Method, json_schema_of
from tests.support.servers.scripts import Body, authored, sent


class Ship(BaseModel):
    """A ship."""

    name: str = Field(max_length=12)
    masts: int
    kind: Literal["brig", "sloop"]
    owner: Optional[str] = Field(default=None, max_length=5)  # noqa: UP045


class Harbor(TypedDict):
    """A harbor."""

    piers: int
    open: bool


FUNCTION = {"name": "Dock", "description": "d", "parameters": json_schema_of(Harbor)}
SCHEMAS: dict[str, Any] = {
    "pydantic": Ship,
    "typed dict": Harbor,
    "json schema": Ship.model_json_schema(),
    "without title": {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
    },
    "function": FUNCTION,
}
KEYS = {"typed dict": {"piers", "open"}, "without title": {"a"}, "function": {"piers", "open"}}


def assert_fits(value: Any, kind: str) -> None:
    if kind == "pydantic":
        assert isinstance(value, Ship)
    else:
        assert KEYS.get(kind, {"name", "masts", "kind"}) <= value.keys()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", SCHEMAS)
async def test_every_schema_with_every_method(chat: ChatRocm, kind: str, method: Method) -> None:
    llm = chat.with_structured_output(SCHEMAS[kind], method=method, temperature=0)
    assert_fits(llm.invoke("A ship?"), kind)
    assert_fits(await llm.ainvoke("A ship?"), kind)
    *_, last = llm.stream("A ship?")
    assert_fits(last, kind)
    *_, alast = [value async for value in llm.astream("A ship?")]
    assert alast == last


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="pydantic.v1 ends with Python 3.13")
@pytest.mark.parametrize("method", METHODS)
def test_pydantic_v1(chat: ChatRocm, method: Method) -> None:
    from pydantic.v1 import BaseModel as Old

    class Boat(Old):
        """A boat."""

        oars: int

    assert isinstance(chat.with_structured_output(Boat, method=method).invoke("?"), Boat)


def test_streams_grow(chat: ChatRocm) -> None:
    values = list(chat.with_structured_output(Harbor).stream("?"))
    assert len(values) > 2
    assert all(isinstance(value, dict) for value in values)
    assert list(values[-1]) == ["piers", "open"]
    assert [type(v) for v in chat.with_structured_output(Ship).stream("?")] == [Ship]


def test_include_raw(chat: ChatRocm) -> None:
    answer = chat.with_structured_output(Ship, include_raw=True).invoke("?")
    assert isinstance(answer["parsed"], Ship)
    assert answer["parsing_error"] is None
    assert answer["raw"].usage_metadata["output_tokens"] > 0
    cut = chat.with_structured_output(Ship, include_raw=True, max_tokens=2).invoke("?")
    assert cut["parsed"] is None
    assert isinstance(cut["parsing_error"], errors.InvalidAnswer)


def test_strict() -> None:
    good = {"content": '{"piers": 2, "open": true}'}
    _, server = _asked(good, Harbor, strict=True)
    wrapper = sent(server)[0]["response_format"]["json_schema"]
    assert wrapper["strict"] is True
    assert wrapper["schema"]["additionalProperties"] is False


def test_json_mode_without_a_schema_is_still_json(chat: ChatRocm) -> None:
    answer = chat.with_structured_output(method="json_mode").invoke("?", max_tokens=60)
    assert isinstance(answer, dict)


@pytest.mark.parametrize(
    "format_",
    [
        {"type": "json_object"},
        {"type": "json_schema", "schema": json_schema_of(Harbor)},  # llama-server's README
        {"type": "json_schema", "json_schema": {"name": "h", "schema": json_schema_of(Harbor)}},
    ],
)
def test_every_response_format_is_enforced(chat: ChatRocm, format_: Any) -> None:
    assert chat.invoke("?", response_format=format_, max_tokens=60).text.startswith("{")


def test_a_grammar_of_ones_own(chat: ChatRocm) -> None:
    assert chat.invoke("?", grammar='root ::= "yes" | "no"').text in ("yes", "no")
    assert (chat.bind(grammar='root ::= "no"') | StrOutputParser()).invoke("?") == "no"
    with pytest.raises(errors.ConfigError, match="a grammar excludes"):
        chat.with_structured_output(Ship).invoke("?", grammar='root ::= "x"')


def test_methods_that_do_not_exist(chat: ChatRocm) -> None:
    with pytest.raises(ValueError, match="json_schema, function_calling, json_mode"):
        chat.with_structured_output(Ship, method="magic")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs a schema"):
        chat.with_structured_output()


# ---------------------------------------------------------------------------
# Servers that do not do as they are told
# ---------------------------------------------------------------------------


def _asked(answer: Body, schema: Any, method: Method = "json_schema", **options: Any) -> Any:
    with authored(lambda body: answer) as server:
        chat = ChatRocm(base_url=server.url)
        return chat.with_structured_output(schema, method=method, **options).invoke("?"), server


@pytest.mark.parametrize("schema", [Ship, Harbor, json_schema_of(Harbor)])
@pytest.mark.parametrize("text", ["Sure! A ship.", '{"piers": "many", "open": 1}', "[]", ""])
@pytest.mark.parametrize("method", METHODS)
def test_a_server_that_ignores_the_schema_raises(schema: Any, text: str, method: Method) -> None:
    with pytest.raises(errors.InvalidAnswer) as caught:
        _asked({"content": text}, schema, method)
    assert "schema" in str(caught.value) or "max_tokens" in str(caught.value)


@pytest.mark.parametrize("streaming", [False, True])
async def test_it_raises_in_streams_too(streaming: bool) -> None:
    with authored(lambda body: {"content": '{"piers": 1'}) as server:
        llm = ChatRocm(base_url=server.url).with_structured_output(Harbor)
        with pytest.raises(errors.InvalidAnswer):
            if streaming:
                [value async for value in llm.astream("?")]
            else:
                list(llm.stream("?"))


def test_the_json_may_arrive_as_reasoning() -> None:
    """With an open think block all of it does."""
    value, _ = _asked({"reasoning_content": '{"piers": 2, "open": true}'}, Harbor)
    assert value == {"piers": 2, "open": True}


def test_the_model_does_not_think_first_unless_asked_to() -> None:
    good = {"content": '{"piers": 2, "open": true}'}
    _, server = _asked(good, Harbor)
    assert sent(server)[0]["chat_template_kwargs"] == {"enable_thinking": False}
    _, server = _asked(good, Harbor, reasoning="high")
    assert sent(server)[0]["reasoning_effort"] == "high"
    assert "chat_template_kwargs" not in sent(server)[0]
    with authored(lambda body: good) as server:
        chat = ChatRocm(base_url=server.url, reasoning=True)
        chat.with_structured_output(Harbor).invoke("?")
    assert sent(server)[0]["chat_template_kwargs"] == {"enable_thinking": True}


def test_the_method_of_calling_shows_the_tool() -> None:
    good = {"content": '{"piers": 2, "open": true}'}
    value, server = _asked(good, Harbor, "function_calling")
    assert value == {"piers": 2, "open": True}
    assert sent(server)[0]["tools"][0]["function"]["name"] == "Harbor"
    native = {"tool_calls": [{"name": "Harbor", "args": {"piers": 1, "open": False}}]}
    value, _ = _asked(native, Harbor, "function_calling")
    assert value == {"piers": 1, "open": False}
