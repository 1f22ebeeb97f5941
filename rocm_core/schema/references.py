"""Find what a ``$ref`` names, and give it a name that llama.cpp resolves. Pure.

llama.cpp resolves ``#/a/b`` only, without the escapes ``~0``, ``~1`` and ``%``, and takes two
definitions for one if their names differ in punctuation only (``_resolve_ref`` in
``common/json-schema-to-grammar.cpp``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from rocm_core.errors import ConfigError

Pointer = tuple[str, ...]

_UNSAFE = re.compile(r"[^A-Za-z0-9-]+")


class References:
    """The references of one schema document.

    Args:
        root: the whole document.
        where: what the document is called in errors.
    """

    def __init__(self, root: Any, where: str) -> None:
        self._root = root
        self._where = where
        self._anchors: dict[str, Pointer] | None = None
        self._names: dict[Pointer, str] = {}
        self._taken: set[str] = set()

    def find(self, reference: str, path: str) -> tuple[Pointer, Any]:
        """Return where a reference points, and the schema there.

        Raises:
            ConfigError: it points out of the document, or at nothing.
        """
        base, _, fragment = reference.partition("#")
        own = str(self._root.get("$id", "")) if isinstance(self._root, Mapping) else ""
        if base and base != own.partition("#")[0]:
            raise self._refusal(path, reference, "points to another document")
        fragment = unquote(fragment)
        if fragment and not fragment.startswith("/"):
            pointer = self._anchored().get(fragment)
            if pointer is None:
                raise self._refusal(path, reference, "names no $anchor of the schema")
        else:
            pointer = tuple(
                part.replace("~1", "/").replace("~0", "~") for part in fragment.split("/")[1:]
            )
        return pointer, self._at(pointer, reference, path)

    def name(self, pointer: Pointer) -> str:
        """Return the name of the definition of what is at ``pointer``."""
        if pointer not in self._names:
            self._names[pointer] = self.new_name(pointer[-1] if pointer else "whole")
        return self._names[pointer]

    def new_name(self, wish: str) -> str:
        """Return an unused name like ``wish``."""
        plain = bool(re.fullmatch(r"[A-Za-z0-9_-]+", wish))
        stem = wish if plain else _UNSAFE.sub("-", wish).strip("-") or "part"
        name, number = stem, 1
        while _UNSAFE.sub("-", name) in self._taken:
            number += 1
            name = f"{stem}-{number}"
        self._taken.add(_UNSAFE.sub("-", name))
        return name

    def _at(self, pointer: Pointer, reference: str, path: str) -> Any:
        found = self._root
        for part in pointer:
            if isinstance(found, Mapping) and part in found:
                found = found[part]
            elif isinstance(found, list) and part.isdecimal() and int(part) < len(found):
                found = found[int(part)]
            else:
                raise self._refusal(path, reference, "points at nothing")
        return found

    def _refusal(self, path: str, reference: str, why: str) -> ConfigError:
        return ConfigError(
            f"{self._where}{path.removeprefix('#')}: $ref {reference!r} {why}. Put the definition "
            "under $defs and refer to it as '#/$defs/NAME'."
        )

    def _anchored(self) -> dict[str, Pointer]:
        if self._anchors is None:
            self._anchors = {}
            for pointer, schema in _mappings(self._root, ()):
                for keyword in ("$anchor", "$dynamicAnchor"):
                    if isinstance(name := schema.get(keyword), str):
                        self._anchors.setdefault(name, pointer)
        return self._anchors


def _mappings(value: Any, pointer: Pointer) -> Iterator[tuple[Pointer, Mapping[str, Any]]]:
    if isinstance(value, Mapping):
        yield pointer, value
        for key, inner in value.items():
            yield from _mappings(inner, (*pointer, str(key)))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _mappings(inner, (*pointer, str(index)))
