"""Servers shared inside this program: equal model and load options, one server."""

from __future__ import annotations

import os
import queue
import threading

from rocm_core.config import LoadConfig
from rocm_core.discover.refs import ModelRef
from rocm_core.server import Server

Key = tuple[ModelRef, LoadConfig]


class Pool:
    """Servers by model and load options, counted: the last holder to let go stops a server.

    A holder that is garbage-collected lets go too. Finalizers run anywhere, even inside a
    lock, so they only leave a note for the janitor thread, which does the work.
    """

    def __init__(self) -> None:
        self._held: dict[Key, tuple[Server, int]] = {}
        self.forked()

    def forked(self) -> None:
        """In a forked copy of the program: the holders are copied, the thread is not.

        The copied servers run nothing (see ``Server.forked``): a copy that uses a model starts
        a server of its own.
        """
        self._lock = threading.Lock()
        self._notes: queue.SimpleQueue[Key] = queue.SimpleQueue()
        self._janitor: threading.Thread | None = None

    def take(self, key: Key) -> Server:
        """A share in the server for ``key``, which is made if need be, not started."""
        with self._lock:
            if self._janitor is None:
                self._janitor = threading.Thread(
                    target=self._sweep, name="rocm-janitor", daemon=True
                )
                self._janitor.start()
            server, holders = self._held.get(key) or (Server(*key), 0)
            self._held[key] = (server, holders + 1)
            return server

    def give_back(self, key: Key) -> None:
        """Let go of a share; returns when a server that nobody holds any more has stopped."""
        with self._lock:
            server, holders = self._held[key]
            if holders > 1:
                self._held[key] = (server, holders - 1)
                return
            del self._held[key]
        server.stop()

    def end_unheld(self, key: Key, server: Server) -> None:
        """Stop a server that was started although its last holder had let go meanwhile."""
        with self._lock:
            held, _ = self._held.get(key, (None, 0))
        if held is not server:
            server.stop()

    def give_back_later(self, key: Key) -> None:
        """``give_back`` without blocking, in another thread."""
        self._notes.put(key)

    def _sweep(self) -> None:
        while True:
            self.give_back(self._notes.get())


pool = Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=pool.forked)
