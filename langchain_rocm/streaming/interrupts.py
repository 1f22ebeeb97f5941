"""Ctrl-C while several calls run side by side.

LangChain runs the calls of a ``batch`` in threads, and waits for all of them when the main
thread is interrupted: until the last answer is complete. Here they are broken off first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from langchain_core.runnables.config import ContextThreadPoolExecutor

from rocm_core import cancel_scope

P = ParamSpec("P")
T = TypeVar("T")


def interruptible(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """``function(…)``; an interrupt of this thread breaks off every request it has begun."""
    with ContextThreadPoolExecutor(max_workers=1) as helper, cancel_scope():
        return helper.submit(function, *args, **kwargs).result()
