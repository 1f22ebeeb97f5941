"""Say which text of a request cannot be sent, or was refused. Pure.

A text may hold half a surrogate pair (of ``json.loads('"\\\\ud83d"')``, or of a file name): Python
takes it for text, UTF-8 and so JSON have no form for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rocm_core.errors import ConfigError

_SHOWN = 40


def check_texts(texts: Sequence[Any], what: str = "texts", first: int = 0) -> None:
    """Raise if one of several texts is none that can be sent.

    Args:
        texts: what should be texts.
        what: the name of the list in the error.
        first: the index of the first one in the caller's list.

    Raises:
        ConfigError: ``texts`` is one text, or one of them is no text or holds half a surrogate
            pair; the error has its index and its beginning.
    """
    if isinstance(texts, (str, bytes)):
        raise ConfigError(f"{what} is one text: give a list of texts, [{_begin(texts)}]")
    for index, text in enumerate(texts, first):
        if not isinstance(text, str):
            raise ConfigError(f"{what}[{index}] is no text but {_begin(text)}, a {_class(text)}")
        if fault := text_fault(text):
            raise ConfigError(f"{named(texts, index - first, what, first)} {fault}")


def named(texts: Sequence[str], index: int, what: str = "texts", first: int = 0) -> str:
    """Return how an error names one of several texts: by its index and its beginning."""
    return f"{what}[{index + first}], which begins with {_begin(texts[index])},"


def text_fault(text: str) -> str:
    """Return why a text has no UTF-8 form, and what to do; empty if it has one."""
    if text.isascii():
        return ""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return (
            f"holds half a surrogate pair, U+{ord(text[error.start]):04X}, at character "
            f"{error.start}: repair it where it is read, text.encode('utf-16', 'surrogatepass')"
            ".decode('utf-16', 'replace')"
        )
    return ""


def body_fault(body: Any) -> str:
    """Return which part of a request's body has no JSON form, and why; empty if it is none.

    Args:
        body: mappings, sequences, texts, numbers, truth values and ``None``.
    """
    for path, value in _parts(body, ""):
        if isinstance(value, str):
            if fault := text_fault(value):
                return f"{path}, which begins with {_begin(value)}, {fault}"
        elif not isinstance(value, (int, float, type(None))):
            return f"{path} is {_begin(value)}, a {_class(value)}"
    return ""


def _parts(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield f"the name {name!r:.40} in {path or 'the request'}", name
            yield from _parts(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            yield from _parts(inner, f"{path}[{index}]")
    else:
        yield path, value


def _begin(value: Any) -> str:
    if isinstance(value, (str, bytes)):
        return repr(value) if len(value) <= _SHOWN else f"{value[:_SHOWN]!r}…"
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"


def _class(value: Any) -> str:
    return type(value).__name__
