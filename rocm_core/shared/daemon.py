"""The keeper of one shared server: ``python -m rocm_core.shared.daemon``.

A process of its own, child of nobody, which owns a llama-server through the very same
``Server`` and outlives the programs that use it. It inherits its socket and its lock from the
program that started it, and gets its job (JSON) on stdin. It ends, and its server with it, when
no request was under way for the keep-alive time, or when it is told to.

What is idle is asked of those who are attached: a notebook that is merely open does not keep a
server. One that has not used the server lets go when it is asked, so that no request can fall
into the end.
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
from rocm_core.shared.protocol import Channel, Line, error_to_line
from rocm_core.shared.registry import Entry, Registry
from rocm_core.supervisor.events import LoadProgress, LogLine, ServerEvent, State, StateChanged
from rocm_core.supervisor.server import SupervisedServer

log = logging.getLogger("rocm_core.server")

_FIRST_LINE = 10.0
_ANSWERS = 2.0
_BUSY_CHECK = 1.0
# A crashed server that nobody is attached to: its history is kept for the next one who asks.
_LINGER = 60.0
_SLOT_TIMEOUTS = Timeouts(connect=2.0, first_token=2.0)


class SharedServerDaemon:
    """One server, everyone attached to it, and the decision when it ends."""

    def __init__(self, registry: Registry, key: str, ref: ModelRef, config: LoadConfig) -> None:
        self.server = SupervisedServer(ref, config)
        self._registry = registry
        self._key = key
        self._ref = ref
        self._keep_alive = float(config.keep_alive)
        self._change = threading.Condition()
        self._sessions: set[Session] = set()
        self._used = time.monotonic()
        self._expected = True  # nobody has come yet
        self._listed = False
        self._closing = False

    def run(self, listener: socket.socket) -> None:
        """Serve until it is time to end."""
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        try:
            self._await_end()
        finally:
            self._shut_down()

    def stop(self) -> None:
        """End soon; callable from anywhere."""
        with self._change:
            self._closing = True
            self._change.notify_all()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            connection, _ = listener.accept()
            session = Session(self, Channel(connection))
            threading.Thread(target=session.run, daemon=True).start()

    def _shut_down(self) -> None:
        self.stop()
        with contextlib.suppress(OSError):
            self._registry.path(self._key, "sock").unlink()
        for session in list(self._sessions):
            session.channel.farewell(**{"is": "stopped"})
        self.server.stop()
        self._registry.remove(self._key)

    # -- those who are attached -------------------------------------------------------------

    def attach(self, session: Session, keep_alive: float) -> bool:
        """Let it in; the last one's keep-alive holds. ``False`` if this is the end."""
        with self._change:
            if self._closing:
                return False
            self._keep_alive = keep_alive
            self._expected = False
            self._sessions.add(session)
            self.use(0.0)
            return True

    def detach(self, session: Session) -> None:
        """It is gone."""
        with self._change:
            self._sessions.discard(session)
            self._change.notify_all()

    def use(self, idle: float) -> None:
        """The server was last used ``idle`` seconds ago."""
        with self._change:
            self._used = max(self._used, time.monotonic() - idle)
            self._change.notify_all()

    def start_server(self) -> None:
        """Start the server unless it runs, and write the entry.

        Raises:
            RocmError: it cannot be started, or not be listed.
        """
        self.server.start()
        try:
            with self._change:
                self._registry.write(self._entry())
                self._listed = True
        except OSError as error:
            raise ServerStartError(
                f"the registry entry of {self._ref.name} cannot be written to "
                f"{self._registry.directory}: {error}. Set XDG_RUNTIME_DIR to a directory with "
                "free space, or use keep_alive=0."
            ) from error
        finally:
            self.use(0.0)

    def _entry(self) -> Entry:
        client, key, pid = self.server.client, self.server.api_key, self.server.pid
        keeper, process = ProcessId.of(os.getpid()), ProcessId.of(pid or 0)
        if key is None or keeper is None or process is None:
            raise self.server.failure or ServerDied(f"the server of {self._ref.name} is gone")
        return Entry(
            key=self._key,
            model=self._ref.name,
            ref=self._ref.value,
            keeper=keeper,
            server=process,
            socket=client.uds,
            port=None if client.uds else int(client.base_url.rpartition(":")[2]),
            api_key=key,
            log=str(self._registry.path(self._key, "log")),
        )

    def status(self) -> Line:
        """The facts for ``llama-rocm ps``."""
        self._ask_all(float("inf"), 0.5)
        slots, server = self._slots(), self.server
        busy = sum(bool(slot.get("is_processing")) for slot in slots)
        idle = 0.0 if busy else time.monotonic() - self._used
        client = server.client if server.is_running else None
        forever = self._keep_alive < 0
        return {
            "key": self._key,
            "model": self._ref.name,
            "ref": self._ref.value,
            "state": server.state.value,
            "pid": server.pid,
            "keeper_pid": os.getpid(),
            "address": client.address if client else None,
            "slots_busy": busy if slots else None,
            "slots_total": len(slots) or None,
            "n_ctx": slots[0].get("n_ctx") if slots else None,
            "attached": len(self._sessions),
            "idle": round(idle, 3),
            "keep_alive": self._keep_alive,
            "keep_alive_left": None if forever else round(max(0.0, self._keep_alive - idle), 3),
            "log": str(self._registry.path(self._key, "log")),
        }

    # -- the end ----------------------------------------------------------------------------

    def _await_end(self) -> None:
        while True:
            with self._change:
                end = self._due()
                left = None if end is None else end - time.monotonic()
                if left is None or left > 0:
                    self._change.wait(left)
                if self._closing:
                    return
                left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0 and self._nobody_needs_it():
                return

    def _due(self) -> float | None:
        """When it may be time to end (``time.monotonic``); ``None``: not before a change."""
        server = self.server
        if self._expected:
            return self._used + _FIRST_LINE
        if server.state in (State.STARTING, State.STOPPING):
            return time.monotonic() + _BUSY_CHECK
        if not self._sessions and not server.is_running:
            return self._used + (_LINGER if self._listed else 0.0)
        if not self._sessions and not self._listed:
            return self._used
        return None if self._keep_alive < 0 else self._used + self._keep_alive

    def _nobody_needs_it(self) -> bool:
        with self._change:
            limit = max(0.0, self._keep_alive)
        self._ask_all(limit, _ANSWERS)
        if any(slot.get("is_processing") for slot in self._slots()):
            # Somebody who is not attached, or is suspended: look again, without haste.
            self.use(max(0.0, limit - _BUSY_CHECK))
            return False
        with self._change:
            due = self._due()
            self._closing = self._closing or (due is not None and due <= time.monotonic())
            return self._closing

    def _ask_all(self, limit: float, timeout: float) -> None:
        with self._change:
            asked = [session for session in self._sessions if session.ask(limit)]
            self._change.wait_for(
                lambda: all(s.answered or s not in self._sessions for s in asked), timeout
            )

    def _slots(self) -> list[dict[str, Any]]:
        try:
            from rocm_core.client import calls

            return self.server.client.call(calls.slots(), _SLOT_TIMEOUTS)
        except (RocmError, ClientError):
            return []


class Session:
    """One connection of a client."""

    def __init__(self, keeper: SharedServerDaemon, channel: Channel) -> None:
        self.channel = channel
        self.answered = True
        self._keeper = keeper

    def run(self) -> None:
        """Do what the client asks for, until it hangs up."""
        try:
            with contextlib.suppress(OSError):
                self._converse(self.channel.receive(_FIRST_LINE) or {})
        finally:
            self.channel.close()

    def _converse(self, line: Line) -> None:
        if line.get("op") == "attach":
            self._attach(float(line["keep_alive"]))
        elif line.get("op") == "status":
            self.channel.send(**self._keeper.status())
        elif line.get("op") == "stop":
            self._keeper.stop()
            self.channel.receive()  # the end of this process ends the conversation

    def _attach(self, keep_alive: float) -> None:
        if not self._keeper.attach(self, keep_alive):
            self.channel.send(**{"is": "stopped"})
            return
        idle = 0.0
        try:
            self.channel.send(**{"is": "welcome"})
            with self._keeper.server.subscribe(self._tell):
                self._keeper.start_server()
                self.channel.send(**{"is": "ready"})
                for line in self.channel.lines():
                    idle = float(line.get("bye", 0.0))
                    self._keeper.use(float(line.get("idle", idle)))
                    self.answered = True
        except RocmError as error:
            self.channel.send(**{"is": "failed", "error": error_to_line(error)})
        finally:
            self._keeper.use(idle)
            self._keeper.detach(self)

    def ask(self, limit: float) -> bool:
        """Ask how long it has been idle; ``False`` if it still owes the last answer."""
        if not self.answered:
            return False
        self.answered = False
        # A client that does not read must not hold up anybody else.
        threading.Thread(target=self._send_question, args=(limit,), daemon=True).start()
        return True

    def _send_question(self, limit: float) -> None:
        with contextlib.suppress(OSError):
            self.channel.send(ask="idle", limit=min(limit, 1e12))

    def _tell(self, event: ServerEvent) -> None:
        with contextlib.suppress(OSError):
            if isinstance(event, LogLine):
                self.channel.send(**{"is": "log", "text": event.text})
            elif isinstance(event, LoadProgress):
                self.channel.send(**{"is": "progress", "share": event.share})
            elif isinstance(event, StateChanged) and event.failure is not None:
                error = error_to_line(event.failure)
                self.channel.send(**{"is": "failed", "error": error})


def main(argv: list[str]) -> int:
    """Take the job, leave the starter, keep the server.

    Args:
        argv: descriptors of socket and lock, the registry's directory, and the server's key.
    """
    listener, lock = socket.socket(fileno=int(argv[0])), int(argv[1])
    registry, key = Registry(Path(argv[2])), argv[3]
    try:
        job = orjson.loads(sys.stdin.buffer.read())
    except orjson.JSONDecodeError:
        registry.remove(key)  # the starter died over it
        return 1
    if os.fork():
        os._exit(0)
    for inherited in (listener.fileno(), lock):
        os.set_inheritable(inherited, False)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    log.addHandler(rotating_log.handler(registry.path(key, "log")))
    log.setLevel(logging.DEBUG)
    logging.raiseExceptions = False  # a full disk costs the log, not the server
    keeper = SharedServerDaemon(registry, key, ModelRef(*job["ref"]), LoadConfig(**job["config"]))

    def end(number: int, frame: FrameType | None) -> None:
        # Not here: the lock that it takes may be held by the code that was interrupted.
        threading.Thread(target=keeper.stop, daemon=True).start()

    signal.signal(signal.SIGTERM, end)
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    keeper.run(listener)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
