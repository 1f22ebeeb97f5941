"""JSON schemas on the way to llama-server, and JSON on the way back. Pure.

llama-server enforces a schema as a grammar, but only in the forms that it reads: ``json_schema``
inside ``json_schema``, or ``schema`` beside ``json_object``. Other spellings are ignored, or
constrain nothing (``tools/server/server-common.cpp``); here they become the form that works.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rocm_core.errors import ConfigError, InvalidAnswer

_ANY_OBJECT = {"type": "object"}


def response_format(schema: Mapping[str, Any], name: str = "answer") -> dict[str, Any]:
    """The request field that binds an answer to ``schema``."""
    return {"type": "json_schema", "json_schema": {"name": name, "schema": dict(schema)}}


def normalized_format(given: Any) -> dict[str, Any] | None:
    """A ``response_format`` of any spelling as one that llama-server enforces.

    ``None`` for plain text. JSON without a schema is any object.

    Raises:
        ConfigError: it is no response format.
    """
    if given is None:
        return None
    kind = given.get("type") if isinstance(given, Mapping) else None
    if kind == "text":
        return None
    if kind not in ("json_schema", "json_object"):
        raise ConfigError(
            f"response_format {given!r} is not understood: its type is 'text', 'json_object' or "
            "'json_schema'"
        )
    wrapper = given.get("json_schema")
    wrapper = wrapper if isinstance(wrapper, Mapping) else {}
    schema = wrapper.get("schema") or given.get("schema") or _ANY_OBJECT
    format_ = response_format(schema, str(wrapper.get("name") or "answer"))
    if "strict" in wrapper:
        format_["json_schema"]["strict"] = wrapper["strict"]
    return format_


def schema_of(format_: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema in a normalized format."""
    schema: Mapping[str, Any] = format_["json_schema"]["schema"]
    return schema


def parse_answer(text: str, reasoning: str = "") -> Any:
    """The JSON value of an answer.

    Args:
        reasoning: looked at if there is no text: with an open think block the whole answer
            arrives as reasoning.

    Raises:
        InvalidAnswer: it is no JSON.
    """
    answer = text.strip() or reasoning.rpartition("</think>")[2].strip()
    try:
        return json.loads(answer)
    except ValueError as error:
        raise InvalidAnswer(
            f"the answer is no JSON ({error}): it was cut off (raise max_tokens), or the server "
            f"did not apply the schema. It begins with {answer[:80]!r}.",
            text=answer,
        ) from error
