"""Turn a model's JSON into an object of a pydantic class, or say which field breaks which rule.

    text ─▶ read_class ─▶ an object, or InvalidAnswer
    InvalidAnswer ─▶ correction() ─▶ what the model is told before it answers again

Validation is that of JSON: a strict class takes text for a date and a list for a tuple there, and
would refuse both as Python objects.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from rocm_core.errors import ConfigError, InvalidAnswer
from rocm_core.requests import parse_answer, schema_of

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

# pydantic's types of errors, and the keyword of JSON schema that has the same meaning
# (pydantic-core ``src/errors/types.rs``).
_KEYWORDS = {
    "greater_than": "exclusiveMinimum",
    "greater_than_equal": "minimum",
    "less_than": "exclusiveMaximum",
    "less_than_equal": "maximum",
    "multiple_of": "multipleOf",
    "string_too_short": "minLength",
    "string_too_long": "maxLength",
    "bytes_too_short": "minLength",
    "bytes_too_long": "maxLength",
    "string_pattern_mismatch": "pattern",
    "too_short": "minItems",
    "too_long": "maxItems",
    "missing": "required",
    "extra_forbidden": "additionalProperties",
    "literal_error": "enum",
    "enum": "enum",
    "union_tag_invalid": "discriminator",
    "union_tag_not_found": "discriminator",
    "none_required": "type",
    "decimal_max_digits": "pattern",
    "decimal_max_places": "pattern",
    "decimal_whole_digits": "pattern",
}
_OF_VALIDATORS = frozenset({"value_error", "assertion_error", "custom_error"})
_LONGEST = 60  # characters of a value in an error
_OF_OBJECTS = {"minItems": "minProperties", "maxItems": "maxProperties"}


def fits(text: str, format_: Mapping[str, Any]) -> bool:
    """Return whether a text is JSON that matches a response format."""
    from rocm_core.schema import check_answer  # not at the top: most programs have no schema

    try:
        check_answer(parse_answer(text), schema_of(format_))
    except InvalidAnswer:
        return False
    return True


def read_class(cls: type[M], text: str) -> M:
    """Return the object of a pydantic class that a JSON text is.

    Args:
        cls: the class.
        text: JSON; a strict class is strict as with JSON.

    Raises:
        InvalidAnswer: it does not fit; the message has path and rule of what is wrong.
    """
    try:
        return cls.model_validate_json(text)
    except ValidationError as error:
        raise _misfit(error, cls.__name__, cls.model_json_schema(), text, cls.model_validate) from (
            error
        )


def read_type(adapter: TypeAdapter[T], name: str, schema: Mapping[str, Any], text: str) -> T:
    """Return the value of any type that a JSON text is.

    Args:
        adapter: pydantic's, of the type.
        name: of the type, for the error.
        schema: the type's JSON schema.
        text: JSON.

    Raises:
        InvalidAnswer: as ``read_class``.
    """
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        raise _misfit(error, name, schema, text, adapter.validate_python) from error


def _misfit(
    error: ValidationError,
    name: str,
    schema: Mapping[str, Any],
    text: str,
    locate: Callable[[Any], Any],
) -> InvalidAnswer:
    from rocm_core.schema import check_answer  # not at the top: most programs have no schema

    value, faults = json.loads(text), error.errors(include_url=False, include_context=False)
    if faults[0]["type"] == "json_invalid":
        # Such as half of a surrogate pair: Python parses it, pydantic does not, and says no path.
        try:
            locate(value)
        except ValidationError as located:
            faults = located.errors(include_url=False, include_context=False)
    found = misfit(name, [_worded(fault) for fault in faults], text)
    try:
        check_answer(value, schema, text=text)
    except InvalidAnswer as known:  # it says why the engine let this pass
        return InvalidAnswer(str(known), text=text, problem=found.problem)
    except ConfigError:
        pass
    return found


def misfit(name: str, faults: list[str], text: str) -> InvalidAnswer:
    """Return the error of an answer that breaks rules of a schema.

    Args:
        name: of the schema.
        faults: one sentence for each, with its path and keyword.
        text: the answer.
    """
    shown = "; ".join(faults[:5])
    more = f"; and {len(faults) - 5} more" if len(faults) > 5 else ""
    problem = f"the answer does not fit the schema of {name}: {shown}{more}"
    return InvalidAnswer(
        f"{problem}. The engine does not enforce this rule, so answers are checked afterwards: ask "
        "again, or set the retries of structured output, which tell the model what was wrong.",
        text=text,
        problem=problem,
    )


def _worded(fault: Mapping[str, Any]) -> str:
    kind, value = fault["type"], fault.get("input")
    shown = repr(value) if len(repr(value)) <= _LONGEST else f"{repr(value)[:_LONGEST]}…"
    return f"{path_text(fault['loc'])}: {fault['msg']}, not {shown} ({_rule(kind, value)})"


def path_text(path: Iterable[str | int]) -> str:
    """Return a path in an answer as text, such as ``$.pets[0].name``."""
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)


def _rule(kind: str, value: Any) -> str:
    if kind in _OF_VALIDATORS:
        return "a validator of the class"
    keyword = _KEYWORDS.get(kind)
    if keyword in _OF_OBJECTS and isinstance(value, Mapping):
        keyword = _OF_OBJECTS[keyword]
    if keyword is None:
        of_format = kind.startswith(("date", "time", "url", "uuid", "ip_", "bytes_invalid"))
        keyword = "format" if of_format else "type" if kind.endswith(_OF_TYPES) else kind
    return keyword


_OF_TYPES = ("_type", "_parsing", "_from_float", "_unicode", "_attributes")


def correction(error: InvalidAnswer) -> str:
    """Return the message that tells the model what was wrong with its answer."""
    from rocm_core.schema import retry_message  # not at the top: most programs have no schema

    return retry_message(error.problem or error)
