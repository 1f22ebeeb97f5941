"""One connection of a client to the daemon of a shared server: what it asks for, and is asked."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from rocm_core.errors import RocmError, ServerStartError
from rocm_core.shared.protocol import VERSION, Channel, Line, error_to_line
from rocm_core.supervisor.events import LoadProgress, LogLine, ServerEvent, StateChanged
from rocm_core.threads import start_thread

if TYPE_CHECKING:
    from rocm_core.shared.daemon import SharedServerDaemon

_REQUEST_TIMEOUT = 10.0  # seconds


class Session:
    """One connection of a client to the daemon.

    Attributes:
        channel: the connection.
        replied: whether the client has replied to the last ``ask``.
    """

    def __init__(self, daemon: SharedServerDaemon, channel: Channel) -> None:
        self.channel = channel
        self.replied = True
        self._daemon = daemon

    def run(self) -> None:
        """Serve the client's request; returns when the connection has ended."""
        try:
            with contextlib.suppress(OSError):
                self._serve(self.channel.receive(_REQUEST_TIMEOUT) or {})
        finally:
            self.channel.close()

    def _serve(self, line: Line) -> None:
        if line.get("op") == "acquire":
            self._acquire(line)
        elif line.get("op") == "status":
            self.channel.send(**self._daemon.status())
        elif line.get("op") == "stop":
            self._daemon.stop()
            self.channel.receive()  # the exit of this process ends the connection
        elif "op" in line:
            # A client whose protocol has another word for what it wants.
            self._send_failed(self._daemon.version_mismatch(line.get("protocol", 0)))

    def _acquire(self, line: Line) -> None:
        if line.get("protocol", 0) != VERSION:
            self.channel.send(**{"is": "welcome", "protocol": VERSION})
            self._send_failed(self._daemon.version_mismatch(line.get("protocol", 0)))
            return
        if not self._daemon.acquire(self, float(line["keep_alive"])):
            self.channel.send(**{"is": "stopped"})
            return
        idle = 0.0  # a client that dies without a release has used the server until now
        try:
            self.channel.send(**{"is": "welcome", "protocol": VERSION})
            with self._daemon.server.subscribe(self._forward_event):
                self._daemon.start_server()
                self.channel.send(**{"is": "ready"})
                for reply in self.channel.lines():
                    if "release" in reply:
                        idle = float(reply["release"])
                        self._daemon.note_reply(self, idle)
                    elif "idle" in reply:
                        self._daemon.note_reply(self, float(reply["idle"]))
        except RocmError as error:
            self._send_failed(error)
        finally:
            self._daemon.release(self, idle)

    def ask(self, limit: float) -> bool:
        """Ask the client how long it has been idle; one idle for ``limit`` seconds releases.

        Returns:
            Whether it was asked; ``False`` if it still owes the reply to the last ``ask``.
        """
        if not self.replied:
            return False
        self.replied = False
        # A client that does not read must not block the daemon.
        thread = threading.Thread(
            target=self._send_ask, args=(limit,), name="rocm-ask", daemon=True
        )
        try:
            start_thread(thread, "a client cannot be asked")
        except ServerStartError:
            self.replied = True
            self._daemon.note_use()  # nobody knows, so it counts as used
            return False
        return True

    def refuse(self, error: RocmError) -> None:
        """Tell the client, which has no thread here, why, and end the connection."""
        self.channel.send_last(**{"is": "failed", "error": error_to_line(error)})
        self.channel.close()

    def _send_ask(self, limit: float) -> None:
        with contextlib.suppress(OSError):
            self.channel.send(ask="idle", limit=min(limit, 1e12))

    def _send_failed(self, error: RocmError) -> None:
        self.channel.send(**{"is": "failed", "error": error_to_line(error)})

    def _forward_event(self, event: ServerEvent) -> None:
        with contextlib.suppress(OSError):
            if isinstance(event, LogLine):
                self.channel.send(**{"is": "log", "text": event.text})
            elif isinstance(event, LoadProgress):
                self.channel.send(**{"is": "progress", "share": event.share})
            elif isinstance(event, StateChanged) and event.failure is not None:
                self._send_failed(event.failure)
