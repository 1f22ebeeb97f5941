"""``%rocm_top``: look at GPUs and servers again and again, and draw what was seen."""

from __future__ import annotations

import contextlib
import contextvars
import threading
import time
import uuid
from typing import Any

from rocm_core.display.table import size
from rocm_core.errors import RocmError
from rocm_core.gpu import Gpu, list_gpus
from rocm_core.notebook.plot import Line, Panel
from rocm_core.notebook.servers import watched_servers
from rocm_core.supervisor.metrics import Metrics, snapshot
from rocm_core.threads import start_thread


class _Written:
    """The tokens that a server has written, as far as two answers of it tell, one after the other.

    An answer that ends between the two is in neither, for one look. The tokens of one that was
    broken off may be missing for good.
    """

    def __init__(self, at: float, tokens: float) -> None:
        self._at, self._tokens, self._less = at, tokens, False

    def speed(self, at: float, tokens: float) -> float | None:
        """Return the tokens per second since the last look."""
        passed, self._at = at - self._at, at
        less, self._less = self._less, tokens < self._tokens
        grown = tokens - self._tokens
        if grown >= 0 or less:
            self._tokens = tokens
        return max(0.0, grown) / passed if passed > 0 else None


class Top:
    """What was seen so far of every GPU and server."""

    def __init__(self, root: str = "/") -> None:
        """``root``: where ``/sys`` and ``/proc`` lie; another than ``/`` for a recorded machine."""
        self._root = root
        self._lines: dict[tuple[object, str], Line] = {}
        self._before: dict[object, Metrics] = {}
        self._written: dict[object, _Written] = {}

    def look(self) -> list[Panel]:
        """Look once, and return a panel for each GPU and each server that answers."""
        gpus = list_gpus(self._root)
        panels = [self._gpu(gpu) for gpu in gpus]
        for name, client, pid, ours in watched_servers():
            key = (name, pid)
            try:
                seen = snapshot(client, pid, previous=self._before.get(key), gpus=gpus)
                speed = self._speed(key, seen, client.slots())
            except RocmError:  # it has just ended, or is too busy to say
                continue
            finally:
                if ours:
                    client.close()
            self._before[key] = seen
            panels.append(self._server(key, name, seen, speed))
        return panels

    def _line(
        self, key: object, name: str, unit: str, value: float | None, top: float | None = None
    ) -> Line:
        line = self._lines.setdefault((key, name), Line(name, unit, top))
        line.values.append(value)
        return line

    def _speed(self, key: object, seen: Metrics, slots: list[dict[str, Any]]) -> float | None:
        """Return the tokens per second that all answers together grew since the last look.

        llama-server's counter grows when an answer ends (``server-context.cpp``,
        ``metrics.on_prediction``); those under way say in ``GET /slots`` how long they are.
        """
        ended = seen.counters.get("tokens_predicted_total")
        if ended is None:
            return None
        written = ended + sum(_decoded(slot) for slot in slots if slot.get("is_processing"))
        before = self._written.get(key)
        if before is None:
            self._written[key] = _Written(seen.at, written)
            return None
        return before.speed(seen.at, written)

    def _gpu(self, gpu: Gpu) -> Panel:
        used = None
        if gpu.memory_total and gpu.memory_free is not None:
            used = 100 * (gpu.memory_total - gpu.memory_free) / gpu.memory_total
        lines = [
            self._line(gpu.node, "busy", "%", gpu.busy_percent, 100),
            self._line(gpu.node, "memory", "%", used, 100),
        ]
        facts = [f"{size(gpu.memory_free)} of {size(gpu.memory_total)} free"]
        facts += [] if gpu.power_watts is None else [f"{gpu.power_watts:.0f} W"]
        facts += [] if gpu.temperature_c is None else [f"{gpu.temperature_c:.0f} °C"]
        return Panel(gpu.label, lines, ", ".join(facts))

    def _server(self, key: object, name: str, seen: Metrics, speed: float | None) -> Panel:
        lines = [
            self._line(key, "answers", "tokens/s", speed),
            self._line(key, "CPU", "%", seen.cpu_percent),
        ]
        busy = f"{seen.slots_busy} of {seen.slots} slots in use" if seen.slots else ""
        waiting = f"{seen.requests_deferred} waiting" if seen.requests_deferred else ""
        parts = (f"pid {seen.pid}", size(seen.rss), busy, waiting)
        return Panel(name, lines, ", ".join(part for part in parts if part))


class LivePlot:
    """A display that is drawn anew in a thread of its own, while other cells run."""

    def __init__(self, shell: Any, seconds: float, interval: float, root: str = "/") -> None:
        self._shell = shell
        self._top = Top(root)
        self._interval = interval
        self._end = time.monotonic() + seconds
        self._stopped = threading.Event()
        self._name = f"rocm-top-{uuid.uuid4().hex}"
        self._show(update=False)
        run = contextvars.copy_context().run  # it says to which cell the output belongs
        thread = threading.Thread(target=run, args=(self._run,), name="rocm-top", daemon=True)
        self._thread = start_thread(thread, "the GPUs and servers cannot be watched")

    def stop(self) -> None:
        """Draw once more, and then no more; what was drawn stays.

        The last time by the caller: nbclient takes updates from the cell that runs alone.
        """
        self._stopped.set()
        self._thread.join()
        self._show(update=True, ended=True)

    def _run(self) -> None:
        while not self._stopped.wait(self._interval) and time.monotonic() < self._end:
            with contextlib.suppress(RocmError):
                self._show(update=True)
        if not self._stopped.is_set():
            self._show(update=True, ended=True)

    def _show(self, *, update: bool, ended: bool = False) -> None:
        panels = self._top.look()
        note = "ended; %rocm_top draws on" if ended else "live; %rocm_top stop ends it"
        texts = [panel.text() for panel in panels] or ["no GPU, and no server runs"]
        drawn = "".join(panel.html() for panel in panels) or f"<i>{texts[0]}</i>"
        self._shell.display_pub.publish(
            {
                "text/plain": "\n".join(texts),
                "text/html": f"<div>{drawn}</div><small>{note}</small>",
            },
            transient={"display_id": self._name},
            update=update,
        )


def _decoded(slot: dict[str, Any]) -> int:
    # A list of one since 2025-10, an object before (server-context.cpp, slot.to_json).
    state = slot.get("next_token") or {}
    state = state[0] if isinstance(state, list) else state
    return int(state.get("n_decoded") or 0)
