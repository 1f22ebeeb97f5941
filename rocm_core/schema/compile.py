"""Compile a JSON schema for the grammars of llama-server. Pure.

    compile_schema(schema) ─▶ what is sent, what is only checked afterwards, what is tightened
                           └▶ ConfigError: where, which keyword, why, and what to do

The answer is checked against the schema as it was given (``check``); what is sent helps the engine
to write such an answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rocm_core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Unenforced:
    """A keyword that the engine does not keep to the letter.

    Attributes:
        path: JSON pointer of the subschema in the schema as given, such as ``#/properties/age``.
        keyword: the keyword; for a property that cannot be sent, its name.
        reason: why.
    """

    path: str
    keyword: str
    reason: str


@dataclass(frozen=True, slots=True)
class CompiledSchema:
    """A schema for the engine.

    Attributes:
        sent: the schema to send; yours to change.
        unenforced: keywords that ``sent`` does not hold: an answer may break them.
        narrowed: keywords of which ``sent`` allows less than the schema: answers keep them, but
            some values that fit are never written.
    """

    sent: dict[str, Any]
    unenforced: tuple[Unenforced, ...] = ()
    narrowed: tuple[Unenforced, ...] = ()


def compile_schema(
    schema: Mapping[str, Any] | bool, *, where: str = "schema", shown: bool = False
) -> CompiledSchema:
    """Compile a schema for both engines.

    Args:
        schema: a JSON schema of draft 2020-12, or of an earlier draft from 6 on; not changed.
        where: what it is called in errors, such as ``json_schema``.
        shown: whether the model reads the schema, as it does with a tool's parameters: keywords
            that the grammar ignores are kept.

    Raises:
        ConfigError: it is no JSON schema, refers to what is not in it, allows no value, or is too
            large; the message names the place in the schema, the keyword and the remedy.
    """
    try:
        text = json.dumps(schema, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"{where} is not JSON: {error}. Give a JSON schema.") from error
    # Read anew each time, because the caller may change it: a third of what a deep copy takes.
    sent, unenforced, narrowed = _compiled(text, where, shown)
    return CompiledSchema(json.loads(sent), unenforced, narrowed)


@lru_cache(maxsize=256)
def _compiled(
    text: str, where: str, shown: bool
) -> tuple[str, tuple[Unenforced, ...], tuple[Unenforced, ...]]:
    """Return the schema to send as JSON, and what it does not hold and what it narrows."""
    # Not at the top: a program that has no schemas need not wait for them.
    from rocm_core.schema.normalize import Normalizer
    from rocm_core.schema.values import without_nulls

    schema = without_nulls(json.loads(text))
    run = Normalizer(schema, where, shown)
    sent = run.node(schema, "#")
    if sent is None:
        raise run.impossible()
    if not _ends(sent, run.definitions):
        remedy = "Make a property optional, or let a list be empty or have minItems: 0."
        raise run.refusal("#", "$ref", "leads back to itself in every value, without end", remedy)
    for name in run.definitions:
        if name in _unguarded(name, run.definitions):
            raise run.refusal(
                f"#/$defs/{name}", "$ref", "refers to itself at once", "Put a property between."
            )
    return (
        json.dumps(_with_definitions(sent, run.definitions)),
        tuple(Unenforced(*place, reason) for place, reason in run.notes.items()),
        tuple(Unenforced(*place, reason) for place, reason in run.narrowed.items()),
    )


def _with_definitions(sent: dict[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Return the whole schema: no reference at its root, and the definitions that it uses."""
    while (target := _target(sent)) is not None:
        # Chat templates and llama.cpp's tool calls look for ``properties`` at the root.
        sent = {**definitions[target], **{k: v for k, v in sent.items() if k != "$ref"}}
    used: dict[str, Any] = {}
    waiting = list(_references(sent))
    while waiting:
        if (name := waiting.pop(0)) not in used:
            used[name] = definitions[name]
            waiting += _references(definitions[name])
    return {**sent, "$defs": used} if used else sent


def _references(part: Any) -> Iterator[str]:
    """Yield the names of the definitions that a compiled schema refers to."""
    if isinstance(part, Mapping):
        if isinstance(part.get("$ref"), str):
            yield str(_target(part))
        for inner in part.values():
            yield from _references(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _references(inner)


def _unguarded(name: str, definitions: Mapping[str, Any]) -> set[str]:
    """Return the definitions that are reached from one without a value in between."""
    found: set[str] = set()
    waiting = [definitions[name]]
    while waiting:
        part = waiting.pop() or {}
        waiting += part.get("anyOf", [])
        target = _target(part)
        if target is not None and target not in found:
            found.add(target)
            waiting.append(definitions.get(target))
    return found


def _target(part: Mapping[str, Any]) -> str | None:
    reference = part.get("$ref")
    return str(reference).rpartition("/")[2] if reference is not None else None


def _ends(sent: Any, definitions: Mapping[str, Any]) -> bool:
    """Return whether some value of a schema is finite."""
    known: set[str] = set()
    while True:
        new = {
            name
            for name, part in definitions.items()
            if name not in known and part is not None and _finite(part, known)
        }
        if not new:
            return _finite(sent, known)
        known |= new


def _finite(part: Mapping[str, Any], known: set[str]) -> bool:
    if (target := _target(part)) is not None:
        return target in known
    if "anyOf" in part:
        return any(_finite(inner, known) for inner in part["anyOf"])
    kind = part.get("type")
    if isinstance(kind, list) or "enum" in part or "const" in part:
        return True
    return all(_finite(inner, known) for inner in _needed(part))


def _needed(part: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the schemas that every value of an object or a list has inside."""
    for name in part.get("required", []):
        yield part["properties"][name]
    yield from part.get("prefixItems", [])
    if part.get("minItems") and "items" in part:
        yield part["items"]
