"""Start a thread, or say which limit of the system prevents it; or do without one."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import errno
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from rocm_core.errors import ServerStartError

T = TypeVar("T")

# fork(2), pthread_create(3): of the number of processes, or of memory.
_OF_LIMITS = (errno.EAGAIN, errno.ENOMEM)


def start_thread(thread: threading.Thread, doing: str) -> threading.Thread:
    """Start ``thread`` and return it.

    Args:
        thread: not started yet.
        doing: what cannot be done without it, for the message.

    Raises:
        ServerStartError: the system allows no more threads.
    """
    try:
        thread.start()
    except RuntimeError as error:
        if thread.ident is not None:  # it runs: something else is wrong
            raise
        raise no_more(doing, error) from error
    return thread


def is_of_limits(error: OSError) -> bool:
    """Return whether a process could not be started because the system allows no more."""
    return error.errno in _OF_LIMITS


def no_more(doing: str, error: Exception) -> ServerStartError:
    """Return the error of a thread or a process that could not be started.

    Args:
        doing: what cannot be done without it.
        error: what the system said.
    """
    return ServerStartError(
        f"{doing}: {error}. The system limits the number of processes and threads (ulimit -u; a "
        "container's pids limit) and their memory: raise it, or end others."
    )


async def beside_loop(function: Callable[..., T], *args: Any) -> T:
    """Call a blocking function in a thread, or here if the system allows no more of them.

    ``asyncio.to_thread`` would raise ``RuntimeError`` then, keep the call for a later thread, and
    leave an executor that ``asyncio.run`` needs one more thread to shut down.

    Args:
        function: brief, if it has to be called here: the event loop stands still meanwhile.
        args: its arguments.
    """
    loop, context = asyncio.get_running_loop(), contextvars.copy_context()
    outcome: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            result = context.run(function, *args)
        except BaseException as error:
            _tell(loop, outcome, outcome.set_exception, error)
        else:
            _tell(loop, outcome, outcome.set_result, result)

    thread = threading.Thread(target=run, name="rocm-beside", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return function(*args)
    return await outcome


def _tell(
    loop: asyncio.AbstractEventLoop,
    outcome: asyncio.Future[T],
    tell: Callable[[Any], None],
    what: object,
) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits
        loop.call_soon_threadsafe(lambda: None if outcome.done() else tell(what))
