"""What ``GET /v1/models`` lists, and which entry a name means. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

Listing = Sequence[Mapping[str, Any]]


def ids(models: Listing) -> list[str]:
    """The ids, as requests name them."""
    return [str(model["id"]) for model in models if isinstance(model, Mapping) and model.get("id")]


def find(models: Listing, name: str) -> str | None:
    """The id of the model that ``name`` means: its id, an alias, or its file's name.

    llama-server shows the path it was started with as the id unless ``--alias`` is given, and a
    router the names of its files without ``.gguf``.
    """
    for same in (_exactly, _as_file):
        for model in models:
            if isinstance(model, Mapping) and model.get("id") and same(model, name):
                return str(model["id"])
    return None


def _exactly(model: Mapping[str, Any], name: str) -> bool:
    aliases = model.get("aliases") or ()
    return name == model["id"] or (isinstance(aliases, Sequence) and name in aliases)


def _as_file(model: Mapping[str, Any], name: str) -> bool:
    return _stem(name) == _stem(str(model["id"]))


def _stem(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).name.removesuffix(".gguf")
