"""Make the TypedDicts of ``typing`` such that pydantic takes them. Pure.

Before Python 3.12 pydantic takes those of ``typing_extensions`` alone
(https://errors.pydantic.dev/2/u/typed-dict-version).
"""

from __future__ import annotations

import functools
import operator
import sys
import types
from typing import Any, get_args, get_origin, get_type_hints

from typing_extensions import Annotated, Literal, TypedDict, is_typeddict  # noqa: UP035

_NEEDED = sys.version_info < (3, 12)


def readable_by_pydantic(hint: Any) -> Any:
    """Return a type, with TypedDicts of ``typing_extensions`` in place of those in it."""
    return _copy(hint, {}) if _NEEDED else hint


def _copy(hint: Any, made: dict[Any, Any]) -> Any:
    if is_typeddict(hint):
        return made[hint] if hint in made else _of_class(hint, made)
    args = get_args(hint)
    if not args or get_origin(hint) is Literal:
        return hint
    if get_origin(hint) is Annotated:
        return Annotated[(_copy(args[0], made), *args[1:])]
    copies = tuple(_copy(arg, made) for arg in args)
    changed = any(copy is not arg for copy, arg in zip(copies, args, strict=True))
    return _with_args(hint, copies) if changed else hint


def _with_args(hint: Any, args: tuple[Any, ...]) -> Any:
    if isinstance(hint, types.UnionType):
        return functools.reduce(operator.or_, args)
    if isinstance(hint, types.GenericAlias):
        return types.GenericAlias(get_origin(hint), args)
    return hint.copy_with(args)


def _of_class(cls: Any, made: dict[Any, Any]) -> Any:
    made[cls] = copy = TypedDict(cls.__name__, {})  # type: ignore[operator]
    for name in ("__module__", "__qualname__", "__doc__", "__total__"):
        setattr(copy, name, getattr(cls, name))
    copy.__required_keys__, copy.__optional_keys__ = cls.__required_keys__, cls.__optional_keys__
    hints = get_type_hints(cls, include_extras=True)
    copy.__annotations__ = {name: _copy(hint, made) for name, hint in hints.items()}
    return copy
