"""What llama.cpp itself allocates: the buffer lines of a load."""

from __future__ import annotations

import contextlib
import re
import tempfile
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rocm_core import LoadConfig, Server, resolve_ref
from rocm_core.errors import ServerStopped

# "load_tensors:   CPU_Mapped model buffer size =     0.13 MiB" (llama.cpp src/*.cpp)
_LINE = re.compile(r"(\S+) +(model|KV|LoRA|output|compute) buffer size = +([\d.]+) MiB")
_CONTEXT = "constructing llama_context"
_DEVICE = re.compile(r"(?:Vulkan|ROCm|CUDA)\d+")
HOST = "CPU"


@dataclass(frozen=True)
class Buffers:
    """Megabytes (MiB) by kind."""

    model: float
    kv: float
    output: float
    compute: float

    @property
    def total(self) -> float:
        """Their sum in MiB."""
        return self.model + self.kv + self.output + self.compute


def devices_of(lines: list[str]) -> dict[str, Counter[str]]:
    """Megabytes (MiB) of each device by kind; everything that is no GPU's is the host's.

    A context that reserves again (with adapters) replaces its compute buffers; another context, of
    a draft model, has its own.
    """
    sizes: dict[str, Counter[str]] = {}
    compute: dict[tuple[int, str], float] = {}
    context = 0
    for line in lines:
        context += _CONTEXT in line
        if not (found := _LINE.search(line)):
            continue
        kind, size = found[2].lower(), float(found[3])
        if kind == "compute":
            compute[context, found[1]] = size
        else:
            sizes.setdefault(_device(found[1]), Counter())[kind] += size  # type: ignore[assignment]
    for (_, name), size in compute.items():
        sizes.setdefault(_device(name), Counter())["compute"] += size  # type: ignore[assignment]
    return sizes


def _device(name: str) -> str:
    return name if _DEVICE.fullmatch(name) else HOST


def buffers_of(lines: list[str]) -> Buffers:
    """The sums in a log."""
    found = devices_of(lines).values()
    kinds = ("model", "kv", "output", "compute")
    return Buffers(*(sum(sizes[kind] for sizes in found) for kind in kinds))


def measure(path: Path, *extra: str, **options: Any) -> Buffers:
    """Load ``path`` in a real llama-server and add up its buffer lines."""
    return buffers_of(load_log(path, *extra, **options))


# The last line of a context whose buffers are all there; then a GPU's shaders are compiled.
RESERVED = "reserve took"


def load_log(path: Path, *extra: str, until: str = "", **options: Any) -> list[str]:
    """Load ``path`` in a real llama-server; return the lines of its log.

    Args:
        path: the model.
        extra: further arguments.
        until: a text; the server is ended when its log has it, ready or not.
        options: of ``LoadConfig``.
    """
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "load.log"
        config = LoadConfig(
            engine="binary",
            threads=1,
            # Buffer lines come at this log level; a warm-up would only take time.
            extra_args=("-lv", "4", "--no-warmup", "--log-file", str(log), *extra),
            **options,
        )
        server = Server(resolve_ref(path), config)
        over = threading.Event()
        if until:
            threading.Thread(target=_stop_at, args=(server, log, until, over)).start()
        try:
            with contextlib.suppress(ServerStopped):
                server.start()
        finally:
            over.set()
            server.stop()
        return log.read_text(encoding="utf-8", errors="replace").splitlines()


def _stop_at(server: Server, log: Path, until: str, over: threading.Event) -> None:
    while not over.wait(0.005):
        if log.exists() and until in log.read_text(encoding="utf-8", errors="replace"):
            server.stop(grace=0)
            return
