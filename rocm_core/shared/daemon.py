"""The daemon of one shared server; ``daemon_start`` is the file that Python runs.

A process of its own that supervises a llama-server and outlives the programs that use it. It
inherits its socket and its lock from the program that started it, and reads its job (JSON) from
stdin. It stops its server and exits when no request was under way for the keep-alive time, or when
a client's ``stop`` or SIGTERM tells it to.

Clients report their own idle time: an open but unused notebook does not keep the server alive. A
client that has been idle for the keep-alive time releases its lease when it is asked, so that it
cannot send a request to a server that is about to stop.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import orjson

from rocm_core.config import LoadConfig, Timeouts
from rocm_core.discover.refs import ModelRef
from rocm_core.errors import ClientError, RocmError, ServerDied, ServerStartError
from rocm_core.shared import rotating_log
from rocm_core.shared.process_identity import ProcessId
from rocm_core.shared.protocol import VERSION, Channel, Line, version_mismatch
from rocm_core.shared.registry import Entry, Registry
from rocm_core.shared.session import Session
from rocm_core.supervisor.events import State
from rocm_core.supervisor.owned_process import OwnedServer
from rocm_core.supervisor.server import SupervisedServer
from rocm_core.threads import start_thread

log = logging.getLogger("rocm_core.server")

# Seconds, as every time in this file.
_FIRST_CLIENT_TIMEOUT = 10.0
_REQUEST_TIMEOUT = 10.0
_IDLE_REPLY_TIMEOUT = 2.0
_STATUS_REPLY_TIMEOUT = 0.5
_BUSY_POLL = 1.0
# How long the daemon of a crashed server without clients keeps the crash history for the next one,
# at most: never longer than it would have kept the server.
_CRASH_HISTORY_KEPT = 60.0
_SLOT_TIMEOUTS = Timeouts(connect=2.0, first_token=2.0)


class SharedServerDaemon:
    """The owner of one shared server: its clients, and the decision when it stops."""

    def __init__(self, registry: Registry, key: str, ref: ModelRef, config: LoadConfig) -> None:
        """Args:
        registry: where the server's entry goes.
        key: the server's key in the registry.
        ref: the model.
        config: how to run the server; ``keep_alive`` holds until the first client states its own.
        """
        self.server = SupervisedServer(ref, config, handle_factory=OwnedServer)
        self._registry = registry
        self._key = key
        self._ref = ref
        self._keep_alive = float(config.keep_alive)
        self._change = threading.Condition()
        self._sessions: set[Session] = set()
        self._last_used = time.monotonic()
        self._had_client = False
        self._registered = False
        self._stopping = False

    def run(self, listener: socket.socket) -> None:
        """Serve clients until the server is idle or ``stop`` is called; then stop the server."""
        accepting = threading.Thread(target=self._accept, args=(listener,), daemon=True)
        try:
            start_thread(accepting, "the daemon cannot accept clients")
            self._await_stop()
        finally:
            self._shut_down()

    def stop(self) -> None:
        """Make ``run`` stop the server and return. Callable from any thread; returns at once."""
        with self._change:
            self._stopping = True
            self._change.notify_all()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            connection, _ = listener.accept()
            session = Session(self, Channel(connection))
            thread = threading.Thread(target=session.run, daemon=True)
            try:
                start_thread(thread, f"the daemon of {self._ref.name} cannot serve one more client")
            except ServerStartError as error:
                session.refuse(error)

    def _shut_down(self) -> None:
        self.stop()
        with contextlib.suppress(OSError):
            self._registry.path(self._key, "sock").unlink()
        for session in list(self._sessions):
            session.channel.send_last(**{"is": "stopped"})
        self.server.stop()
        self._registry.remove(self._key)

    # -- clients ----------------------------------------------------------------------------

    def acquire(self, session: Session, keep_alive: float) -> bool:
        """Give a client a lease; its ``keep_alive`` replaces that of the clients before it.

        Returns:
            Whether it has the lease; ``False`` if the daemon is stopping.
        """
        with self._change:
            if self._stopping:
                return False
            self._keep_alive = keep_alive
            self._had_client = True
            self._sessions.add(session)
            self.note_use()
            return True

    def release(self, session: Session, idle: float) -> None:
        """End a client's lease; the client last used the server ``idle`` seconds ago."""
        with self._change:
            self._sessions.discard(session)
            self.note_use(idle)

    def note_use(self, idle: float = 0.0) -> None:
        """Record that the server was last used ``idle`` seconds ago."""
        with self._change:
            self._last_used = max(self._last_used, time.monotonic() - idle)
            self._change.notify_all()

    def note_reply(self, session: Session, idle: float) -> None:
        """Record a client's reply to ``Session.ask``."""
        with self._change:
            session.replied = True
            self.note_use(idle)

    def start_server(self) -> None:
        """Start the server unless it runs, and write its registry entry.

        Raises:
            RocmError: the server cannot be started, or its entry cannot be written.
        """
        self.server.start()
        try:
            with self._change:
                self._registry.write(self._entry())
                self._registered = True
        except OSError as error:
            raise ServerStartError(
                f"the registry entry of {self._ref.name} cannot be written to "
                f"{self._registry.directory}: {error}. Set XDG_RUNTIME_DIR to a directory with "
                "free space, or use keep_alive=0."
            ) from error
        finally:
            self.note_use()

    def _entry(self) -> Entry:
        client, key, pid = self.server.client, self.server.api_key, self.server.pid
        daemon, process = ProcessId.of(os.getpid()), ProcessId.of(pid or 0)
        if key is None or daemon is None or process is None:
            raise self.server.failure or ServerDied(f"the server of {self._ref.name} is gone")
        return Entry(
            key=self._key,
            model=self._ref.name,
            ref=self._ref.value,
            daemon=daemon,
            server=process,
            socket=client.uds,
            port=None if client.uds else int(client.base_url.rpartition(":")[2]),
            api_key=key,
            log=str(self._registry.path(self._key, "log")),
        )

    def version_mismatch(self, client: object) -> ServerStartError:
        """Return the error for a client that states another protocol version."""
        return version_mismatch(self._ref.name, self._key, daemon=VERSION, client=client)

    def status(self) -> Line:
        """Return the facts of ``SharedServerInfo``, as ``llama-rocm ps`` shows them."""
        self._ask_all(float("inf"), _STATUS_REPLY_TIMEOUT)
        slots, server = self._slots(), self.server
        busy = sum(bool(slot.get("is_processing")) for slot in slots)
        idle = 0.0 if busy else time.monotonic() - self._last_used
        client = server.client if server.is_running else None
        forever = self._keep_alive < 0
        return {
            "key": self._key,
            "protocol": VERSION,
            "model": self._ref.name,
            "ref": self._ref.value,
            "state": server.state.value,
            "pid": server.pid,
            "daemon_pid": os.getpid(),
            "keeper_pid": os.getpid(),  # the name for packages without a protocol version
            "address": client.address if client else None,
            "slots_busy": busy if slots else None,
            "slots_total": len(slots) or None,
            "n_ctx": slots[0].get("n_ctx") if slots else None,
            "build": self._build() if client else None,
            "clients": len(self._sessions),
            "idle": round(idle, 3),
            "keep_alive": self._keep_alive,
            "keep_alive_left": None if forever else round(max(0.0, self._keep_alive - idle), 3),
            "log": str(self._registry.path(self._key, "log")),
        }

    # -- when to stop -----------------------------------------------------------------------

    def _await_stop(self) -> None:
        while True:
            with self._change:
                due = self._stop_due()
                left = None if due is None else due - time.monotonic()
                if left is None or left > 0:
                    self._change.wait(left)
                if self._stopping:
                    return
                left = None if due is None else due - time.monotonic()
            if left is not None and left <= 0 and self._is_unused():
                return

    def _stop_due(self) -> float | None:
        """Return when to check whether the server is unused, in seconds of ``time.monotonic``.

        ``None``: not before something changes.
        """
        server = self.server
        if not self._had_client:
            return self._last_used + _FIRST_CLIENT_TIMEOUT
        if server.state in (State.STARTING, State.STOPPING):
            return time.monotonic() + _BUSY_POLL
        if not self._sessions and not server.is_running:
            return self._last_used + (self._history_kept() if self._registered else 0.0)
        if not self._sessions and not self._registered:
            return self._last_used
        return None if self._keep_alive < 0 else self._last_used + self._keep_alive

    def _history_kept(self) -> float:
        keep_alive = self._keep_alive
        return _CRASH_HISTORY_KEPT if keep_alive < 0 else min(keep_alive, _CRASH_HISTORY_KEPT)

    def _is_unused(self) -> bool:
        """Ask clients and server whether they are idle; if so, refuse further clients."""
        with self._change:
            limit = max(0.0, self._keep_alive)
        self._ask_all(limit, _IDLE_REPLY_TIMEOUT)
        if any(slot.get("is_processing") for slot in self._slots()):
            # A program without a lease uses it, or a suspended client: check again a second later.
            self.note_use(max(0.0, limit - _BUSY_POLL))
            return False
        with self._change:
            due = self._stop_due()
            self._stopping = self._stopping or (due is not None and due <= time.monotonic())
            return self._stopping

    def _ask_all(self, limit: float, timeout: float) -> None:
        with self._change:
            asked = [session for session in self._sessions if session.ask(limit)]
            self._change.wait_for(
                lambda: all(s.replied or s not in self._sessions for s in asked), timeout
            )

    def _slots(self) -> list[dict[str, Any]]:
        try:
            from rocm_core.client import calls

            return self.server.client.call(calls.slots(), _SLOT_TIMEOUTS)
        except (RocmError, ClientError):
            return []

    def _build(self) -> str | None:
        try:
            from rocm_core.client import calls

            return self.server.client.call(calls.props(), _SLOT_TIMEOUTS).build_info or None
        except (RocmError, ClientError):
            return None


def main(argv: list[str]) -> int:
    """Read the job from stdin, fork away from the program that started us, run the daemon.

    Args:
        argv: descriptors of socket and lock, the registry's directory, and the server's key.

    Returns:
        The exit code: 1 if the starting program died before it wrote the whole job.
    """
    listener, lock = socket.socket(fileno=int(argv[0])), int(argv[1])
    registry, key = Registry(Path(argv[2])), argv[3]
    try:
        job = orjson.loads(sys.stdin.buffer.read())
    except orjson.JSONDecodeError:
        registry.remove(key)
        return 1
    if os.fork():
        os._exit(0)
    for inherited in (listener.fileno(), lock):
        os.set_inheritable(inherited, False)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    log.addHandler(rotating_log.handler(registry.path(key, "log")))
    log.setLevel(logging.DEBUG)
    logging.raiseExceptions = False  # on a full disk the log is lost, but the server goes on
    daemon = SharedServerDaemon(registry, key, ModelRef(*job["ref"]), LoadConfig(**job["config"]))

    def end(number: int, frame: FrameType | None) -> None:
        # Not here: the lock that it takes may be held by the code that was interrupted.
        threading.Thread(target=daemon.stop, daemon=True).start()

    signal.signal(signal.SIGTERM, end)
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    daemon.run(listener)
    return 0
