"""The servers of this program: one for all models with equal files and load options."""

from __future__ import annotations

import os
import queue
import threading

from rocm_core.config import LoadConfig
from rocm_core.discover.refs import ModelRef
from rocm_core.server import Server
from rocm_core.threads import start_thread

Key = tuple[ModelRef, LoadConfig]


class Pool:
    """Servers by model and load options, with a count of their holders: the last one stops it.

    A holder that is garbage-collected releases its server, too. Finalizers run anywhere, even
    while a lock is held, so they only put the key into a queue, and the janitor thread does the
    work.
    """

    def __init__(self) -> None:
        self._held: dict[Key, tuple[Server, int]] = {}
        self.forked()

    def forked(self) -> None:
        """Start anew in a forked child: the holders are copied, the thread is not.

        The copied servers run nothing (see ``Server.forked``): a child that uses a model starts
        a server of its own.
        """
        self._lock = threading.Lock()
        self._released: queue.SimpleQueue[Key] = queue.SimpleQueue()
        self._janitor: threading.Thread | None = None

    def acquire(self, key: Key) -> Server:
        """Count one more holder of the server for ``key``, and return it, not started.

        Raises:
            ServerStartError: the system allows no more threads.
        """
        with self._lock:
            if self._janitor is None:
                janitor = threading.Thread(target=self._sweep, name="rocm-janitor", daemon=True)
                self._janitor = start_thread(janitor, f"{key[0].name} cannot be loaded")
            server, holders = self._held.get(key) or (Server(*key), 0)
            self._held[key] = (server, holders + 1)
            return server

    def release(self, key: Key) -> None:
        """Count one holder less; the last one returns when the server has stopped."""
        with self._lock:
            server, holders = self._held[key]
            if holders > 1:
                self._held[key] = (server, holders - 1)
                return
            del self._held[key]
        server.stop()

    def stop_unless_held(self, key: Key, server: Server) -> None:
        """Stop a server whose last holder released it while it was being started."""
        with self._lock:
            held, _ = self._held.get(key, (None, 0))
        if held is not server:
            server.stop()

    def release_later(self, key: Key) -> None:
        """``release`` in another thread, without blocking; safe in a finalizer."""
        self._released.put(key)

    def _sweep(self) -> None:
        while True:
            self.release(self._released.get())


pool = Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=pool.forked)
