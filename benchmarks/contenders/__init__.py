"""Who competes. Each contender delivers the same answer, piece by piece, to a function."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from benchmarks.contenders import langchain, llamaindex, ours, raw
from benchmarks.contenders.base import Contender, Setting, Take

__all__ = ["Contender", "Setting", "Take", "build"]

_GROUPS = (raw.build, ours.build, *langchain.BUILDERS, *llamaindex.BUILDERS)


def build(setting: Setting, stack: ExitStack) -> tuple[list[Contender], list[str]]:
    """Every contender that can compete here, and a line for each group that cannot.

    Args:
        setting: what they are to read.
        stack: closes what they hold open.
    """
    contenders: list[Contender] = []
    absent: list[str] = []
    for group in _GROUPS:
        try:
            contenders += group(setting, stack)
        except ModuleNotFoundError as error:
            absent.append(f"left out: {_name(group)} ({error.name} is not installed)")
    return contenders, absent


def _name(group: Callable[[Setting, ExitStack], list[Contender]]) -> str:
    return (group.__doc__ or "").removesuffix(".")
