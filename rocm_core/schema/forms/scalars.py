"""Write strings, numbers and fixed values in the forms that both engines enforce. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rocm_core.schema.forms.numbers import Numbers, float_bounds, integer_bounds
from rocm_core.schema.keywords import ENFORCED_FORMATS, FORMAT_PATTERNS, OF_TYPE
from rocm_core.schema.limits import REPEATS, VALUES
from rocm_core.schema.merge import Flat, canonical, types_of
from rocm_core.schema.patterns.rewrite import rewrite
from rocm_core.schema.values import sendable

if TYPE_CHECKING:
    from rocm_core.schema.normalize import Normalizer, Sent

_BESIDE_PATTERN = "a grammar has a pattern or a length"
_CALENDAR = "the grammar does not know how many days a month has"


def string(run: Normalizer, flat: Flat, path: str) -> Sent | None:
    """Return what is sent for a string; ``None`` if it allows no value."""
    low, high = int(flat.get("minLength", 0)), flat.get("maxLength")
    high = None if high is None else int(high)
    if high is not None and low > high:
        return run.never(path, "minLength", "is more than maxLength")
    if flat.get("pattern") and (pattern := _pattern(run, flat, path, (low, high))):
        return {"type": "string", "pattern": pattern}
    if format_ := _format(run, flat, path):
        _note_lengths(run, flat, path)
        return {"type": "string", **format_}
    return {"type": "string", **_lengths(run, path, low, high)}


def _pattern(run: Normalizer, flat: Flat, path: str, lengths: tuple[int, int | None]) -> str | None:
    rewritten = rewrite(flat["pattern"], lengths)
    if rewritten.pattern is None:
        run.note(path, "pattern", rewritten.reason)
        return None
    if rewritten.reason:
        run.narrow(path, "pattern", rewritten.reason)
    if not rewritten.lengths:
        _note_lengths(run, flat, path)
    if "format" in flat:
        run.note(path, "format", "a grammar has a pattern or a format")
    return rewritten.pattern


def _format(run: Normalizer, flat: Flat, path: str) -> dict[str, str] | None:
    name = flat.get("format")
    if name is None:
        return None
    if name in ENFORCED_FORMATS:
        if name.startswith("date"):
            run.note(path, "format", _CALENDAR)
        return {"format": name}
    if name in FORMAT_PATTERNS:
        run.narrow(path, "format", f"the usual forms of {name} are written")
        return {"pattern": str(rewrite(FORMAT_PATTERNS[name]).pattern)}
    run.note(path, "format", f"the engines have no grammar for {name}")
    return None


def _note_lengths(run: Normalizer, flat: Flat, path: str) -> None:
    for keyword in ("minLength", "maxLength"):
        if keyword in flat:
            run.note(path, keyword, _BESIDE_PATTERN)


def _lengths(run: Normalizer, path: str, low: int, high: int | None) -> dict[str, int]:
    sent: dict[str, int] = {}
    too_long = f"the engines refuse more than {REPEATS} repetitions"
    if low > REPEATS:
        run.note(path, "minLength", too_long)
        low = REPEATS
    if high is not None and high > REPEATS:
        run.note(path, "maxLength", too_long)
        high = None
    if not run.spend(max(low, high or 0)):
        for keyword in ("minLength", "maxLength"):
            run.note(path, keyword, "the whole schema repeats too much for one grammar")
        return sent
    if low:
        sent["minLength"] = low
    if high is not None:
        sent["maxLength"] = high
    return sent


def number(run: Normalizer, flat: Flat, path: str, kind: str) -> Sent | None:
    """Return what is sent for a number; ``None`` if it allows no value."""
    found: Numbers = integer_bounds(flat) if kind == "integer" else float_bounds(flat)
    if found.empty:
        keyword = next(key for key in OF_TYPE["number"] if key in flat)
        return run.never(path, keyword, "leaves no number")
    for keyword, reason in found.unenforced.items():
        run.note(path, keyword, reason)
    for keyword, reason in found.narrowed.items():
        run.narrow(path, keyword, reason)
    if found.values is not None:
        return {"type": kind, "enum": found.values}
    return {"type": kind, **found.sent}


def values(run: Normalizer, flat: Flat, path: str) -> Sent | None:
    """Return what is sent for ``const`` or ``enum``; ``None`` if no value is allowed."""
    keyword = "const" if "const" in flat else "enum"
    given = [flat["const"]] if keyword == "const" else flat["enum"]
    if "const" in flat and "enum" in flat:
        allowed = {canonical(value) for value in flat["enum"]}
        given = [value for value in given if canonical(value) in allowed]
    types = types_of(flat)
    fitting = [value for value in given if not types or _is_of(value, types)]
    if not fitting:
        return run.never(path, keyword, "has no value that the other keywords allow")
    for other in (key for keywords in OF_TYPE.values() for key in keywords):
        if other in flat:
            run.note(path, other, f"a grammar has {keyword} or other rules")
    sent = [value for value in fitting if sendable(value)]
    if len(sent) < len(fitting) or len(sent) > VALUES:
        many = f"more than {VALUES} values are too many for a grammar"
        run.note(path, keyword, many if len(sent) > VALUES else "the engines misread one of them")
        kinds = types or sorted({_type_of(value) for value in fitting})
        return {"type": kinds[0] if len(kinds) == 1 else kinds}
    kind = {"type": flat["type"]} if len(types) == 1 else {}
    return {**kind, "const": sent[0]} if keyword == "const" else {**kind, "enum": sent}


def _type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "null" if value is None else "object" if isinstance(value, Mapping) else "array"


def _is_of(value: Any, types: Sequence[str]) -> bool:
    kind = _type_of(value)
    whole = kind == "number" and (isinstance(value, int) or value.is_integer())
    return kind in types or (whole and "integer" in types)


def disjoint(alternatives: Sequence[Any], find: Callable[[str], Any]) -> bool:
    """Return whether it is plain that no value fits two alternatives.

    Args:
        alternatives: schemas.
        find: returns the schema that a ``$ref`` names.
    """
    plain = [_target(alternative, find) for alternative in alternatives]
    if not all(isinstance(schema, Mapping) for schema in plain):
        return False
    types = [kind for schema in plain for kind in (types_of(schema) or [""])]
    if (
        "" not in types
        and len(set(types)) == len(types)
        and not {"integer", "number"} <= set(types)
    ):
        return True
    first = plain[0].get("properties", {})
    return any(_tells_apart(name, plain) for name in first)


def _target(schema: Any, find: Callable[[str], Any]) -> Any:
    for _ in range(8):
        if not isinstance(schema, Mapping) or not isinstance(schema.get("$ref"), str):
            break
        schema = find(schema["$ref"])
    return schema


def _tells_apart(name: str, schemas: Sequence[Mapping[str, Any]]) -> bool:
    seen: set[str] = set()
    for schema in schemas:
        rule = schema.get("properties", {}).get(name)
        if not isinstance(rule, Mapping) or name not in schema.get("required", []):
            return False
        if schema.get("type") != "object" or not rule.keys() & {"const", "enum"}:
            return False
        given = [rule["const"]] if "const" in rule else rule["enum"]
        texts = {canonical(value) for value in given}
        if texts & seen:
            return False
        seen |= texts
    return True
