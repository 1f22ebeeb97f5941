"""A client's lease on a shared server: reach the daemon or start one, acquire, use, release.

    lock free?  ──yes──▶ make the socket, pass lock and socket to a new daemon ─┐
        └──no──▶ connect ◀──────────────────────────────────────────────────────┘
                    └──▶ acquire ──▶ welcome, progress … ready ──▶ check the entry ──▶ use

Requests go straight to llama-server. The connection to the daemon is the lease; over it the daemon
reports the server's end.
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
from rocm_core.engine.embedded_start import ELSEWHERE, python_environment
from rocm_core.engine.locate import Engine
from rocm_core.errors import (
    AuthenticationError,
    ClientError,
    ServerDied,
    ServerStalled,
    ServerStartError,
)
from rocm_core.shared import daemon_start
from rocm_core.shared.protocol import VERSION, Channel, Line, error_from_line, version_mismatch
from rocm_core.shared.registry import Entry, Registry, key_of, with_absolute_paths
from rocm_core.shared.rotating_log import tail
from rocm_core.supervisor.handle import HandleOwner, OnProgress, ServerHandle
from rocm_core.threads import is_of_limits, no_more, start_thread

log = logging.getLogger("rocm_core.server")

# Seconds between two looks at ``cancelled``.
_TICK = 0.1
# The lock is held and nobody listens: the old daemon is exiting, which takes a few seconds.
_CHANGEOVER_TIMEOUT = 30.0
_CHANGEOVER_POLL = 0.02
# A daemon replies at once, unless it or the machine is suspended.
_REPLY_TIMEOUT = 30.0
_BACKLOG = 256
# The server has just answered the daemon, so a slow reply means a busy machine, not an impostor.
_PROBE_TIMEOUTS = Timeouts(connect=_REPLY_TIMEOUT, first_token=_REPLY_TIMEOUT)


class SharedServerLease(ServerHandle):
    """A client's lease on a shared server.

    The supervisor of each client program has one; the daemon owns the process.
    """

    owns_process = False

    def __init__(
        self,
        ref: ModelRef,
        config: LoadConfig,
        engine: Engine,
        timeouts: Timeouts,
        owner: HandleOwner,
    ) -> None:
        """Work out the server's key; start and connect nothing.

        Raises:
            ConfigError: the platform cannot share servers, or the chat template's file is none.
            ServerStartError: there is no private, writable directory for the registry.
        """
        super().__init__(ref, timeouts, owner)
        self._config = with_absolute_paths(config)
        self._registry = Registry.open()
        self._key = key_of(ref, self._config, engine)
        self._channel: Channel | None = None
        self._entry: Entry | None = None
        self._listener: threading.Thread | None = None
        self._launched = False
        self._welcomed = False

    @property
    def pid(self) -> int | None:
        """Process id of the server, while it runs."""
        return None if self._entry is None or self.ended.is_set() else self._entry.server.pid

    def tail(self) -> list[str]:
        """Return the last lines of the server's log, oldest first."""
        return tail(self._log)

    def release(self, grace: float) -> None:
        """Abort this program's streams and give the lease back; the server goes on.

        Args:
            grace: not used, since no process is ended.
        """
        del grace
        self._close_clients()
        if self._channel is not None:
            self._channel.shutdown()
            if self._listener is None:
                self._channel.close()

    def forget_after_fork(self) -> None:
        """Close the forked copy's descriptors of the connections to server and daemon."""
        super().forget_after_fork()
        if self._channel is not None:
            self._channel.close()

    @property
    def _log(self) -> Path:
        return self._registry.path(self._key, "log")

    # -- acquire ----------------------------------------------------------------------------

    def await_ready(self, on_progress: OnProgress, cancelled: Callable[[], bool]) -> None:
        """Acquire the lease from the daemon, which starts the server unless it runs.

        Raises:
            RocmError: the server cannot be started; the same errors as for an ``OwnedServer``.
            ServerStalled: the daemon does not reply.
            ServerStartError: the daemon has another protocol version, or its server's registry
                entry cannot be trusted.
        """
        end = time.monotonic() + _CHANGEOVER_TIMEOUT
        while not cancelled():
            channel = self._reach(cancelled)
            if channel is None:
                return
            self._channel, self._welcomed = channel, False
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it is just exiting
                channel.send(op="acquire", protocol=VERSION, keep_alive=self._config.keep_alive)
                if self._await_server(channel, on_progress, cancelled):
                    return
            channel.close()
            if self._welcomed:
                end = time.monotonic() + _CHANGEOVER_TIMEOUT
            elif time.monotonic() > end:
                raise self._stalled("closes every connection and does not end")
            time.sleep(_CHANGEOVER_POLL)

    def _reach(self, cancelled: Callable[[], bool]) -> Channel | None:
        """Connect to the daemon; starts one if there is none. ``None`` if cancelled."""
        path = self._registry.path(self._key, "sock")
        end = time.monotonic() + _CHANGEOVER_TIMEOUT
        while not cancelled():
            with contextlib.suppress(OSError):
                return Channel.connect(path, _REPLY_TIMEOUT)
            try:
                lock = self._registry.lock(self._key)
            except OSError as error:
                raise self._unusable(error) from error
            if lock is not None:
                return self._launch(lock)
            if time.monotonic() > end:
                raise ServerStalled(
                    f"the daemon of {self.ref.name} neither answers nor ends "
                    f"({self._registry.path(self._key, 'lock')} is locked)"
                )
            time.sleep(_CHANGEOVER_POLL)
        return None

    def _launch(self, lock: int) -> Channel:
        """Start a daemon, which inherits the lock and the listening socket."""
        self._launched = True
        path = self._registry.path(self._key, "sock")
        try:
            path.unlink(missing_ok=True)
            with socket.socket(socket.AF_UNIX) as listener, open(self._log, "ab") as output:
                listener.bind(str(path))
                path.chmod(0o600)
                listener.listen(_BACKLOG)
                self._spawn(listener.fileno(), lock, output.fileno())
                return Channel.connect(path, _REPLY_TIMEOUT)
        except OSError as error:
            if is_of_limits(error):
                raise no_more(f"no daemon for {self.ref.name} was started", error) from error
            raise self._unusable(error) from error
        finally:
            os.close(lock)

    def _spawn(self, listener: int, lock: int, output: int) -> None:
        job = {
            "ref": [self.ref.kind, self.ref.value, self.ref.name],
            "config": asdict(self._config),
        }
        with contextlib.ExitStack() as stack:
            # In a program without stdin, stdout or stderr ours have their numbers, and would give
            # way to the daemon's.
            listener, lock, output = (_above_stdio(n, stack) for n in (listener, lock, output))
            where = [str(listener), str(lock), str(self._registry.directory), self._key]
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, daemon_start.__file__, *where],
                    env=python_environment(os.environ),
                    cwd=None if self._config.extra_args else ELSEWHERE,
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=output,
                    pass_fds=(listener, lock),
                    start_new_session=True,
                )
            )
            # The daemon forks, so that no program has to reap it; the process waited for exits.
            process.communicate(orjson.dumps(job))
        if process.returncode != 0:
            raise self._daemon_died(process.returncode)
        log.info("started a daemon for %s", self.ref.name)

    def _await_server(
        self, channel: Channel, on_progress: OnProgress, cancelled: Callable[[], bool]
    ) -> bool:
        """Whether the server is ready; if not, the daemon is exiting and a new one is due."""
        end = time.monotonic() + _REPLY_TIMEOUT
        while not cancelled():
            try:
                line = channel.receive(_TICK)
            except TimeoutError:
                if not self._welcomed and time.monotonic() > end:
                    raise self._stalled("does not answer") from None
                continue
            if line is None and self._launched:
                raise self._daemon_died(None)
            if line is None or line.get("is") == "stopped":
                return False
            if self._handle_line(channel, line, on_progress):
                return True
        return False

    def _handle_line(self, channel: Channel, line: Line, on_progress: OnProgress) -> bool:
        """Act on a line of the daemon; whether it says that the server is ready."""
        kind = line.get("is")
        if kind == "failed":
            raise error_from_line(line["error"])
        if line.get("ask") == "idle":  # another thread of the daemon: may overtake the welcome
            # Whoever waits for the load uses the server. A client that owes a reply is not asked
            # again, so the server would stop while this program uses it.
            channel.send(idle=0.0)
        elif not self._welcomed:
            self._check_version(line)
        elif kind == "progress":
            on_progress(line["share"])
        elif kind == "log":
            self._owner.log_line(line["text"])
        elif kind == "ready":
            self._check_entry()
            listener = threading.Thread(target=self._listen, name="rocm-lease", daemon=True)
            self._listener = start_thread(listener, f"{self.ref.name} cannot be used")
            return True
        return False

    def _check_version(self, welcome: Line) -> None:
        daemon = welcome.get("protocol", 0)
        if daemon != VERSION and self._launched:
            raise ServerStartError(
                f"llama-rocm was replaced by another version (protocol {daemon}) while this "
                f"program, which has protocol {VERSION}, was running. Restart this program."
            )
        if daemon != VERSION:
            raise version_mismatch(self.ref.name, self._key, daemon=daemon, client=VERSION)
        self._welcomed = True

    def _check_entry(self) -> None:
        """Use the entry if its file is private, its process runs, and its key opens the server.

        Raises:
            ServerStartError: one of these does not hold.
        """
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
                self._probe = probe  # so that ``abort`` ends its wait
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

    # -- use and release --------------------------------------------------------------------

    def _listen(self) -> None:
        """Receive from the daemon until the lease or the server has ended; then report that."""
        assert self._channel is not None
        released, failure = False, None
        with contextlib.suppress(OSError):
            for line in self._channel.lines():
                if line.get("ask") == "idle":
                    released = self._reply(self._channel, float(line["limit"]))
                elif line.get("is") == "log":
                    self._owner.log_line(line["text"])
                elif line.get("is") == "failed":
                    failure = error_from_line(line["error"])
                released = released or line.get("is") == "stopped"
                if released or failure:
                    break
        if not (released or failure or self.released):
            failure = ServerDied(
                f"the daemon of {self.ref.name} died, and the server with it", log_tail=self.tail()
            )
        self._report_end(failure)
        self._channel.close()

    def _reply(self, channel: Channel, limit: float) -> bool:
        """Tell the daemon how long this program has been idle; whether the lease is released."""
        idle = self._owner.release_if_idle(self, limit)
        if idle is None:
            channel.send(release=self.idle_for())
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

    def _daemon_died(self, returncode: int | None) -> ServerStartError:
        return ServerStartError(
            f"the daemon of {self.ref.name} ended before the server was ready",
            returncode=returncode,
            log_tail=self.tail(),
        )

    def _stalled(self, what: str) -> ServerStalled:
        return ServerStalled(
            f"the daemon of {self.ref.name} {what}. End it with: llama-rocm stop {self._key}"
        )

    def _unusable(self, error: OSError) -> ServerStartError:
        return ServerStartError(
            f"servers cannot be shared through {self._registry.directory}: {error}. Set "
            "XDG_RUNTIME_DIR to a directory with free space, or use keep_alive=0."
        )


def _above_stdio(number: int, stack: contextlib.ExitStack) -> int:
    """Return a copy of a descriptor with a number from 3 on, which the stack closes."""
    import fcntl  # none on Windows

    copy = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 3)
    stack.callback(os.close, copy)
    return copy
