"""What an adapter shows of itself: the options that differ from their defaults, and its model."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rocm_core.model.text_model import TextModel

_OUR_PACKAGES = ("rocm_core", "langchain_rocm", "llama_index_rocm")
# What a framework sets, or gives a value that is no text to read, is left out.
_READABLE = (str, int, float)


class ShownOptions:
    """An adapter that is one short line as text, and a table in a notebook; no I/O."""

    _text_model: TextModel | None

    def __repr_args__(self) -> Any:
        """What ``repr`` shows: the options that differ from their defaults."""
        return list(options_of(self))

    def _repr_html_(self) -> str:
        return html_of(self, self._text_model)


def options_of(adapter: Any) -> Iterator[tuple[str, Any]]:
    """Yield name and value of the options that differ from their defaults; no secrets, no I/O."""
    cls: type = type(adapter)
    ours, model_fields = _our_fields(cls), type(adapter).model_fields
    for name in sorted(model_fields, key=lambda name: name not in ("model", "base_url")):
        field, value = model_fields[name], getattr(adapter, name, None)
        given = name in ours or (name in adapter.model_fields_set and isinstance(value, _READABLE))
        if given and field.repr and value != field.get_default(call_default_factory=True):
            yield name, value


@functools.cache
def _our_fields(cls: Any) -> frozenset[str]:
    """Return the fields that are declared here, rather than in a framework."""
    return frozenset(
        name
        for base in cls.__mro__
        if base.__module__.partition(".")[0] in _OUR_PACKAGES
        for name in inspect.get_annotations(base)
    )


def html_of(adapter: Any, model: TextModel | None) -> str:
    """Return what a notebook shows of an adapter."""
    from rocm_core.display.table import html_table

    options = [(name, str(value)) for name, value in options_of(adapter)]
    facts = model.facts() if model else [("state", "not loaded: that is done at first use")]
    return html_table(
        type(adapter).__name__, (), [*options, *(f for f in facts if f[0] != "model")]
    )
