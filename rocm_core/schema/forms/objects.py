"""Write objects in the forms that both engines enforce. Pure.

llama.cpp reads ``properties``, ``required`` and ``additionalProperties``, ignores a required name
that is no property, and writes no further properties unless they are allowed explicitly. Beside
named properties it builds the names of further ones from character classes, in which some
characters have a meaning (``_build_object_rule`` and ``_not_strings`` in
``common/json-schema-to-grammar.cpp``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rocm_core.schema.limits import OPTIONAL_PROPERTIES
from rocm_core.schema.merge import Flat
from rocm_core.schema.values import TAKEN_FOR_KEYWORDS, sendable

if TYPE_CHECKING:
    from rocm_core.schema.normalize import Normalizer, Sent

# At the root, llama.cpp takes the rule of a property without a name for the whole grammar.
_UNNAMEABLE = frozenset({"", *TAKEN_FOR_KEYWORDS})
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_ .:/@#$%&+;<=>?!|~,(){}'`]+")


class _Object:
    """The parts of an object while they are worked out."""

    def __init__(self, flat: Flat) -> None:
        self.properties: dict[str, Any] = dict(flat.get("properties", {}))
        self.required: list[str] = list(dict.fromkeys(flat.get("required", [])))
        self.others: Any = flat.get("additionalProperties")
        self.patterns: dict[str, Any] = dict(flat.get("patternProperties", {}))
        self.has_properties = "properties" in flat

    def rule(self, name: str) -> Any:
        """Return the schema of a property that is not named: by its pattern, or as any other."""
        rules = [rule for pattern, rule in self.patterns.items() if _matches(pattern, name)]
        if not rules:
            return True if self.others is None else self.others
        return rules[0] if len(rules) == 1 else {"allOf": rules}


def piece(run: Normalizer, flat: Flat, path: str) -> Sent | None:
    """Return what is sent for an object; ``None`` if it allows no value."""
    parts = _Object(flat)
    _by_pattern(run, parts, path)
    _missing(parts)
    if "propertyNames" in flat:
        _by_name(run, flat["propertyNames"], parts, path)
    _without_unnameable(run, parts, path)
    sent = _compiled(run, parts, path)
    if sent is None:
        return None
    if len(sent.get("properties", {})) - len(sent.get("required", [])) > OPTIONAL_PROPERTIES:
        run.note(path, "properties", f"more than {OPTIONAL_PROPERTIES} of them are optional")
        return {"type": "object"}
    return _counted(run, flat, sent, path)


def _matches(pattern: str, name: str) -> bool:
    try:
        return re.search(pattern, name) is not None
    except re.error:
        return False


def _missing(parts: _Object) -> None:
    """Make properties of required names."""
    for name in parts.required:
        if name not in parts.properties:
            parts.properties[name] = parts.rule(name)


def _by_pattern(run: Normalizer, parts: _Object, path: str) -> None:
    """Let further properties have the schemas of all patterns: names cannot be matched."""
    if not parts.patterns:
        return
    for name, rule in parts.properties.items():
        rules = [each for pattern, each in parts.patterns.items() if _matches(pattern, name)]
        if rules:
            parts.properties[name] = {"allOf": [rule, *rules]}
    _missing(parts)
    run.note(path, "patternProperties", "a grammar does not match names with patterns")
    if parts.others is None:
        run.narrow(path, "patternProperties", "properties of no pattern are not written")
    given = [parts.others] if parts.others is not None else []
    parts.others = run.joined([*parts.patterns.values(), *given])
    parts.patterns = {}


def _by_name(run: Normalizer, rule: Any, parts: _Object, path: str) -> None:
    """Name the properties if their names are listed."""
    if rule is True or rule == {}:
        return
    names = run.listed(rule, f"{path}/propertyNames")
    if names is None:
        run.note(path, "propertyNames", "a grammar does not match names with schemas")
        return
    allowed = [name for name in names if isinstance(name, str)]
    others = True if parts.others is None else parts.others
    named = {name: parts.properties.get(name, others) for name in allowed}
    named |= {name: False for name in parts.required if name not in named}
    parts.properties, parts.others, parts.has_properties = named, False, True


def _without_unnameable(run: Normalizer, parts: _Object, path: str) -> None:
    """Make further properties of those whose names llama.cpp takes for something else."""
    names = [name for name in parts.properties if name in _UNNAMEABLE or not sendable(name)]
    if not names:
        return
    for name in names:
        run.note(f"{path}/properties", name, "the engines cannot name a property so")
    if set(names) & set(parts.required):
        run.note(path, "required", f"the engines cannot name a property {names[0]!r}")
    rules = [parts.properties.pop(name) for name in names]
    parts.others = run.joined([*rules, *([parts.others] if parts.others is not None else [])])
    parts.required = [name for name in parts.required if name not in names]


def _compiled(run: Normalizer, parts: _Object, path: str) -> Sent | None:
    properties: dict[str, Sent] = {}
    for name, rule in parts.properties.items():
        inner = run.node(rule, f"{path}/properties/{_escaped(name)}")
        if inner is not None:
            properties[name] = inner
        elif name in parts.required:
            return None
        elif parts.others not in (None, False):
            run.note(f"{path}/properties", name, "a grammar cannot exclude a property")
    sent: Sent = {"type": "object"}
    if properties or parts.has_properties:
        sent["properties"] = properties
    if parts.required:
        sent["required"] = parts.required
    if parts.others is not None:
        others = run.node(parts.others, f"{path}/additionalProperties")
        anything = others == run.node(True, path)
        sent["additionalProperties"] = others is not None if others is None or anything else others
    return _without_odd_names(run, sent, path)


def _without_odd_names(run: Normalizer, sent: Sent, path: str) -> Sent:
    """Allow no further properties beside names that llama.cpp cannot tell from others."""
    odd = [name for name in sent.get("properties", {}) if not _PLAIN_NAME.fullmatch(name)]
    if odd and sent.get("additionalProperties", False) is not False:
        reason = f"no further properties are written beside {odd[0]!r}"
        run.narrow(path, "additionalProperties", reason)
        sent["additionalProperties"] = False
    return sent


def _counted(run: Normalizer, flat: Flat, sent: Sent, path: str) -> Sent | None:
    """Make the number of properties part of what is required, where that says the same."""
    names, required = list(sent.get("properties", {})), sent.get("required", [])
    least, most = int(flat.get("minProperties", 0)), flat.get("maxProperties")
    closed = sent.get("additionalProperties", False) is False
    if most is not None and (most < len(required) or most < least):
        return run.never(path, "maxProperties", "is less than the properties that are required")
    if least > len(required):
        if closed and least == len(names):
            sent["required"] = names
        elif closed and "additionalProperties" in sent and least > len(names):
            return run.never(path, "minProperties", f"is more than the {len(names)} properties")
        else:
            run.note(path, "minProperties", "no grammar counts properties")
    if most is not None and not (closed and "additionalProperties" in sent and most >= len(names)):
        run.note(path, "maxProperties", "no grammar counts properties")
    return sent


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
