"""One child process: spawn it, drain its output, signal it, reap it. Knows nothing of HTTP.

    spawn ──▶ a reader thread per pipe: log lines → logging + bounded tail; child-mode lines
          │                             → progress
          └─▶ waiter thread: exit → returncode, ``on_exit``, ``exited`` set

Every process is forked by one thread that lasts as long as the program (see ``parent_death``).
"""

from __future__ import annotations

import collections
import contextlib
import functools
import json
import logging
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import IO, Any

from rocm_core.engine import parent_death

log = logging.getLogger("rocm_core.server")

_STATE_PREFIX = b"cmd_child_to_router:state:"
_EXIT_COMMAND = b"cmd_router_to_child:exit\n"
_MAX_LINE = 8192
_TAIL_LINES = 400
# Where a platform has no SIGKILL (Windows), SIGTERM is TerminateProcess: just as final.
_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)


class _Spawner:
    """Runs ``subprocess.Popen`` in a thread that never ends."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="rocm-spawner", daemon=True).start()

    def _run(self) -> None:
        while True:
            job, future = self._jobs.get()
            try:
                future.set_result(job())
            except BaseException as error:
                future.set_exception(error)
            del job, future

    def run(self, job: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        future: Future[subprocess.Popen[bytes]] = Future()
        self._jobs.put((job, future))
        return future.result()


def _guard() -> Sequence[str]:
    """What to put before a program so that it dies with us."""
    if not sys.platform.startswith("linux"):
        return ()
    if setpriv := _setpriv():
        return (*setpriv, "/bin/sh", "-c", _STILL_OURS, str(os.getpid()))
    if sys.executable:
        return (sys.executable, "-I", "-S", parent_death.__file__, str(os.getpid()))
    return ()


# What ``guard`` does after its request: it comes too late if the parent is gone already.
_STILL_OURS = 'test "$PPID" = "$0" && exec "$@"'


@functools.cache
def _setpriv() -> Sequence[str]:
    """util-linux's ``setpriv``, if it is there and can do it (since 2.33).

    It asks the kernel for what ``guard`` asks, in 1 ms of CPU time where an interpreter takes 17.
    """
    program = shutil.which("setpriv")
    if program is None:
        return ()
    prefix = (program, "--pdeathsig", "KILL", "--")
    try:
        can = subprocess.run(
            [*prefix, program, "--version"],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        return ()
    return prefix if can.returncode == 0 else ()


_spawner: _Spawner | None = None
_spawner_lock = threading.Lock()


def _get_spawner() -> _Spawner:
    global _spawner
    with _spawner_lock:
        if _spawner is None:
            _spawner = _Spawner()
        return _spawner


def _forget_spawner() -> None:
    # In a forked copy of this program the thread does not exist.
    global _spawner, _spawner_lock
    _spawner, _spawner_lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_spawner)


class Child:
    """A running (or ended) child process.

    Attributes:
        exited: set once the process is gone and reaped.
        changed: set whenever a line was printed or the process ended.
        returncode: exit code or minus the signal number; ``None`` while it lives.
        progress: share of the load done (0..1), where the build reports it.
    """

    def __init__(
        self,
        argv: Sequence[str],
        env: dict[str, str],
        *,
        guarded: bool,
        on_line: Callable[[str], None] = lambda text: None,
        on_exit: Callable[[], None] = lambda: None,
    ) -> None:
        """Spawn ``argv``.

        Args:
            guarded: put ``parent_death`` before it (programs that cannot ask for their own death).
            on_line: called with each log line, from the thread that read it.
            on_exit: called once when it has ended, before ``exited`` is set.

        Raises:
            OSError: it cannot be started.
        """
        self.exited = threading.Event()
        self.changed = threading.Event()
        self.returncode: int | None = None
        self.progress = 0.0
        self._tail: collections.deque[str] = collections.deque(maxlen=_TAIL_LINES)
        self._lock = threading.Lock()
        self._lines = 0
        self._on_line = on_line
        self._on_exit = on_exit
        if guarded:
            argv = [*_guard(), *argv]
        self._popen = _get_spawner().run(
            lambda: subprocess.Popen(
                argv,
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        )
        self.pid = self._popen.pid
        self._readers = [self._thread("log", self._read, pipe) for pipe in self._pipes()[1:]]
        self._thread("wait", self._wait)

    def _thread(self, name: str, target: Callable[..., None], *args: Any) -> threading.Thread:
        thread = threading.Thread(
            target=target, args=args, name=f"rocm-{name}-{self.pid}", daemon=True
        )
        thread.start()
        return thread

    def _pipes(self) -> list[IO[bytes]]:
        pipes = (self._popen.stdin, self._popen.stdout, self._popen.stderr)
        return [pipe for pipe in pipes if pipe is not None]

    def tail(self) -> list[str]:
        """The last lines it printed, oldest first."""
        return list(self._tail)

    def activity(self) -> tuple[object, ...]:
        """Changes as long as the process does anything: prints, computes, reads, maps memory."""
        return (self._lines, self.progress, *_kernel_activity(self.pid))

    def signal(self, number: int) -> None:
        """Send a signal to the process and its own children; nothing if it has ended."""
        with self._lock:
            if self._popen.returncode is None:  # known as soon as the pid may belong to another
                with contextlib.suppress(ProcessLookupError):
                    if hasattr(os, "killpg"):
                        os.killpg(self.pid, number)
                    else:
                        self._popen.send_signal(number)

    def forget_after_fork(self) -> None:
        """In a forked copy of the program: the process belongs to the original alone."""
        self._popen.returncode = self.returncode = 0  # so that nothing waits for it or kills it
        for pipe in self._pipes():
            # The end of its stdin ends the server: a copy of the pipe would keep it up.
            pipe.close()

    def end(self, grace: float) -> None:
        """SIGTERM, SIGTERM again, SIGKILL, and wait until it is reaped.

        llama-server may hang on the first SIGTERM while a request is in flight; the second one
        ends it at once (``signal_handler`` in llama.cpp ``tools/server/server.cpp``).

        Args:
            grace: seconds before SIGKILL.
        """
        first = min(0.5, grace / 2)
        self._say_exit()
        for number, timeout in ((signal.SIGTERM, first), (signal.SIGTERM, grace - first)):
            self.signal(number)
            if self.exited.wait(timeout):
                return
        self.signal(_KILL)
        self.exited.wait()

    def _say_exit(self) -> None:
        # In child mode SIGTERM alone leaves llama-server waiting for its stdin thread.
        if self._popen.stdin is not None:
            with contextlib.suppress(OSError, ValueError):
                self._popen.stdin.write(_EXIT_COMMAND)

    # -- threads ----------------------------------------------------------------------------

    def _wait(self) -> None:
        if hasattr(os, "waitid"):
            # Look without reaping, so that no signal can hit a recycled pid. Somebody else in
            # the program may have reaped it (os.wait, psutil): then its exit code is lost.
            with contextlib.suppress(ChildProcessError, ProcessLookupError):
                os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
                os.killpg(self.pid, _KILL)  # what it left behind, if it was a wrapper script
        else:
            self._popen.wait()  # not under the lock, which whoever ends the process needs
        for reader in self._readers:
            reader.join(0.5)  # a grandchild may hold the pipes open
        with self._lock:
            self.returncode = self._popen.wait()
        if self._popen.stdin:
            self._popen.stdin.close()
        self._on_exit()
        self.exited.set()
        self.changed.set()

    def _read(self, pipe: IO[bytes]) -> None:
        buffer = _LineBuffer()
        with pipe:
            while data := os.read(pipe.fileno(), 65536):
                for line in buffer.feed(data):
                    self._line(line)
                self.changed.set()
            for line in buffer.feed(b""):
                self._line(line)

    def _line(self, line: bytes) -> None:
        if line.startswith(_STATE_PREFIX):
            self._state(line[len(_STATE_PREFIX) :])
        else:
            text = line.decode("utf-8", "replace").rstrip()
            if text:
                self._tail.append(text)
                log.debug("[%d] %s", self.pid, text)
                self._on_line(text)
        self._lines += 1

    def _state(self, payload: bytes) -> None:
        try:
            report = json.loads(payload)
            value = float(report["payload"]["value"])
        except (ValueError, KeyError, TypeError):
            return  # an internal protocol of llama.cpp: other messages are not for us
        self.progress = max(0.0, min(1.0, value))


class _LineBuffer:
    """Bytes to lines, each cut at ``_MAX_LINE``; the end of the bytes ends a line."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        *lines, rest = (self._rest + data).split(b"\n")
        if not data or len(rest) > _MAX_LINE:
            lines, rest = [*lines, rest], b""
        self._rest = rest
        return [line[:_MAX_LINE] for line in lines if line]


def _kernel_activity(pid: int) -> tuple[str, ...]:
    """CPU time, page faults and memory of a process from ``/proc/PID/stat`` (proc(5))."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            fields = stat.read().rpartition(")")[2].split()
    except OSError:
        return ()
    # After the name: state=0, minflt=7, majflt=9, utime=11, stime=12, rss=21.
    return tuple(fields[i] for i in (7, 9, 11, 12, 21) if i < len(fields))
