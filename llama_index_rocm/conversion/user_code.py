"""Find code of the user's that pydantic runs when it validates a class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

# Parts of a schema that do not run in validation.
_ELSEWHERE = frozenset({"serialization", "metadata", "default", "default_factory"})


def runs_code(cls: type[BaseModel]) -> bool:
    """Return whether validating ``cls`` runs code that is not pydantic's own.

    Validators of fields and models, in ``cls`` and in all classes below it, as methods or inside
    ``Annotated``; ``__init__`` and ``model_post_init``.
    """
    cls.model_rebuild()
    return any(map(_runs_code, _schemas(cls.__pydantic_core_schema__)))


def _schemas(node: Any) -> Iterator[Mapping[str, Any]]:
    stack = [node]
    while stack:
        node = stack.pop()
        if isinstance(node, Mapping):
            yield node
            stack += [value for name, value in node.items() if name not in _ELSEWHERE]
        elif isinstance(node, (list, tuple)):
            stack += node


def _runs_code(schema: Mapping[str, Any]) -> bool:
    if schema.get("custom_init"):
        return True
    if hook := schema.get("post_init"):
        # Pydantic sets one of its own for private attributes.
        run = getattr(schema.get("cls"), str(hook), None)
        return getattr(run, "__name__", "") != "init_private_attributes"
    if not str(schema.get("type", "")).startswith("function-"):
        return False
    function = schema.get("function")
    called = function.get("function") if isinstance(function, Mapping) else function
    module = getattr(called, "__module__", None) or ""
    return module.partition(".")[0] not in ("pydantic", "pydantic_core")
