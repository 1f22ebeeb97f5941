"""Read the arguments of tool calls that a model wrote, and write those of earlier calls. Pure.

    text that a model wrote            ─▶ parse_arguments ─▶ an object, or an error with the text
    arguments of an earlier call,
    as text or as objects of any kind  ─▶ object_text     ─▶ JSON text of an object

Reading repairs nothing; writing never sends what a chat template cannot parse.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import enum
import json
import math
import uuid
from collections.abc import Callable, Mapping, Set
from numbers import Number
from pathlib import PurePath
from typing import Any

from rocm_core.errors import ConfigError, InvalidAnswer


def read_call(name: str | None, text: str) -> dict[str, Any]:
    """Return the arguments of a call that a model wrote.

    Args:
        name: of the tool.
        text: as ``parse_arguments``.

    Raises:
        InvalidAnswer: the call names no tool, or as ``parse_arguments``.
    """
    if not (name or "").strip():
        raise InvalidAnswer("the call names no tool", text=text)
    return parse_arguments(text)


def parse_arguments(text: str) -> dict[str, Any]:
    """Return the arguments that a model wrote for a tool.

    Args:
        text: the whole text; a blank one is a call without arguments.

    Raises:
        InvalidAnswer: the text is anything but one JSON object, a name in it has two different
            values, or a number is beyond the range of a float; then the message has its place.
            Nothing is repaired: a tool that runs with half an argument, or with one of two, does
            something that the model did not ask for.
    """
    if not text.strip():
        return {}
    beyond: list[str] = []

    def number(digits: str) -> float:
        if math.isinf(value := float(digits)):
            beyond.append(digits)
        return value

    try:
        value = json.loads(
            text, parse_constant=_no_json, parse_float=number, object_pairs_hook=_unambiguous
        )
        place = _infinite(value) if beyond else None
    except (ValueError, RecursionError) as error:
        raise InvalidAnswer(f"the arguments are no JSON object: {error}", text=text) from error
    if not isinstance(value, dict):
        kind = "null" if value is None else type(value).__name__
        raise InvalidAnswer(f"the arguments are no JSON object but {kind}", text=text)
    if place is not None:
        raise InvalidAnswer(f"${place}: {beyond[0][:40]} is out of range (number)", text=text)
    return value


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Which of them counts is left to each reader (RFC 8259, 4): who approves a call may be shown
    # another value than the tool gets.
    value = dict(pairs)
    if len(value) < len(pairs):
        for name, each in pairs:
            if json.dumps(each) != json.dumps(value[name]):
                raise ValueError(f"the name {name[:40]!r} has two values")
    return value


def _no_json(name: str) -> float:
    # Python's parser takes NaN and Infinity, which are no JSON (RFC 8259, 6): llama-server's does
    # not take them back.
    raise ValueError(f"{name} is no number of JSON")


def _infinite(value: Any) -> str | None:
    """Return the place of a number that the parser made infinite (1e999), as in ``.points[0]``."""
    if isinstance(value, float):
        return "" if math.isinf(value) else None
    if isinstance(value, dict):
        found = ((f".{key}", _infinite(item)) for key, item in value.items())
    elif isinstance(value, list):
        found = ((f"[{index}]", _infinite(item)) for index, item in enumerate(value))
    else:
        return None
    return next((head + tail for head, tail in found if tail is not None), None)


def object_text(arguments: Any) -> str:
    """Return the arguments of an earlier call as JSON text of an object.

    ``{}`` stands for text that is no JSON object, and for no arguments at all: with others,
    llama-server answers every further turn of the conversation with status 500.

    Args:
        arguments: a mapping, an object of a pydantic class or a dataclass, or JSON text. Dates,
            UUIDs, enums, paths, numbers of ``decimal``, sets, bytes and objects of those classes
            may be inside.

    Raises:
        ConfigError: a value inside has no JSON form; the message says its class, or that it is
            not finite.
    """
    if isinstance(arguments, str):
        return arguments if _is_object(arguments) else "{}"
    if not isinstance(arguments, Mapping):
        arguments = {} if arguments is None else _plain(arguments)
    if not isinstance(arguments, Mapping):
        return "{}"
    try:
        return json.dumps(dict(arguments), ensure_ascii=False, default=_plain, allow_nan=False)
    except (TypeError, ValueError) as error:  # keys; numbers that are not finite
        raise ConfigError(f"the arguments of a tool call are no JSON: {error}") from error


def _is_object(text: str) -> bool:
    try:
        return bool(text.strip()) and isinstance(parse_arguments(text), dict)
    except InvalidAnswer:
        return False


def _plain(value: Any) -> Any:
    """Return a value that ``json`` can write."""
    for classes, write in _FORMS:
        if isinstance(value, classes):
            return write(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    # Pydantic's classes, by their methods: version 2 and version 1.
    if callable(dump := getattr(value, "model_dump", None)):
        return dump(mode="json")
    if callable(dump := getattr(value, "dict", None)):
        return dump()
    raise ConfigError(
        f"an argument of a tool call is a {type(value).__name__}, which has no JSON form: put its "
        "text or its fields there"
    )


_FORMS: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    ((datetime.date, datetime.time), lambda value: value.isoformat()),
    (datetime.timedelta, lambda value: value.total_seconds()),
    ((uuid.UUID, PurePath), str),
    (Number, str),  # of decimal and fractions
    (enum.Enum, lambda value: value.value),
    (Mapping, dict),
    (Set, list),
    ((bytes, bytearray), lambda value: base64.b64encode(value).decode("ascii")),
)
