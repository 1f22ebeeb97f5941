"""Compile the schemas of a request before it is sent. Pure.

``Chat`` and ``Completion`` carry schemas as the user gave them, so that answers can be checked
against these; what an engine gets is made here, last of all (``rocm_core.client.calls``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

SCHEMA_FIELDS: Final = frozenset({"json_schema", "response_format", "tools"})
"""Fields of a request that hold JSON schemas."""


def with_sent_schemas(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request's fields with its schemas as engines enforce them.

    Args:
        body: the fields of any endpoint; not changed.

    Raises:
        ConfigError: a schema cannot be sent; the message names the field and the place in it.
    """
    sent = dict(body)
    if (schema := body.get("json_schema")) is not None:
        sent["json_schema"] = _compiled(schema, "json_schema")
    if isinstance(given := body.get("response_format"), Mapping):
        sent["response_format"] = _format(given)
    if tools := body.get("tools"):
        sent["tools"] = [_tool(tool) for tool in tools]
    return sent


def _compiled(schema: Any, where: str, shown: bool = False) -> Any:
    from rocm_core.schema import compile_schema  # not at the top: most requests have no schema

    return compile_schema(schema, where=where, shown=shown).sent


def _format(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a ``response_format`` with its schema compiled, wherever it has one."""
    sent = dict(given)
    if (schema := given.get("schema")) is not None:
        sent["schema"] = _compiled(schema, "response_format")
    wrapper = given.get("json_schema")
    if isinstance(wrapper, Mapping) and (schema := wrapper.get("schema")) is not None:
        sent["json_schema"] = {**wrapper, "schema": _compiled(schema, "response_format")}
    return sent


def _tool(tool: Any) -> Any:
    """Return a tool with its parameters compiled; they stay readable for the model."""
    function = tool.get("function") if isinstance(tool, Mapping) else None
    parameters = function.get("parameters") if isinstance(function, Mapping) else None
    if not parameters or not isinstance(function, Mapping):
        return tool
    where = f"parameters of the tool {function.get('name')!r}"
    return {**tool, "function": {**function, "parameters": _compiled(parameters, where, True)}}
