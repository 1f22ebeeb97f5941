"""Start a thread, or say which limit of the system prevents it."""

from __future__ import annotations

import errno
import threading

from rocm_core.errors import ServerStartError

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
