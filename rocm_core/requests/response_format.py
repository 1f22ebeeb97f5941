"""Write JSON schemas in the form that llama-server enforces, and parse the answers. Pure.

llama-server enforces a schema as a grammar, but only in two forms: ``json_schema`` inside
``json_schema``, or ``schema`` beside ``json_object``. It ignores other spellings, or lets them
constrain nothing (``tools/server/server-common.cpp``); this module rewrites them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rocm_core.errors import ConfigError, InvalidAnswer

_ANY_OBJECT = {"type": "object"}


def schema_format(schema: Mapping[str, Any], name: str = "answer") -> dict[str, Any]:
    """Return the value of the request field ``response_format`` that enforces ``schema``.

    Args:
        schema: a JSON schema.
        name: the schema's name in the request.
    """
    return {"type": "json_schema", "json_schema": {"name": name, "schema": dict(schema)}}


def normalized_format(given: Any) -> dict[str, Any] | None:
    """Return a ``response_format`` of any spelling in the form that llama-server enforces.

    JSON without a schema becomes the schema of any object; ``strict`` is kept.

    Returns:
        ``None`` for ``None`` and for plain text (``{"type": "text"}``).

    Raises:
        ConfigError: ``given`` is no mapping, or has another type.
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
    format_ = schema_format(schema, str(wrapper.get("name") or "answer"))
    if "strict" in wrapper:
        format_["json_schema"]["strict"] = wrapper["strict"]
    return format_


def schema_of(format_: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema in a format from ``normalized_format``."""
    schema: Mapping[str, Any] = format_["json_schema"]["schema"]
    return schema


def parse_answer(text: str, reasoning: str = "") -> Any:
    """Parse an answer as JSON.

    Args:
        text: the answer's text.
        reasoning: the answer's reasoning, parsed after its last ``</think>`` if ``text`` is
            blank: if the prompt ends in an open think block, llama-server reports the whole
            answer as reasoning.

    Raises:
        InvalidAnswer: the answer is no JSON.
    """
    answer = text.strip() or reasoning.rpartition("</think>")[2].strip()
    try:
        return json.loads(answer)
    except ValueError as error:
        problem = f"the answer is no JSON ({error})"
        raise InvalidAnswer(
            f"{problem}: it was cut off (raise max_tokens), or the server "
            f"did not apply the schema. It begins with {answer[:80]!r}.",
            text=answer,
            problem=problem,
        ) from error
