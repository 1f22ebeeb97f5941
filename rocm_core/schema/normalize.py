"""Rewrite a schema in the few forms that both engines enforce. Pure.

    any schema ─▶ joined (``merge``) ─▶ one of: a reference, alternatives, values,
                                        an object, a list, a string, a number, a constant

Order of reading in llama.cpp (``visit`` in ``common/json-schema-to-grammar.cpp``): ``$ref``,
``anyOf``, a list of types, ``const``, ``enum``, then what belongs to the type. Whatever stands
beside the first of these is ignored there, so here it is moved inside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rocm_core.errors import ConfigError
from rocm_core.schema.forms import arrays, objects, scalars
from rocm_core.schema.keywords import ANNOTATIONS, CHECKED, OF_TYPE, SHOWN, TYPES
from rocm_core.schema.limits import ALL_REPEATS, DEPTH, SCHEMAS
from rocm_core.schema.merge import Flat, canonical, merged, types_of
from rocm_core.schema.references import Pointer, References
from rocm_core.schema.values import check_keywords, sendable

Sent = dict[str, Any]

_IGNORED_BESIDE_REF = frozenset({*ANNOTATIONS, "$ref", "$defs", "definitions", "$comment"})
_IDLE: Mapping[str, tuple[Any, ...]] = {
    "uniqueItems": (False,),
    **dict.fromkeys(("unevaluatedProperties", "unevaluatedItems"), (True, {})),
    **dict.fromkeys(("dependentRequired", "dependentSchemas", "dependencies"), ({},)),
}
_LOOKS_BACK = "a grammar does not try a second alternative"


class Normalizer:
    """One run over one schema document.

    Attributes:
        notes: what the engine does not enforce, ``(path, keyword) → reason``.
        narrowed: what the sent schema tightens, likewise.
        definitions: the definitions that the sent schema refers to.
    """

    def __init__(self, root: Any, where: str, shown: bool) -> None:
        self.notes: dict[tuple[str, str], str] = {}
        self.narrowed: dict[tuple[str, str], str] = {}
        self.definitions: dict[str, Sent | None] = {}
        self._references = References(root, where)
        self._where = where
        self._shown = shown
        self._active: dict[str, str | None] = {}
        self._impossible = ("#", "schema", "allows no value")
        self._left = SCHEMAS
        self._repeats_left = ALL_REPEATS
        self._depth = 0

    # ---- what the parts of a schema use ----------------------------------------------------

    def note(self, path: str, keyword: str, reason: str) -> None:
        """Note that the engine does not enforce a keyword."""
        self.notes.setdefault((path, keyword), reason)

    def narrow(self, path: str, keyword: str, reason: str) -> None:
        """Note that what is sent allows less than a keyword."""
        self.narrowed.setdefault((path, keyword), reason)

    def never(self, path: str, keyword: str, reason: str) -> Sent | None:
        """Remember why no value is allowed at ``path``, and return ``None``, which says so."""
        self._impossible = (path, keyword, reason)
        return None

    def spend(self, times: int) -> bool:
        """Return whether the schema may have a repetition of so many elements more."""
        self._repeats_left -= times
        return self._repeats_left >= 0

    def refusal(self, path: str, keyword: str, reason: str, remedy: str) -> ConfigError:
        """Return the error of a schema that cannot be sent."""
        return ConfigError(f"{self._where}{path.removeprefix('#')}: {keyword} {reason}. {remedy}")

    def impossible(self) -> ConfigError:
        """Return the error of a schema that allows no value."""
        path, keyword, reason = self._impossible
        return self.refusal(path, keyword, reason, "No answer can fit: change the schema.")

    def joined(self, schemas: list[Any]) -> Any:
        """Return alternatives as one schema, without doubles; ``False`` for none."""
        found = list(
            {canonical(schema): schema for schema in schemas if schema is not False}.values()
        )
        if any(schema in (True, {}) for schema in found):
            return True
        return {"anyOf": found} if len(found) > 1 else found[0] if found else False

    def listed(self, schema: Any, path: str) -> list[Any] | None:
        """Return the values that a schema lists; ``None`` if it lists none."""
        flat = self._flat(schema, path, (), [])
        if flat is None:
            return []
        if "const" in flat:
            return [flat["const"]]
        return flat.get("enum")

    # ---- one schema ------------------------------------------------------------------------

    def node(self, schema: Any, path: str) -> Sent | None:
        """Return what is sent for a schema; ``None`` if it allows no value.

        Raises:
            ConfigError: a keyword has a value of a wrong kind, a reference cannot be resolved, or
                the schema is too large.
        """
        if schema is True:
            return _anything()
        if schema is False:
            return self.never(path, "schema", "is false")
        check_keywords(schema, path, self)
        self._left -= 1
        self._depth += 1
        if self._left < 0 or self._depth > DEPTH:
            many = f"has more than {SCHEMAS} parts" if self._left < 0 else "is nested too deeply"
            raise self.refusal(path, "schema", many, "Split it, or ask for its parts one by one.")
        try:
            sent = self._node(schema, path)
        finally:
            self._depth -= 1
        return self._as_given(sent, schema) if sent is not None else None

    def _node(self, schema: Mapping[str, Any], path: str) -> Sent | None:
        if schema.keys() <= _IGNORED_BESIDE_REF and "$ref" in schema:
            return self._reference(schema["$ref"], path)
        inlined: list[Pointer] = []
        flat = self._flat(schema, path, (), inlined)
        if flat is None:
            return self.never(path, "schema", "has parts that exclude each other")
        if not inlined:
            return self._of_flat(flat, path)
        key = canonical(flat)
        if key in self._active:
            name = self._active[key] or self._references.new_name("part")
            self._active[key] = name
            return {"$ref": f"#/$defs/{name}"}
        self._active[key] = None
        sent = self._of_flat(flat, path)
        recursive = self._active.pop(key)
        if recursive is None:
            return sent
        self.definitions[recursive] = sent
        return {"$ref": f"#/$defs/{recursive}"}

    def _reference(self, reference: str, path: str) -> Sent | None:
        pointer, target = self._references.find(reference, path)
        name = self._references.name(pointer)
        if name not in self.definitions:
            self.definitions[name] = {}
            depth, self._depth = self._depth, 0
            self.definitions[name] = self.node(target, "/".join(("#", *pointer)))
            self._depth = depth
        if self.definitions[name] is None:
            return None
        return {"$ref": f"#/$defs/{name}"}

    def _as_given(self, sent: Sent, schema: Mapping[str, Any]) -> Sent:
        """Return what is sent with what a model may read, in the order of what was given."""
        extra = {key: schema[key] for key in ANNOTATIONS if key in schema and key not in sent}
        if self._shown and "pattern" not in sent and "anyOf" not in sent and "$ref" not in sent:
            extra |= {key: schema[key] for key in SHOWN if key in schema and key not in sent}
        extra = {key: value for key, value in extra.items() if sendable(value)}
        whole = {**sent, **extra}
        order = [key for key in schema if key in whole]
        return {key: whole[key] for key in dict.fromkeys([*order, *whole])}

    # ---- joining ---------------------------------------------------------------------------

    def _flat(
        self, schema: Any, path: str, seen: tuple[Pointer, ...], inlined: list[Pointer]
    ) -> Flat | None:
        """Return a schema without ``$ref``, ``allOf`` and ``oneOf``; ``None`` allows no value."""
        if isinstance(schema, bool):
            return {} if schema else None
        check_keywords(schema, path, self)
        parts: list[Flat | None] = []
        if "$ref" in schema:
            pointer, target = self._references.find(schema["$ref"], path)
            if pointer not in seen:
                inlined.append(pointer)
                parts.append(self._flat(target, path, (*seen, pointer), inlined))
        parts += [self._flat(part, path, seen, inlined) for part in schema.get("allOf", [])]
        parts.append(self._own(schema, path))
        result: Flat | None = {}
        for part in parts:
            if result is None or part is None:
                return None
            result = merged(result, part, lambda keyword, why: self.note(path, keyword, why))
        return result

    def _own(self, schema: Mapping[str, Any], path: str) -> Flat | None:
        """Return the keywords of a schema that can be sent, and note the others."""
        for keyword, reason in CHECKED.items():
            if keyword in schema and schema[keyword] not in _IDLE.get(keyword, ()):
                self.note(path, keyword, reason)
        own = {key: value for key, value in schema.items() if key in _KNOWN}
        if isinstance(own.get("items"), list):
            own["prefixItems"] = own.pop("items")
            if "additionalItems" in schema:
                own["items"] = schema["additionalItems"]
        if "oneOf" not in schema:
            return own
        if not scalars.disjoint(schema["oneOf"], lambda ref: self._references.find(ref, path)[1]):
            self.note(path, "oneOf", _LOOKS_BACK)
        alternatives = {"anyOf": list(schema["oneOf"])}
        return merged(own, alternatives, lambda keyword, why: self.note(path, keyword, why))

    # ---- the forms -------------------------------------------------------------------------

    def _of_flat(self, flat: Flat, path: str) -> Sent | None:
        if "anyOf" in flat:
            return self._alternatives(flat, path)
        if "const" in flat or "enum" in flat:
            return scalars.values(self, flat, path)
        types = self._types(flat, path)
        pieces = self._pieces(types, flat, path)
        if not pieces and "type" not in flat:
            pieces = self._pieces([kind for kind in TYPES if kind not in types], flat, path)
        if not pieces:
            return None
        return pieces[0] if len(pieces) == 1 else _one_of_types(pieces)

    def _pieces(self, types: Sequence[str], flat: Flat, path: str) -> list[Sent]:
        return [piece for kind in types if (piece := self._piece(kind, flat, path)) is not None]

    def _alternatives(self, flat: Flat, path: str) -> Sent | None:
        rest = {key: value for key, value in flat.items() if key not in ("anyOf", *ANNOTATIONS)}
        found: list[Sent] = []
        for index, alternative in enumerate(flat["anyOf"]):
            whole = {"allOf": [rest, alternative]} if rest else alternative
            sent = self.node(whole, f"{path}/anyOf/{index}")
            if sent is None:
                continue
            inner = sent["anyOf"] if sent.keys() == {"anyOf"} else [sent]
            found += [each for each in inner if each not in found]
        if not found:
            return self.never(path, "anyOf", "has no alternative that allows a value")
        return found[0] if len(found) == 1 else {"anyOf": found}

    def _types(self, flat: Flat, path: str) -> list[str]:
        """Return the types of a schema; if it names none, those that its keywords concern."""
        if "type" in flat:
            given = types_of(flat)
            return [kind for kind in given if kind != "integer" or "number" not in given]
        implied = [
            kind for kind, keywords in OF_TYPE.items() if any(key in flat for key in keywords)
        ]
        for kind in implied:
            keyword = next(key for key in OF_TYPE[kind] if key in flat)
            self.narrow(path, keyword, f"it has no type: it is taken for {' or '.join(implied)}")
        return implied or list(TYPES)

    def _piece(self, kind: str, flat: Flat, path: str) -> Sent | None:
        if kind == "object":
            return objects.piece(self, flat, path)
        if kind == "array":
            return arrays.piece(self, flat, path)
        if kind == "string":
            return scalars.string(self, flat, path)
        if kind in ("integer", "number"):
            return scalars.number(self, flat, path, kind)
        return {"type": kind}


_KNOWN = frozenset(
    {"type", "const", "enum", "anyOf", *ANNOTATIONS}
    | {keyword for keywords in OF_TYPE.values() for keyword in keywords}
) - {"additionalItems"}


def _anything() -> Sent:
    # Not {}: the engines disagree about what it allows.
    return {"type": list(TYPES)}


def _one_of_types(pieces: list[Sent]) -> Sent:
    """Join schemas of different types: as a list of types if that is the same."""
    if any("type" not in piece or piece.keys() & {"enum", "const", "anyOf"} for piece in pieces):
        found: list[Sent] = []
        for piece in pieces:
            found += piece["anyOf"] if piece.keys() == {"anyOf"} else [piece]
        return {"anyOf": found}
    types = [piece["type"] for piece in pieces]
    keywords = {key: value for piece in pieces for key, value in piece.items() if key != "type"}
    return {"type": types, **keywords}
