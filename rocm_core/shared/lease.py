"""A share in a server that a keeper owns: find the keeper or make one, attach, let go.

    lock free?  ──yes──▶ make the socket, hand lock and socket to a new keeper ─┐
        └──no──▶ connect ◀──────────────────────────────────────────────────────┘
                    └──▶ attach ──▶ progress … ready ──▶ check the entry ──▶ use it

The requests go straight to llama-server; the connection to the keeper only says that we are
here, and hears of the server's end.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import orjson

from rocm_core.client import Client
from rocm_core.config import LoadConfig, Timeouts
from rocm_core.discover.refs import ModelRef
from rocm_core.engine.command_line import Address
from rocm_core.engine.locate import Engine
from rocm_core.errors import (
    AuthenticationError,
    ClientError,
    RocmError,
    ServerDied,
    ServerStalled,
    ServerStartError,
)
from rocm_core.shared.protocol import Channel, Line, error_from_line
from rocm_core.shared.registry import Entry, Registry, key_of, with_absolute_paths
from rocm_core.shared.rotating_log import tail
from rocm_core.supervisor.handle import OnProgress, Owner, ServerHandle, again

log = logging.getLogger("rocm_core.server")

_TICK = 0.1
# The lock is held and nobody listens: a keeper that is ending, which takes a few seconds.
_CHANGEOVER = 30.0
_CHANGEOVER_POLL = 0.02
# A keeper greets at once, unless it is suspended or the machine is.
_GREETING = 30.0
_BACKLOG = 256
# It has just answered its keeper: late on a busy machine is not untrue.
_PROBE_TIMEOUTS = Timeouts(connect=_GREETING, first_token=_GREETING)


class SharedServerLease(ServerHandle):
    """A shared server, as one of its users sees it."""

    owns_process = False

    def __init__(
        self,
        ref: ModelRef,
        config: LoadConfig,
        engine: Engine,
        timeouts: Timeouts,
        owner: Owner,
    ) -> None:
        """Nothing is started or opened before ``await_ready``."""
        super().__init__(ref, timeouts, owner)
        self._config = with_absolute_paths(config)
        self._registry = Registry.open()
        self._key = key_of(ref, self._config, engine)
        self._channel: Channel | None = None
        self._entry: Entry | None = None
        self._failure: RocmError | None = None
        self._listener: threading.Thread | None = None
        self._launched = False

    @property
    def pid(self) -> int | None:
        """Process id of the server, while it runs."""
        return None if self._entry is None or self.over.is_set() else self._entry.server.pid

    def tail(self) -> list[str]:
        """The last lines the server printed, oldest first."""
        return tail(self._log)

    def death(self) -> RocmError | None:
        """What the keeper said of the server's end, or that the keeper itself is gone."""
        return again(self._failure) if self._failure else None

    def release(self, grace: float) -> None:
        """Let go; the server goes on without us."""
        del grace
        self._break_off()
        if self._channel is not None:
            self._channel.hang_up()
            if self._listener is None:
                self._channel.close()

    def forget_after_fork(self) -> None:
        """Close our copies of the connections."""
        super().forget_after_fork()
        if self._channel is not None:
            self._channel.close()

    @property
    def _log(self) -> Path:
        return self._registry.path(self._key, "log")

    # -- the way in -------------------------------------------------------------------------

    def await_ready(self, on_progress: OnProgress, cancelled: Callable[[], bool]) -> None:
        """Attach to the keeper, which starts the server unless it runs.

        Raises:
            RocmError: the start failed; the same errors as for a server of our own.
            ServerStalled: the keeper does not answer.
        """
        while not cancelled():
            channel = self._reach(cancelled)
            if channel is None:
                return
            self._channel = channel
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it is just ending
                channel.send(op="attach", keep_alive=self._config.keep_alive)
                if self._await_answer(channel, on_progress, cancelled):
                    return
            channel.close()

    def _reach(self, cancelled: Callable[[], bool]) -> Channel | None:
        path = self._registry.path(self._key, "sock")
        end = time.monotonic() + _CHANGEOVER
        while not cancelled():
            with contextlib.suppress(OSError):
                return Channel.connect(path, _GREETING)
            try:
                lock = self._registry.lock(self._key)
            except OSError as error:
                raise self._unusable(error) from error
            if lock is not None:
                return self._launch(lock)
            if time.monotonic() > end:
                raise ServerStalled(
                    f"the keeper of {self.ref.name} neither answers nor ends "
                    f"({self._registry.path(self._key, 'lock')} is locked)"
                )
            time.sleep(_CHANGEOVER_POLL)
        return None

    def _launch(self, lock: int) -> Channel:
        """Make a keeper; it inherits the lock, and the socket, which answers from now on."""
        self._launched = True
        path = self._registry.path(self._key, "sock")
        try:
            path.unlink(missing_ok=True)
            with socket.socket(socket.AF_UNIX) as listener, open(self._log, "ab") as output:
                listener.bind(str(path))
                path.chmod(0o600)
                listener.listen(_BACKLOG)
                self._spawn(listener.fileno(), lock, output.fileno())
                return Channel.connect(path, _GREETING)
        except OSError as error:
            raise self._unusable(error) from error
        finally:
            os.close(lock)

    def _spawn(self, listener: int, lock: int, output: int) -> None:
        job = {
            "ref": [self.ref.kind, self.ref.value, self.ref.name],
            "config": asdict(self._config),
        }
        where = [str(listener), str(lock), str(self._registry.directory), self._key]
        program = [sys.executable, "-m", "rocm_core.shared.daemon", *where]
        with subprocess.Popen(
            program,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            pass_fds=(listener, lock),
            start_new_session=True,
        ) as process:
            # It forks away, so that it is nobody's child, and this process of it ends.
            process.communicate(orjson.dumps(job))
        if process.returncode != 0:
            raise self._no_keeper(process.returncode)
        log.info("started a keeper for %s", self.ref.name)

    def _await_answer(
        self, channel: Channel, on_progress: OnProgress, cancelled: Callable[[], bool]
    ) -> bool:
        """Whether the server is ready; if not, the keeper is ending and a new one is due."""
        greeted, end = False, time.monotonic() + _GREETING
        while not cancelled():
            try:
                line = channel.receive(_TICK)
            except TimeoutError:
                if not greeted and time.monotonic() > end:
                    raise ServerStalled(
                        f"the keeper of {self.ref.name} does not answer. End it with: "
                        f"llama-rocm stop {self._key}"
                    ) from None
                continue
            if line is None and self._launched:
                raise self._no_keeper(None)
            if line is None or line.get("is") == "stopped":
                return False
            greeted = True
            if self._understood(channel, line, on_progress):
                return True
        return False

    def _understood(self, channel: Channel, line: Line, on_progress: OnProgress) -> bool:
        kind = line.get("is")
        if line.get("ask") == "idle":
            # Who waits for the load is using it. Without an answer we would not be asked again.
            channel.send(idle=0.0)
        elif kind == "progress":
            on_progress(line["share"])
        elif kind == "log":
            self._owner.log_line(line["text"])
        elif kind == "failed":
            raise error_from_line(line["error"])
        elif kind == "ready":
            self._trust()
            self._listener = threading.Thread(target=self._listen, name="rocm-lease", daemon=True)
            self._listener.start()
            return True
        return False

    def _trust(self) -> None:
        """Believe the entry: our file, the same process still, and it takes our key."""
        entry = self._registry.read(self._key)
        if entry is None:
            raise self._distrusted("is missing or damaged")
        if not entry.server.alive:
            raise self._distrusted("names a process that does not run")
        self._entry, self.key = entry, entry.api_key
        path = Path(entry.socket) if entry.socket else None
        self.address = Address(socket=path, port=entry.port)
        try:
            with Client(self.address.url, **self._settings(_PROBE_TIMEOUTS)) as probe:
                probe.props()
            if entry.port is not None and self._open_to_all():
                raise self._distrusted("names a port that answers without a key")
        except ClientError as error:
            raise self._distrusted(f"does not lead to its server ({error})") from error
        self._connect()

    def _open_to_all(self) -> bool:
        try:
            with Client(self.address.url, timeouts=_PROBE_TIMEOUTS) as keyless:
                keyless.props()
        except AuthenticationError:
            return False
        return True

    # -- the way out ------------------------------------------------------------------------

    def _listen(self) -> None:
        assert self._channel is not None
        said_goodbye = False
        with contextlib.suppress(OSError):
            for line in self._channel.lines():
                if line.get("ask") == "idle":
                    said_goodbye = self._answer(self._channel, float(line["limit"]))
                elif line.get("is") == "log":
                    self._owner.log_line(line["text"])
                elif line.get("is") == "failed":
                    self._failure = error_from_line(line["error"])
                said_goodbye = said_goodbye or line.get("is") == "stopped"
                if said_goodbye or self._failure:
                    break
        if not (said_goodbye or self._failure or self.released):
            self._failure = ServerDied(
                f"the keeper of {self.ref.name} died, and the server with it", log_tail=self.tail()
            )
        self._owner.ended(self)
        self.over.set()
        self._channel.close()

    def _answer(self, channel: Channel, limit: float) -> bool:
        idle = self._owner.leave_if_idle(self, limit)
        if idle is None:
            channel.send(bye=self.idle_for())
            return True
        channel.send(idle=idle)
        return False

    # -- errors -----------------------------------------------------------------------------

    def _distrusted(self, what: str) -> ServerStartError:
        entry = self._registry.path(self._key, "json")
        return ServerStartError(
            f"the shared server of {self.ref.name} cannot be trusted: {entry} {what}. "
            f"End it with: llama-rocm stop {self._key}"
        )

    def _no_keeper(self, returncode: int | None) -> ServerStartError:
        return ServerStartError(
            f"the keeper of {self.ref.name} ended before the server was ready",
            returncode=returncode,
            log_tail=self.tail(),
        )

    def _unusable(self, error: OSError) -> ServerStartError:
        return ServerStartError(
            f"servers cannot be shared through {self._registry.directory}: {error}. Set "
            "XDG_RUNTIME_DIR to a directory with free space, or use keep_alive=0."
        )
