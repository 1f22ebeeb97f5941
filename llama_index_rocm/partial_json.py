"""JSON that is still being written. Pure.

The parser is pydantic's own (``pydantic_core.from_json``). It reads from the beginning each
time, so a long text is read again only when it has grown by a share of its length: all readings
together cost a multiple of the text's length, not its square.
"""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json

# Up to this length every piece is read at once; beyond it, when the text has grown by 1/64.
_SHORT = 4096
_SHARE = 64


class PartialObject:
    """A JSON object as it grows.

    Attributes:
        value: what there is of it; a new dictionary each time it changes. A string or a list
            in it may be cut short, and so may a number that is last.
    """

    def __init__(self) -> None:
        self.value: dict[str, Any] = {}
        self._read = 0

    def update(self, text: str) -> bool:
        """Read ``text``, the whole of it so far; whether ``value`` has changed."""
        if len(text) > _SHORT and (len(text) - self._read) * _SHARE < len(text):
            return False
        self._read = len(text)
        try:
            value = from_json(text, allow_partial="trailing-strings")
        except ValueError:
            return False
        if not isinstance(value, dict) or value == self.value:
            return False
        self.value = value
        return True
