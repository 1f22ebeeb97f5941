"""Make Ctrl-C end the calls of a ``batch`` at once.

LangChain runs the calls in threads. When the main thread is interrupted, it waits for all of them,
that is until the last answer is complete. ``interruptible`` cancels them first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from langchain_core.runnables.config import ContextThreadPoolExecutor

from rocm_core import cancel_scope

P = ParamSpec("P")
T = TypeVar("T")


def interruptible(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call ``function`` in a helper thread and return its result.

    An exception in this thread (Ctrl-C, for example) cancels every request that the call has sent.
    """
    with ContextThreadPoolExecutor(max_workers=1) as helper, cancel_scope():
        return helper.submit(function, *args, **kwargs).result()
