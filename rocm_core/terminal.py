"""Text that a terminal shows as it is, and does not obey."""

from __future__ import annotations

import re

# Control characters (but line break and tab), what reverses the direction of writing, and halves of
# surrogate pairs, which have no UTF-8 form.
_COMMANDS = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"


def visible(text: str) -> str:
    r"""Return ``text`` with every command to a terminal spelled out: ``\x1b`` for escape.

    Logs, the strings of a GGUF file and what a server says may hold such commands: they would
    rewrite what was shown, or set the title, the clipboard and the keys of a terminal.
    """
    return text if text.isprintable() else re.sub(_COMMANDS, _spelled, text)


def _spelled(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
