"""What an option is: its kind of value, default, unit and one sentence, declared once.

The dataclasses of this room declare their fields with ``option(...)``. From these declarations
come the parsing on construction, the settings, the adapters' fields, the command line's flags, the
request's fields, ``.env.example`` and ``docs/reference/options.md`` (``scripts/generate.py``).
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from rocm_core.config.values import Kind, OutOfRange
from rocm_core.errors import ConfigError

_KEY = "option"
_CHOICE_OF_NONE = "none"
_MAX_SHOWN = 200
C = TypeVar("C", bound=type[Any])


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return a path with its ``~`` replaced; that of an unknown user stays, as in a shell."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path's raises RuntimeError for it


@dataclass(eq=False, kw_only=True)
class Option:
    """One option.

    Attributes:
        name: its flat name, the same in every way in.
        attribute: its name in the dataclass that declares it.
        kind: how its value is written.
        default: when nobody gives it.
        text: one sentence: what it is, and what the unset or special values mean.
        unit: of its number; empty for none.
        nullable: whether ``None`` is a value of it.
        annotation: its Python type, as the dataclass writes it.
        adapter_default: its default in the adapters; ``...`` where that is ``default``.
        in_adapters: whether the adapters have a field of this name.
        setting: whether the environment and the configuration files may give it.
        flag: the command line's flag without ``--``; ``None`` for none.
        wire: llama-server's own name for it: a field of a request, or a flag.
        secret: whether its value is never shown.
        example: a value for ``.env.example``, as text; empty for the default.
    """

    name: str
    attribute: str
    kind: Kind
    default: Any
    text: str
    unit: str = ""
    nullable: bool = False
    annotation: str = ""
    adapter_default: Any = ...  # as ``default``
    in_adapters: bool = True
    setting: bool = True
    flag: str | None = None
    wire: str = ""
    secret: bool = False
    example: str = ""

    @property
    def sentence(self) -> str:
        """Return the text with the unit, as help, fields and pages show it."""
        return f"{self.text} Unit: {self.unit}." if self.unit else self.text

    @property
    def allowed(self) -> str:
        """Return what it takes, in words."""
        return self.kind.allowed + (", or None" if self.nullable else "")

    @property
    def variable(self) -> str:
        """Return the part of its environment variable after the prefix."""
        return self.name.upper()

    def read(self, value: Any) -> Any:
        """Return ``value`` as the configuration holds it.

        Raises:
            ConfigError: it is wrong; the message names the option, the value (unless that is
                secret), and what is allowed.
        """
        return self._read(value, self.kind.read)

    def read_text(self, text: str) -> Any:
        """``read`` of what somebody typed; ``none`` is ``None``, unless that is a word of it."""
        none = text.strip().lower() == _CHOICE_OF_NONE and not self._knows_none()
        return self._read(None if none and self._takes_none() else text, self.kind.read_text)

    def complaint(self, error: BaseException) -> str:
        """Return what a wrong value is told, without the value."""
        if isinstance(error, OutOfRange):
            return str(error)
        return f"takes {self.allowed}"

    def _knows_none(self) -> bool:
        return _CHOICE_OF_NONE in getattr(self.kind, "words", ())

    def _takes_none(self) -> bool:
        return self.nullable or self.default in ((), {})

    def _read(self, value: Any, read: Any) -> Any:
        if value is None and self._takes_none():
            return type(self.default)() if self.default in ((), {}) else None
        try:
            return read(value)
        except (ValueError, TypeError, RecursionError) as error:
            given = "" if self.secret else f", not {_shown(value)}"
            raise ConfigError(f"{self.name} {self.complaint(error)}{given}") from error


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # an integer of more than 4300 digits
        text = f"a number of {value.bit_length()} bits"
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"


def option(
    default: Any,
    kind: Kind,
    text: str,
    *,
    compare: bool = True,
    repr: bool = True,
    **facts: Any,
) -> Any:
    """Return the dataclass field of an option.

    Args:
        default: its default; ``None`` makes it nullable.
        kind: how its value is written.
        text: one sentence about it.
        compare, repr: as in ``dataclasses.field``.
        facts: further fields of ``Option``.
    """
    facts = {"nullable": default is None, **facts, "kind": kind, "default": default, "text": text}
    metadata = {_KEY: facts}
    if callable(default):
        return field(default_factory=default, compare=compare, repr=repr, metadata=metadata)
    return field(default=default, compare=compare, repr=repr, metadata=metadata)


def options_of(cls: type[Any]) -> dict[str, Option]:
    """Return the options that a dataclass declares, by attribute, in order."""
    if cls not in _known:
        _known[cls] = _declared(cls)
    return _known[cls]


_known: dict[type[Any], dict[str, Option]] = {}


def _declared(cls: type[Any]) -> dict[str, Option]:
    found = {}
    for declared in dataclasses.fields(cls):
        facts = dict(declared.metadata[_KEY])
        if callable(facts["default"]):
            facts["default"] = facts["default"]()
        facts.setdefault("name", declared.name)
        facts.setdefault("flag", facts["name"].replace("_", "-"))
        facts.setdefault("annotation", str(declared.type))
        found[declared.name] = Option(attribute=declared.name, **facts)
    return found


def read_options(config: Any) -> None:
    """Parse every option of a dataclass in place; for ``__post_init__``.

    Raises:
        ConfigError: a value is wrong.
    """
    for name, declared in options_of(config.__class__).items():
        value = getattr(config, name)
        if value is not declared.default:
            object.__setattr__(config, name, declared.read(value))


def documented(cls: C) -> C:
    """Append the options to the docstring of a dataclass, so that ``help()`` shows them."""
    lines = [
        f"        {declared.name}: {declared.metadata[_KEY]['text']}"
        for declared in dataclasses.fields(cls)
    ]
    cls.__doc__ = "\n".join([f"{(cls.__doc__ or '').rstrip()}\n", "    Attributes:", *lines, ""])
    return cls
