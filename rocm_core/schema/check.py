"""Check an answer against the schema as it was given, and word what is wrong. Pure.

The check is that of the package ``jsonschema``, imported when a check is made: it comes with
``llama-rocm[langchain]`` and ``llama-rocm[llama-index]``.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from rocm_core.errors import ConfigError, InvalidAnswer
from rocm_core.schema.compile import CompiledSchema, compile_schema

_PYTHON_SPELLINGS = (("(?<", "(?P<"), (r"\z", r"\Z"))


def check_answer(
    value: Any, schema: Mapping[str, Any] | bool, *, where: str = "schema", text: str | None = None
) -> Any:
    """Return ``value`` if it fits the schema.

    Args:
        value: a parsed answer.
        schema: the schema as the user gave it.
        where: what the schema is called in errors.
        text: the answer as it was written, for the error; by default ``value`` as text.

    Raises:
        InvalidAnswer: it does not fit; the message names the place in the answer, the keyword,
            and whether the engine enforces it.
        ConfigError: the schema is none, or has keywords that need ``jsonschema`` while it is not
            installed.
    """
    compiled = compile_schema(schema, where=where)
    if (path := _infinite(value, "$")) is not None:
        raise InvalidAnswer(
            f"the answer does not fit the schema: {path}: the number is larger than any of "
            "Python's (type). The engine does not enforce it: no grammar bounds exponents.",
            text=str(value) if text is None else text,
        )
    try:
        error = next(iter(_errors(value, schema)), None)
    except ImportError as missing:
        if not compiled.unenforced:
            return value
        names = ", ".join(dict.fromkeys(note.keyword for note in compiled.unenforced))
        raise ConfigError(
            f"{where}: no engine enforces {names}, and the package that checks it is missing. "
            "Install it: pip install jsonschema"
        ) from missing
    if error is None:
        return value
    raise InvalidAnswer(_misfit(error, compiled), text=str(value) if text is None else text)


def _infinite(value: Any, path: str) -> str | None:
    """Return the path of a number that Python reads as infinite, such as ``1e999``.

    ``jsonschema`` cannot check one.
    """
    if isinstance(value, float):
        return None if math.isfinite(value) else path
    if isinstance(value, Mapping):
        parts = [(inner, f"{path}.{name}") for name, inner in value.items()]
    elif isinstance(value, list):
        parts = [(inner, f"{path}[{index}]") for index, inner in enumerate(value)]
    else:
        return None
    return next((found for part in parts if (found := _infinite(*part)) is not None), None)


def retry_message(error: Exception | str) -> str:
    """Return what to tell the model so that its next answer fits.

    Args:
        error: what was wrong with its answer.
    """
    return (
        f"Your answer was not accepted: {str(error).strip()}\n"
        "Answer again with corrected JSON, and nothing else."
    )


def _errors(value: Any, schema: Any) -> Iterator[Any]:
    """Yield the faults of a value, the most telling one first."""
    import jsonschema  # not at the top: a quarter of an adapter's import time

    from rocm_core.schema.values import without_nulls

    validator = _validator(without_nulls(schema), jsonschema)
    best = jsonschema.exceptions.best_match(validator.iter_errors(value))
    if best is not None:
        yield best


def _validator(schema: Any, jsonschema: Any) -> Any:
    newest = jsonschema.Draft202012Validator
    draft = newest
    if isinstance(schema, Mapping):
        default = jsonschema.Draft7Validator if _is_old(schema) else newest
        draft = jsonschema.validators.validator_for(schema, default=default)
    patient = jsonschema.validators.extend(draft, {"pattern": _pattern})
    return patient(schema, format_checker=draft.FORMAT_CHECKER)


def _is_old(schema: Any) -> bool:
    """Return whether a schema lists items or has ``dependencies``, as up to draft 7."""
    if isinstance(schema, Mapping):
        if isinstance(schema.get("items"), list) or isinstance(schema.get("dependencies"), Mapping):
            return True
        return any(map(_is_old, schema.values()))
    return isinstance(schema, list) and any(map(_is_old, schema))


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Any]:
    """Check ``pattern``; warn of one that Python cannot read, and take it for matched."""
    import jsonschema

    if not validator.is_type(instance, "string"):
        return
    for other, python in _PYTHON_SPELLINGS:
        if f"{other}=" not in pattern and f"{other}!" not in pattern:
            pattern = pattern.replace(other, python)
    try:
        matched = re.search(pattern, instance) is not None
    except re.error as error:
        warnings.warn(
            f"the pattern {pattern!r} is not checked, and no engine enforces it: Python cannot "
            f"read it ({error}). Write it without that.",
            stacklevel=2,
        )
        return
    if not matched:
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


def _misfit(error: Any, compiled: CompiledSchema) -> str:
    keyword = str(error.validator)
    message = (
        f"the answer does not fit the schema: {error.json_path}: {error.message} ({keyword}). "
    )
    note = _note(error, compiled)
    if note:
        return message + f"The engine does not enforce {keyword} here: {note}."
    return message + (
        f"llama-server enforces {keyword}: this server did not apply the schema. It is too old, "
        "or no llama-server, or its chat template writes answers in a form of its own."
    )


def _note(error: Any, compiled: CompiledSchema) -> str | None:
    """Return why the engine does not enforce what failed; ``None`` if it does."""
    place = [str(part) for part in error.absolute_schema_path]
    if error.validator == "additionalProperties":
        place.append("patternProperties")  # says which properties are additional
    for note in compiled.unenforced:
        tokens = [_unescaped(token) for token in note.path.split("/")]
        if note.keyword in place and _property(tokens) == _property(place):
            return note.reason
    return None


def _property(tokens: list[str]) -> str | None:
    """Return the name of the innermost property on a path through a schema."""
    named = [at for at, token in enumerate(tokens[:-1]) if token == "properties"]
    return tokens[named[-1] + 1] if named else None


def _unescaped(token: str) -> str:
    return token.replace("~1", "/").replace("~0", "~")
