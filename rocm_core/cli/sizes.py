"""Sizes in bytes, as people write and read them."""

from __future__ import annotations

import argparse

from rocm_core.config.values import Size

# GiB; no GPU has more memory, and nobody means so few bytes.
_LARGEST_GPU = 1024


def parse_size(text: str) -> int:
    """Return the bytes of ``24G``, ``512MiB`` or ``1.5g``; every unit is a power of 1024.

    Raises:
        argparse.ArgumentTypeError: ``text`` is no size.
    """
    try:
        return int(Size().read_text(text))
    except ValueError:
        message = f"{text!r} is no size; write it like 24G or 512M"
        raise argparse.ArgumentTypeError(message) from None


def parse_memory(text: str) -> int:
    """Return the bytes of a GPU's memory: as ``parse_size``, and a bare ``24`` is 24 GiB.

    Raises:
        argparse.ArgumentTypeError: ``text`` is no size, or a number that may be anything.
    """
    try:
        number = float(text)
    except ValueError:
        return parse_size(text)
    if not 0 < number <= _LARGEST_GPU:
        raise argparse.ArgumentTypeError(f"{text} of what? Write {text}M, {text}K or {text}B")
    return int(number * (1 << 30))


def show_size(size: int) -> str:
    """``size`` bytes in the largest unit that leaves a whole number before the point."""
    if size < 1 << 20:
        return f"{size / 1024:.1f} KiB"
    if size < 1 << 30:
        return f"{size / (1 << 20):.1f} MiB"
    return f"{size / (1 << 30):.2f} GiB"
