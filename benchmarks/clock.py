"""The scripted server's clock: many answers, each at its own pace, written by one thread.

A thread per answer would wake up as often as there are tokens, and what is measured would be
the server's own lateness.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import socket
import threading
import time
from collections.abc import Iterator, Sequence


class _Answer:
    def __init__(self, connection: socket.socket, frames: Sequence[bytes], period: float) -> None:
        self.connection = connection
        self.frames = iter(frames)
        self.period = period
        self.over = threading.Event()


class Clock:
    """Sends the frames of answers when they are due."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, _Answer]] = []
        self._numbers = itertools.count()
        self._slots: dict[int, threading.Semaphore] = {}
        self._started = False

    @contextlib.contextmanager
    def slot(self, slots: int) -> Iterator[None]:
        """One of ``slots`` places, which all who say the same number share; 0: no limit."""
        if not slots:
            yield
            return
        with self._changed:
            places = self._slots.setdefault(slots, threading.Semaphore(slots))
        with places:
            yield

    def send(self, connection: socket.socket, frames: Sequence[bytes], period: float) -> None:
        """Write a frame every ``period`` seconds, the first now; returns after the last."""
        answer = _Answer(connection, frames, period)
        with self._changed:
            if not self._started:
                self._started = True
                threading.Thread(target=self._run, daemon=True).start()
            heapq.heappush(self._due, (time.monotonic(), next(self._numbers), answer))
            self._changed.notify()
        answer.over.wait()

    def _run(self) -> None:
        while True:
            due, answer = self._next()
            frame = next(answer.frames, None)
            try:
                if frame is None:
                    answer.over.set()
                    continue
                answer.connection.sendall(frame)
            except OSError:  # the client has left
                answer.over.set()
                continue
            with self._changed:
                entry = (due + answer.period, next(self._numbers), answer)
                heapq.heappush(self._due, entry)

    def _next(self) -> tuple[float, _Answer]:
        with self._changed:
            while True:
                if not self._due:
                    self._changed.wait()
                    continue
                wait = self._due[0][0] - time.monotonic()
                if wait <= 0:
                    due, _, answer = heapq.heappop(self._due)
                    return due, answer
                self._changed.wait(wait)
