"""What llama.cpp itself allocates: the buffer lines of a load."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rocm_core import LoadConfig, Server, resolve_ref

# "load_tensors:   CPU_Mapped model buffer size =     0.13 MiB" (llama.cpp src/*.cpp)
_LINE = re.compile(r"\b(model|KV|output|compute) buffer size = +([\d.]+) MiB")


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


def buffers_of(lines: list[str]) -> Buffers:
    """The sums in a log."""
    sizes: Counter[str] = Counter()
    for line in lines:
        if found := _LINE.search(line):
            sizes[found[1].lower()] += float(found[2])  # type: ignore[assignment]
    return Buffers(*(sizes[kind] for kind in ("model", "kv", "output", "compute")))


def measure(path: Path, *extra: str, **options: Any) -> Buffers:
    """Load ``path`` in a real llama-server and add up its buffer lines."""
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
        try:
            server.start()
        finally:
            server.stop()
        return buffers_of(log.read_text(encoding="utf-8", errors="replace").splitlines())
