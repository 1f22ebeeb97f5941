"""``llama-rocm top``: the GPUs and a server, live; or one snapshot as JSON."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rocm_core.cli.console import make_console
from rocm_core.cli.options import add_key_option, key_for
from rocm_core.cli.screen import say
from rocm_core.cli.sizes import show_size
from rocm_core.client import Client
from rocm_core.errors import RocmError
from rocm_core.gpu import Gpu, list_gpus
from rocm_core.shared.admin import SharedServerInfo, list_servers
from rocm_core.shared.registry import supported
from rocm_core.supervisor.metrics import Metrics, snapshot

_HISTORY = 30
_BARS = " ▁▂▃▄▅▆▇█"
_UNKNOWN = "-"
_GIB = 1024**3
# A share of CPU time needs two looks.
_JSON_PAUSE = 0.25

History = deque[float | None]


def add_command(commands: Any) -> None:
    """Register ``top``."""
    parser = commands.add_parser("top", help="what the GPUs and a server are doing")
    parser.add_argument("--url", help="a running llama-server")
    add_key_option(parser)
    parser.add_argument("--pid", type=int, help="the server's process, if it is on this machine")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between two looks")
    parser.add_argument("--json", action="store_true", help="one snapshot, as JSON")
    parser.add_argument("--root", default="/", help="where /sys and /proc lie (recorded machines)")
    parser.add_argument("-v", "--verbose", action="store_true", help="show debug messages")
    parser.set_defaults(run=run)


@dataclass(frozen=True, slots=True)
class Watched:
    """A server to watch: its address, its process, or both."""

    name: str
    client: Client | None
    pid: int | None


def running_servers(options: argparse.Namespace) -> list[Watched]:
    """The servers to show: what the arguments name, else this user's shared ones."""
    if options.url is None and options.pid is None:
        return [] if supported() else [_shared(found) for found in list_servers() if found.entry]
    client = Client(options.url, api_key=key_for(options, options.url)) if options.url else None
    return [Watched(options.url or f"pid {options.pid}", client, options.pid)]


def _shared(found: SharedServerInfo) -> Watched:
    entry = found.entry
    assert entry is not None
    address = f"http://127.0.0.1:{entry.port}" if entry.port else "http://localhost"
    client = Client(address, uds=entry.socket, api_key=entry.api_key)
    return Watched(entry.model, client, entry.server.pid)


def run(options: argparse.Namespace) -> int:
    """Show until Ctrl-C; or print one snapshot."""
    servers = running_servers(options)
    try:
        view = View(servers, options.root)
        if options.json:
            if any(server.pid for server in servers):
                view.look()
                time.sleep(_JSON_PAUSE)
            say(json.dumps(view.look().as_dict(), indent=2))
            return 0
        _show(view, max(0.1, options.interval))
    finally:
        for server in servers:
            if server.client:
                server.client.close()
    return 0


def _show(view: View, interval: float) -> None:
    console = make_console()
    if not console.is_terminal:
        console.print(view.look().render())
        return
    screen = Live(view.look().render(), console=console, screen=True)
    with contextlib.suppress(KeyboardInterrupt), screen as live:
        while True:
            time.sleep(interval)
            live.update(view.look().render())


class View:
    """What was seen so far: the last look and the history that the bars show."""

    def __init__(self, servers: Sequence[Watched], root: str = "/") -> None:
        self._servers = servers
        self._root = root
        self._gpus: list[Gpu] = []
        self._seen: dict[str, Metrics | None] = {}
        self._errors: dict[str, str] = {}
        self._history: dict[tuple[str, str], History] = defaultdict(lambda: deque(maxlen=_HISTORY))

    def look(self) -> View:
        """Look at everything once; a server that does not answer is shown as such."""
        self._gpus = list_gpus(self._root)
        for gpu in self._gpus:
            self._history["busy", str(gpu.node)].append(gpu.busy_percent)
        for server in self._servers:
            self._seen[server.name] = seen = self._metrics(server)
            prompt, predicted = self._history_of(server)
            prompt.append(seen.prompt_per_second if seen else None)
            predicted.append(seen.predicted_per_second if seen else None)
        return self

    def _history_of(self, server: Watched) -> tuple[History, History]:
        return self._history["prompt", server.name], self._history["predicted", server.name]

    def _metrics(self, server: Watched) -> Metrics | None:
        self._errors.pop(server.name, None)
        previous = self._seen.get(server.name)
        try:
            return snapshot(
                server.client, server.pid, previous=previous, gpus=self._gpus, root=self._root
            )
        except RocmError as error:
            self._errors[server.name] = str(error)
            return None

    def as_dict(self) -> dict[str, Any]:
        """For JSON; ``null`` where nobody says."""
        servers = []
        for server in self._servers:
            seen = self._seen.get(server.name)
            facts = dataclasses.asdict(seen) if seen else {}
            for of_the_moment in ("at", "gpus"):
                facts.pop(of_the_moment, None)
            servers.append({"name": server.name, "error": self._errors.get(server.name), **facts})
        return {"gpus": [dataclasses.asdict(gpu) for gpu in self._gpus], "servers": servers}

    # -- on screen --------------------------------------------------------------------------

    def render(self) -> RenderableType:
        """The tables."""
        parts: list[RenderableType] = [self._gpu_table() if self._gpus else Text("no AMD GPU")]
        parts += [self._server_table(server) for server in self._servers]
        return Group(*parts)

    def _gpu_table(self) -> Table:
        table = Table(title="GPUs", title_justify="left", expand=True)
        for heading in ("", "name", "busy", "history", "memory", "power", "temp"):
            table.add_column(heading, no_wrap=heading != "name")
        for gpu in self._gpus:
            used, total = _memory_of(gpu)
            table.add_row(
                _shown(gpu.hip_index, str),
                f"{gpu.name} {gpu.gfx or ''}".strip() if gpu.problem is None else gpu.problem,
                _shown(gpu.busy_percent, "{} %".format),
                _bars(self._history["busy", str(gpu.node)], 100),
                f"{_meter(used, total)} {_gib(used)} / {_gib(total)} GiB",
                _shown(gpu.power_watts, "{:.0f} W".format),
                _shown(gpu.temperature_c, "{:.0f} °C".format),
            )
        return table

    def _server_table(self, server: Watched) -> Table:
        table = Table(title=server.name, title_justify="left", show_header=False, expand=True)
        seen = self._seen.get(server.name)
        if seen is None:
            table.add_row(self._errors.get(server.name, "not looked at yet"))
            return table
        busy = f"{_shown(seen.slots_busy, str)} / {_shown(seen.slots, str)}"
        waiting = _shown(seen.requests_deferred, str)
        table.add_row("process", f"pid {_shown(seen.pid, str)}", "", _own_memory(seen))
        cpu, rss = _shown(seen.cpu_percent, "{:.0f} %".format), _gib(seen.rss)
        table.add_row("CPU, memory", cpu, "", f"{rss} GiB resident")
        table.add_row("prompt cache", "", "", _prompt_cache(seen.prompt_cache))
        table.add_row("slots busy", busy, "", f"{waiting} waiting")
        prompt, predicted = self._history_of(server)
        for name, speed, history in (
            ("prefill", seen.prompt_per_second, prompt),
            ("decode", seen.predicted_per_second, predicted),
        ):
            table.add_row(name, _shown(speed, "{:.1f} tok/s".format), _bars(history), "")
        return table


def _prompt_cache(bound: int | None) -> str:
    if bound == 0:
        return "off"
    return _shown(bound, lambda size: f"at most {show_size(size)} of that")


def _own_memory(seen: Metrics) -> str:
    parts = []
    for gpu, mine in zip(seen.gpus, seen.process, strict=False):
        number = f"GPU {_shown(gpu.hip_index, str)}"
        if mine.vram is not None:
            parts.append(f"{number}: {_gib(mine.vram)} GiB VRAM")
        if mine.gtt and gpu.uses_host_memory:  # where an APU's models are, whatever the back end
            parts.append(f"{number}: {_gib(mine.gtt)} GiB of the host's memory")
    return ", ".join(parts)


def _memory_of(gpu: Gpu) -> tuple[int | None, int | None]:
    """Used and total of the pool that ROCm allocates from."""
    if gpu.memory_total is None or gpu.memory_free is None:
        return None, gpu.memory_total
    return gpu.memory_total - gpu.memory_free, gpu.memory_total


def _shown(value: Any, how: Callable[[Any], str]) -> str:
    return _UNKNOWN if value is None else how(value)


def _gib(value: int | None) -> str:
    return _shown(value, lambda number: f"{number / _GIB:.1f}")


def _meter(used: int | None, total: int | None, width: int = 10) -> str:
    if used is None or not total:
        return _UNKNOWN.ljust(width)
    return ("█" * round(width * min(1.0, used / total))).ljust(width, "░")


def _bars(history: Sequence[float | None], top: float | None = None) -> str:
    """One character per look, oldest first; a blank where nothing was known."""
    most = top or max((value for value in history if value is not None), default=0) or 1
    steps = len(_BARS) - 1
    return "".join(
        " " if value is None else _BARS[max(1, round(steps * min(1.0, value / most)))]
        for value in history
    )
