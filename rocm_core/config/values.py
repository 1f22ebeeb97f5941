"""How option values are written: one parser for each sort of value, for every way in.

    Python argument, TOML, JSON, YAML ──▶ Kind.read(value)
    environment, .env, command line   ──▶ Kind.read_text(text)

Both return the value that the configuration holds, or raise ``ValueError``; ``Kind.allowed`` says
in words what would have been right. Pure; knows no option by name.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from numbers import Number as AnyNumber
from pathlib import Path
from typing import Any

# Patterns as text: re remembers them when they are first used, and imports stay cheap.
_DIGITS = r"\d+(?:_\d+)*"
_DURATION = rf"([-+]?(?:{_DIGITS}\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*(ms|s|m|h|d)?"
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?"
_BYTES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_COUNT = rf"([-+]?{_DIGITS}(?:\.\d+)?)\s*([KM]?)"
_THOUSANDS = {"": 1, "K": 1024, "M": 1024**2}
_DATE = r"\d{4}-\d\d-\d\d"
_SCHEME = r"[a-z][a-z0-9+.-]*://"
# "unix:/run/x.sock"; never what has a name and a password in it, which an error would show.
_OTHER_SCHEME = r"[a-z][a-z0-9+.-]*:(?!//)(?!\d)[^@]*$"
# Names and IP addresses that no model has. A port must follow, then perhaps a prefix.
_LOCAL_ADDRESS = r"(?:localhost|\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-f:.]+\]):\d{1,5}(?:/[^:]*)?"
_MAX_WHOLE = 2**63  # what JSON (orjson) and llama-server hold
_MAX_SECONDS = 1e9  # 31 years; clocks of the kernel and of threads take no more than some 292
_ON = frozenset({"on", "true", "yes", "y", "t", "1"})
_OFF = frozenset({"off", "false", "no", "n", "f", "0"})


class Kind:
    """One sort of value.

    Attributes:
        allowed: what is right, in words that follow "takes".
        placeholder: what stands for a value in a command's help, for example ``SECONDS``.
    """

    allowed = "any value"
    placeholder = "VALUE"

    def read(self, value: Any) -> Any:
        """Return the value as the configuration holds it; raise ``ValueError`` if it is wrong."""
        return value

    def read_text(self, text: str) -> Any:
        """``read`` of text that somebody typed: a variable's or a flag's value."""
        return self.read(text.strip())


class Text(Kind):
    """Text; a path becomes its text."""

    allowed = "text"
    placeholder = "TEXT"

    def read(self, value: Any) -> Any:
        """Accept ``str`` and ``Path``."""
        if not isinstance(value, (str, Path)):
            raise ValueError
        return str(value) if isinstance(value, Path) else value


class Url(Text):
    """The address of a server: a URL, or host, port and prefix of one (``localhost:11434``)."""

    allowed = "a URL, or host:port"
    placeholder = "URL"

    def read(self, value: Any) -> Any:
        """Return it with its scheme."""
        if not isinstance(value, str) or re.match(_OTHER_SCHEME, value.strip(), re.IGNORECASE):
            raise ValueError
        return with_scheme(value)


def with_scheme(address: str) -> str:
    """Return the address of a server as a URL: without a scheme it is ``http``."""
    text = address.strip()
    return f"http://{text}" if text and not re.match(_SCHEME, text, re.IGNORECASE) else text


def is_address(text: str) -> bool:
    """Return whether the text can only be the address of a server, not a model's name or file.

    An ``http(s)://`` URL is; so are ``localhost`` and IP addresses if a port follows. Another name
    with a port may be a model with its tag.
    """
    if text.startswith(("http://", "https://")):
        return True
    return re.fullmatch(_LOCAL_ADDRESS, text, re.IGNORECASE) is not None


class FilePath(Text):
    """A path; ``Path`` stays one."""

    allowed = "a path"
    placeholder = "PATH"

    def read(self, value: Any) -> Any:
        """Accept ``str`` and ``Path``."""
        if not isinstance(value, (str, Path)):
            raise ValueError
        return value


class TextOrPath(FilePath):
    """Text, or a path; only a ``Path`` is surely one."""

    allowed = "text, or a path"
    placeholder = "TEXT|PATH"


class Choice(Kind):
    """One of several words."""

    def __init__(self, *words: str) -> None:
        self.words = words
        self.allowed = "one of " + ", ".join(words)
        self.placeholder = "|".join(words)

    def read(self, value: Any) -> Any:
        """Accept the words as they are written."""
        if value not in self.words:
            raise OutOfRange(f"must be {self.allowed}")
        return self.words[self.words.index(value)]  # of an enumeration: its word


class Whole(Kind):
    """An integer; text may end in ``k`` (1024) or ``M`` (1024²), or be one of ``words``."""

    placeholder = "N"

    def __init__(self, least: int | None = None, **words: int | str) -> None:
        """Args:
        least: the smallest one allowed; ``None`` for no bound.
        words: words that stand for a number, or for themselves.
        """
        self.least = least
        self.words = words
        bound = "" if least is None else f" of {least} or more"
        self.allowed = "".join([f"an integer{bound}", *(f", {word!r}" for word in words)])

    def read(self, value: Any) -> Any:
        """Accept integers, numbers without a fraction (NumPy's as well), and text."""
        if isinstance(value, str):
            text = value.strip()
            if text.lower() in self.words:
                return self.words[text.lower()]
            value = _counted(text)
        whole = int(_number(value))
        if whole != value:
            raise ValueError
        if self.least is not None and whole < self.least:
            raise OutOfRange(f"must be {self.least} or more")
        if abs(whole) >= _MAX_WHOLE:
            raise OutOfRange("must fit into 64 bits")
        return whole


def _counted(text: str) -> int | float:
    found = re.fullmatch(_COUNT, text, re.IGNORECASE)
    if found is None:
        raise ValueError
    number = float(found[1]) if "." in found[1] else int(found[1])  # exact beyond 2**53
    return number * _THOUSANDS[found[2].upper()]


def _number(value: Any) -> int | float:
    """Return a finite number as Python's own; raise ``ValueError`` if it is none."""
    if isinstance(value, bool) or not isinstance(value, AnyNumber):
        raise ValueError
    try:
        number: int | float = value.__index__() if hasattr(value, "__index__") else float(value)  # type: ignore[arg-type]
        if not math.isfinite(float(number)):
            raise ValueError
    except OverflowError as error:
        raise ValueError from error
    return number


class OutOfRange(ValueError):
    """The value is of the right sort and beyond its bounds; the message says which."""


class Number(Kind):
    """A finite number."""

    placeholder = "X"

    def __init__(self, least: float | None = None) -> None:
        """``least``: the smallest one allowed; ``None`` for no bound."""
        self.least = least
        self.allowed = "a finite number" + ("" if least is None else f" of {least:g} or more")

    def read(self, value: Any) -> Any:
        """Return a ``float``, of numbers and text of them; never ``nan`` or an infinity."""
        number = float(_number(float(value) if isinstance(value, str) else value))
        if self.least is not None and number < self.least:
            raise OutOfRange(f"must be {self.least:g} or more")
        return number


class Duration(Kind):
    """Seconds, or text with a unit: ``"250ms"``, ``"30s"``, ``"10m"``, ``"1.5h"``, ``"1d"``."""

    placeholder = "TIME"

    def __init__(self, *, endless: bool = False) -> None:
        """``endless``: whether a negative one means forever; else it is refused."""
        self.endless = endless
        ever = ", -1 forever" if endless else ""
        self.allowed = f'seconds, or text such as "30s", "10m", "1h", "1d"{ever}'

    def read(self, value: Any) -> Any:
        """Return seconds as ``float``; -1.0 forever."""
        if isinstance(value, str):
            found = re.fullmatch(_DURATION, value.strip().lower())
            if found is None:
                raise ValueError
            value = float(found[1]) * _SECONDS[found[2] or "s"]
        seconds = float(_number(value))
        if seconds < 0 and not self.endless:
            raise OutOfRange("must be 0 or more")
        return -1.0 if seconds < 0 else min(seconds, _MAX_SECONDS)


class Date(Kind):
    """A day, as ISO 8601 writes it; kept as that text."""

    allowed = "a date as YYYY-MM-DD"
    placeholder = "YYYY-MM-DD"

    def read(self, value: Any) -> Any:
        """Accept ``str`` and ``datetime.date``."""
        from datetime import date, datetime  # few programs give a date

        if isinstance(value, date) and not isinstance(value, datetime):
            return value.isoformat()
        if not isinstance(value, str) or not re.fullmatch(_DATE, value):
            raise ValueError
        return date.fromisoformat(value).isoformat()


class Size(Kind):
    """Bytes, or text with a unit: ``"24G"``, ``"512MiB"``, ``"1.5g"``; units are powers of 1024."""

    placeholder = "SIZE"

    def __init__(self, **words: int | str) -> None:
        """``words``: words that stand for a size, or for themselves; ``off`` is also False."""
        self.words = words
        self.allowed = ", ".join(["bytes, or text such as 24G or 512M", *map(repr, words)])

    def read(self, value: Any) -> Any:
        """Return bytes, or a word that stands for itself."""
        if value is False:
            value = "off"
        if isinstance(value, str):
            if (word := value.strip().lower()) in self.words:
                return self.words[word]
            found = re.fullmatch(_SIZE, value.strip(), re.IGNORECASE)
            if found is None:
                raise ValueError
            return int(_number(float(found[1]) * _BYTES[found[2].upper()]))
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ValueError
        return value


class Switch(Kind):
    """On or off."""

    def __init__(self, *words: str) -> None:
        """``words``: further ones, which stand for themselves (``"auto"``)."""
        self.words = words
        self.allowed = ", ".join(["True or 'on'", "False or 'off'", *map(repr, words)])
        self.placeholder = "|".join(["on", "off", *words])

    def read(self, value: Any) -> Any:
        """Return ``True``, ``False``, or one of ``words``."""
        if isinstance(value, bool):
            return value
        word = str(value).strip().lower()
        if word in self.words:
            return word
        if word in _ON:
            return True
        if word in _OFF:
            return False
        raise ValueError


class Several(Kind):
    """A list of values of one kind, kept as a tuple; a single value is a list of one."""

    def __init__(self, kind: Kind, what: str) -> None:
        """``what``: what the values are, in words."""
        self.kind = kind
        self.allowed = f"{what}, or one of them"
        self.placeholder = kind.placeholder

    def read(self, value: Any) -> Any:
        """Accept a value or any number of them; text is never split, and empty text is no value."""
        if isinstance(value, str) and not value:
            return ()
        single = isinstance(value, (str, bytes, Path, Mapping)) or not isinstance(value, Iterable)
        try:
            return tuple(self.kind.read(part) for part in ([value] if single else value))
        except OutOfRange as error:  # whose words would be about one value
            raise ValueError from error

    def read_text(self, text: str) -> Any:
        """Accept ``a,b`` and a JSON list."""
        if text.lstrip().startswith("["):
            return self.read(json.loads(text))
        parts = [part for part in text.split(",") if part.strip()]
        if text.strip() and not parts:  # a comma as a value would otherwise be lost
            raise ValueError
        return tuple(self.kind.read_text(part) for part in parts)


_WHOLE = Whole()


class Device(Kind):
    """A GPU: an index, or the text of one, a UUID, a PCI address or a name."""

    allowed = "an index, a UUID, a PCI address or a name"
    placeholder = "GPU"

    def read(self, value: Any) -> Any:
        """Accept integers and ``str``."""
        return value if isinstance(value, str) else _WHOLE.read(value)


class Rule(Kind):
    """A rule of ``--override-tensor``: a regular expression, ``=``, a buffer type."""

    allowed = "rules of the form pattern=buffer, such as 'ffn_.*_exps=CPU'"
    placeholder = "RULE"

    def read(self, value: Any) -> str:
        """Accept ``str`` with something on both sides of the last ``=`` and no comma."""
        if not isinstance(value, str):
            raise ValueError
        pattern, _, buffer = value.rpartition("=")
        if not pattern.strip() or not buffer.strip() or "," in value:
            raise ValueError
        return value


class Pairs(Kind):
    """Names and values."""

    allowed = 'names and values: a mapping, or JSON text such as \'{"NAME": "value"}\''
    placeholder = "JSON"

    def __init__(self, *, none: bool = False) -> None:
        """``none``: whether ``None`` is a value, for a name that is taken away."""
        self._none_allowed = none

    def read(self, value: Any) -> Any:
        """Accept a mapping, pairs, or the text of a JSON object."""
        if isinstance(value, str):
            value = json.loads(value)
        if not isinstance(value, (Mapping, Sequence)):
            raise ValueError
        found = dict(value)
        for name, part in found.items():
            none = self._none_allowed and part is None
            if not isinstance(name, str) or not (isinstance(part, str) or none):
                raise ValueError
        return found


class Json(Kind):
    """Any value; text of a variable is JSON."""

    allowed = "a value, or JSON text of it"
    placeholder = "JSON"

    def read_text(self, text: str) -> Any:
        """Parse JSON."""
        return json.loads(text)
