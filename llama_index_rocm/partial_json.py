"""Parse JSON that is still being written. Pure.

The parser is pydantic's (``pydantic_core.from_json``). It starts at the beginning each time, so a
long text is parsed again only when it has grown by a fraction of its length: all parses together
cost a multiple of the text's length, not its square.
"""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json

# Up to this many characters every update parses; beyond it, when the text has grown by 1/64.
_SHORT = 4096
_SHARE = 64


class PartialObject:
    """A JSON object that is still being written.

    Attributes:
        value: the object so far; a new dictionary each time it changes. A string, a list or the
            last number in it may be incomplete.
    """

    def __init__(self) -> None:
        self.value: dict[str, Any] = {}
        self._read = 0

    def update(self, text: str) -> bool:
        """Parse ``text``, the whole text so far; return whether ``value`` has changed."""
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
