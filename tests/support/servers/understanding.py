"""An author for LangChain's standard suite: it calls the right tool with the right values."""

from __future__ import annotations

import json
from typing import Any

from tests.support.servers.scripts import Body

_ARGUMENTS = {
    "magic_function": {"input": 3},
    "get_weather": {"location": "San Francisco, CA"},
    "unicode_customer": {"customer_name": "你好啊集团, こんにちは株式会社", "description": "x"},
}


def understanding(body: Body) -> Body:
    """Generation what the standard suite asks for."""
    if format_ := body.get("response_format"):
        return {"content": json.dumps(sample(format_["json_schema"]["schema"]))}
    last = body["messages"][-1]
    tools = [tool["function"] for tool in body.get("tools", ())]
    if tools and last["role"] != "tool" and body.get("tool_choice") != "none":
        tool = tools[0]
        args = _ARGUMENTS.get(tool["name"]) or sample(tool["parameters"])
        return {"tool_calls": [{"name": tool["name"], "args": args}]}
    return {"content": "An answer in a few words."}


def sample(schema: Body, defs: Body | None = None) -> Any:
    """Some value of ``schema``."""
    defs = defs or schema.get("$defs") or {}
    if "$ref" in schema:
        return sample(defs[schema["$ref"].rpartition("/")[2]], defs)
    if "enum" in schema:
        return schema["enum"][0]
    for several in ("anyOf", "allOf", "oneOf"):
        if several in schema:
            return sample(schema[several][0], defs)
    kind = schema.get("type", "object")
    if kind == "object":
        return {name: sample(each, defs) for name, each in schema.get("properties", {}).items()}
    if kind == "array":
        return [sample(schema.get("items", {"type": "string"}), defs)]
    return {"string": "x", "integer": 3, "number": 1.5, "boolean": True, "null": None}[kind]
