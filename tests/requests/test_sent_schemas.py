"""Every way in which a schema reaches an engine goes through the compiler."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from rocm_core import GenerateConfig, TextModel
from rocm_core.client import calls
from rocm_core.client.generation_requests import Chat
from rocm_core.errors import ConfigError
from rocm_core.requests import schema_format, tool_request
from rocm_core.requests.sent_schemas import with_sent_schemas

_GIVEN = {"type": "integer", "minimum": 2000}
_SENT = {"type": "integer", "minimum": 2000, "maximum": 999_999_999_999}
_HI = [{"role": "user", "content": "Hi"}]


def _tool(parameters: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", "parameters": parameters}}


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"json_schema": _GIVEN}, {"json_schema": _SENT}),
        ({"response_format": schema_format(_GIVEN)}, {"response_format": schema_format(_SENT)}),
        (
            {"response_format": {"type": "json_object", "schema": _GIVEN}},
            {"response_format": {"type": "json_object", "schema": _SENT}},
        ),
        (
            {"tools": [_tool({"type": "object", "properties": {"a": _GIVEN}})]},
            {"tools": [_tool({"type": "object", "properties": {"a": _SENT}})]},
        ),
        ({"tools": [_tool({}), {"type": "web_search"}]}, None),
        ({"response_format": {"type": "text"}}, None),
        ({"grammar": 'root ::= "a"', "prompt": "x"}, None),
    ],
)
def test_the_schemas_of_a_request_are_compiled(given: Any, sent: Any) -> None:
    before = copy.deepcopy(given)
    assert with_sent_schemas(given) == (given if sent is None else sent)
    assert given == before


def test_every_call_with_a_schema_sends_it_compiled() -> None:
    config = GenerateConfig(json_schema=_GIVEN)
    assert calls.completion("x", config).body["json_schema"] == _SENT
    assert calls.text_completion("x", config).body["json_schema"] == _SENT
    assert calls.infill("a", "b", config).body["json_schema"] == _SENT
    assert calls.chat(_HI, config).body["json_schema"] == _SENT
    extra = GenerateConfig(extra={"json_schema": _GIVEN})
    assert calls.completion("x", extra).body["json_schema"] == _SENT
    chat = Chat(_HI, GenerateConfig(), {"response_format": schema_format(_GIVEN)})
    assert chat.openai(None).body["response_format"] == schema_format(_SENT)
    forced = tool_request([_tool({"type": "object", "properties": {"a": _GIVEN}})], "f").fields
    for call in (calls.apply_template(_HI, **forced), calls.count_tokens(_HI, **forced)):
        assert call.body is not None
        properties = call.body["tools"][0]["function"]["parameters"]["properties"]
        assert properties == {"a": _SENT}


def test_an_error_names_the_field_and_the_place() -> None:
    with pytest.raises(ConfigError, match=r"json_schema/properties/a: type is 'text'"):
        with_sent_schemas({"json_schema": {"properties": {"a": {"type": "text"}}}})
    with pytest.raises(ConfigError, match=r"parameters of the tool 'f'/properties/a: minLength"):
        with_sent_schemas({"tools": [_tool({"properties": {"a": {"minLength": "1"}}})]})
    with pytest.raises(ConfigError, match=r"response_format: schema is 'x'"):
        with_sent_schemas({"response_format": {"type": "json_object", "schema": "x"}})


def test_an_engine_takes_tools_with_any_parameters(model: TextModel) -> None:
    parameters = [
        {"type": "object", "properties": {"a": {"type": "string", "pattern": r"\d(?=a)"}}},
        {
            "$ref": "#/$defs/n",
            "$defs": {"n": {"type": "object", "properties": {"n": {"$ref": "#"}}}},
        },
        {"type": "object", "additionalProperties": {"type": "string", "maxLength": 5000}},
        {"anyOf": [{"type": "object", "required": ["a"]}, {"type": "object"}]},
        {"type": "object", "properties": {"$ref": {"type": "string"}, "tags[]": True, "": False}},
    ]
    config = GenerateConfig(max_tokens=1)
    for each in parameters:
        for choice in ("auto", "required"):
            fields = tool_request([_tool(each)], choice).fields
            assert list(model.chat_events(_HI, config, **fields))
