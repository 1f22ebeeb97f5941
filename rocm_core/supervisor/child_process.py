"""One child process: spawn it, drain its output, signal it, reap it. Knows nothing of HTTP.

    spawn ──▶ a reader thread per pipe: log lines → logging + bounded tail; child-mode lines
          │                             → progress
          └─▶ waiter thread: exit → returncode, ``on_exit``, ``exited`` set

One thread, which lasts as long as the program, forks every process (see ``engine.parent_death``).
"""

from __future__ import annotations

import collections
import contextlib
import functools
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import IO, Any

from rocm_core.engine import parent_death
from rocm_core.engine.locate import program_on_path
from rocm_core.terminal import visible
from rocm_core.threads import start_thread

log = logging.getLogger("rocm_core.server")

_STATE_PREFIX = b"cmd_child_to_router:state:"
_EXIT_COMMAND = b"cmd_router_to_child:exit\n"
_MAX_LINE = 8192
_TAIL_LINES = 400
# What an answer to a small question takes at most, in clock ticks (usually 10 ms) and pages.
_CPU_OF_AN_ANSWER, _MEMORY_OF_AN_ANSWER = 5, 256
# Where a platform has no SIGKILL (Windows), SIGTERM is TerminateProcess: just as final.
_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)


class _Spawner:
    """Runs ``subprocess.Popen`` in a thread that never ends."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        thread = threading.Thread(target=self._run, name="rocm-spawner", daemon=True)
        start_thread(thread, "no process can be started")

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


def _parent_death_prefix() -> Sequence[str]:
    """Return the words before a command that make the kernel kill it when this program dies."""
    if not sys.platform.startswith("linux"):
        return ()
    if setpriv := _setpriv():
        return (*setpriv, "/bin/sh", "-c", _CHECK_PARENT, str(os.getpid()))
    if sys.executable:
        return (sys.executable, "-I", "-S", parent_death.__file__, str(os.getpid()))
    return ()


# As ``parent_death`` does after its request, which comes too late if the parent is gone already.
_CHECK_PARENT = 'test "$PPID" = "$0" && exec "$@"'


@functools.cache
def _setpriv() -> Sequence[str]:
    """Return the command of util-linux's ``setpriv``, if it is installed and new enough (2.33).

    It makes the same request to the kernel as ``parent_death``, in 1 ms of CPU time where an
    interpreter takes 17.
    """
    program = program_on_path("setpriv")
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
    # The thread does not exist in a forked copy of this program.
    global _spawner, _spawner_lock
    _spawner, _spawner_lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_spawner)


class Child:
    """A running (or ended) child process.

    Attributes:
        pid: process id; also the id of its process group.
        exited: set once the process is gone and reaped.
        changed: set whenever a line was printed or the process exited; a waiting thread clears it.
        returncode: exit code or minus the signal number; ``None`` while the process runs.
        progress: share of the load done (0..1); stays 0 in builds that do not report it.
    """

    def __init__(
        self,
        argv: Sequence[str],
        env: dict[str, str],
        *,
        with_parent_death: bool,
        cwd: str | None = None,
        on_line: Callable[[str], None] = lambda text: None,
        on_exit: Callable[[Child], None] = lambda child: None,
    ) -> None:
        """Spawn ``argv``.

        Args:
            env: the whole environment.
            with_parent_death: make the kernel kill it when this program dies; for programs that
                do not request that themselves.
            cwd: where it starts; ``None``: in our working directory.
            on_line: called with each log line, from the thread that read it.
            on_exit: called once with this object, when ``returncode`` is known and before
                ``exited`` is set, from the thread that reaped the process: perhaps before this
                constructor has returned.

        Raises:
            OSError: the program cannot be started.
            ServerStartError: the system allows no more threads; the process has been ended.
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
        if with_parent_death:
            argv = [*_parent_death_prefix(), *argv]
        self._popen = _get_spawner().run(
            lambda: subprocess.Popen(
                argv,
                env=env,
                cwd=cwd,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        )
        self.pid = self._popen.pid
        self._readers: list[threading.Thread] = []
        try:
            for pipe in self._pipes()[1:]:
                self._readers.append(self._thread("log", self._read, pipe))
            self._thread("wait", self._wait)
        except BaseException:
            self._abandon()
            raise

    def _thread(self, name: str, target: Callable[..., None], *args: Any) -> threading.Thread:
        thread = threading.Thread(
            target=target, args=args, name=f"rocm-{name}-{self.pid}", daemon=True
        )
        return start_thread(thread, f"process {self.pid} cannot be watched, and was ended")

    def _abandon(self) -> None:
        """End and reap a process that no thread can wait for."""
        self.signal(_KILL)
        with self._lock:
            self.returncode = self._popen.wait()
        for reader in self._readers:
            reader.join(0.5)
        stdin, *outputs = self._pipes()
        for pipe in (stdin, *outputs[len(self._readers) :]):  # a reader closes its own
            pipe.close()
        self.exited.set()
        self.changed.set()

    def _pipes(self) -> list[IO[bytes]]:
        pipes = (self._popen.stdin, self._popen.stdout, self._popen.stderr)
        return [pipe for pipe in pipes if pipe is not None]

    def tail(self) -> list[str]:
        """Return the last lines (up to 400) that the process printed, oldest first."""
        return list(self._tail)

    def activity(self) -> tuple[object, ...]:
        """Return a value that differs from the last one if the process has done anything since.

        That is: printed a line, reported progress, used CPU time, or touched new memory.
        """
        return (self._lines, self.progress, *kernel_activity(self.pid))

    def signal(self, number: int) -> None:
        """Send a signal to the process and its own children; nothing if it has exited."""
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
            # The server exits at the end of its stdin: an open copy of the pipe would prevent that.
            pipe.close()

    def stop(self, grace: float) -> None:
        """Send SIGTERM, SIGTERM again, then SIGKILL; return when the process is reaped.

        llama-server may hang on the first SIGTERM while a request is in flight; the second one
        ends it at once (``signal_handler`` in llama.cpp ``tools/server/server.cpp``).

        Args:
            grace: seconds before SIGKILL.
        """
        first = min(0.5, grace / 2)
        self._send_exit_command()
        for number, timeout in ((signal.SIGTERM, first), (signal.SIGTERM, grace - first)):
            self.signal(number)
            if self.exited.wait(timeout):
                return
        self.signal(_KILL)
        self.exited.wait()

    def _send_exit_command(self) -> None:
        # In child mode SIGTERM alone leaves llama-server waiting for its stdin thread.
        if self._popen.stdin is not None:
            with contextlib.suppress(OSError, ValueError):
                self._popen.stdin.write(_EXIT_COMMAND)

    # -- threads ----------------------------------------------------------------------------

    def _wait(self) -> None:
        if hasattr(os, "waitid"):
            # Wait without reaping, so that no signal can hit a recycled pid. Other code in this
            # program may have reaped it (os.wait, psutil): then its exit code is lost.
            with contextlib.suppress(ChildProcessError, ProcessLookupError):
                os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
                os.killpg(self.pid, _KILL)  # children of a wrapper script
        else:
            self._popen.wait()  # not under the lock, which ``signal`` needs
        for reader in self._readers:
            reader.join(0.5)  # a grandchild may hold the pipes open
        with self._lock:
            self.returncode = self._popen.wait()
        if self._popen.stdin:
            self._popen.stdin.close()
        try:
            self._on_exit(self)
        finally:
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
            text = visible(line.decode("utf-8", "replace").rstrip())
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
            return  # an internal protocol of llama.cpp: it has other messages too
        self.progress = max(0.0, min(1.0, value))


class _LineBuffer:
    """Splits bytes into lines of at most ``_MAX_LINE`` bytes; empty data ends the last line."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        *lines, rest = (self._rest + data).split(b"\n")
        if not data or len(rest) > _MAX_LINE:
            lines, rest = [*lines, rest], b""
        self._rest = rest
        return [line[:_MAX_LINE] for line in lines if line]


def kernel_activity(pid: int) -> tuple[str, ...]:
    """Read CPU time, page faults and memory of a process from ``/proc/PID/stat`` (proc(5))."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            fields = stat.read().rpartition(")")[2].split()
    except OSError:
        return ()
    # After the name: state=0, minflt=7, majflt=9, utime=11, stime=12, rss=21.
    return tuple(fields[i] for i in (7, 9, 11, 12, 21) if i < len(fields))


class StallWatch:
    """Tells how long a process has done nothing but answer us.

    What it does while it is asked something, and right after, may be no more than the answer: that
    counts only if it is progress of the load, or more work than an answer is.
    """

    def __init__(self, child: Child) -> None:
        self._child = child
        self._since = time.monotonic()
        self._seen: tuple[object, ...] = ()
        self._idle = False
        self.look()

    @property
    def quiet(self) -> float:
        """The seconds since it last did anything."""
        return time.monotonic() - self._since

    def look(self) -> None:
        """Compare with the last look, unless it was asked something since."""
        activity = self._child.activity()
        if self._idle and activity != self._seen:
            self._since = time.monotonic()
        self._seen, self._idle = activity, True

    def asked(self) -> None:
        """Take note that the process was asked something after the last look."""
        self._idle = False
        if _works(self._seen, self._child.activity()):
            self._since = time.monotonic()


def _works(before: tuple[Any, ...], after: tuple[Any, ...]) -> bool:
    """Whether a process did more between two looks than answer."""
    if before[1] != after[1]:  # the progress of the load
        return True
    if len(before) < 7 or len(after) < 7:  # no /proc, or it has just ended
        return False
    _, major, *cpu, memory = map(int, after[2:])
    _, old_major, *old_cpu, old_memory = map(int, before[2:])
    return (
        major != old_major
        or sum(cpu) - sum(old_cpu) >= _CPU_OF_AN_ANSWER
        or memory - old_memory >= _MEMORY_OF_AN_ANSWER
    )
