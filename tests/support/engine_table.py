"""Recorded machines and engines: the engine that a model gets, why, and the line of ``setup``.

``python -m tests.support.engine_table`` writes ``engine_table.md`` anew.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from rocm_core import LoadConfig
from rocm_core.doctor.setup import installed
from rocm_core.doctor.setup.advice import advise
from rocm_core.doctor.setup.site import look_at_site
from rocm_core.engine.installed import choice
from rocm_core.engine.locate import PATH_VARIABLE, Engine
from rocm_core.errors import EngineNotFound
from rocm_core.gpu import list_gpus
from tests.support.gpu_trees import MACHINES, build
from tests.support.machine import run_on
from tests.support.servers.fake_engines import EMPTY, cpu_program, hip_program, vulkan_program

FILE = Path(__file__).with_suffix(".md")
_HEAD = """\
# Recorded machines and engines

The engine that a model gets, why, and what `llama-rocm setup` says to do. Written by
`python -m tests.support.engine_table`, held by `tests/doctor/test_engine_table.py`. Every machine
is Debian on x86_64 without the ROCm toolkit; the Vulkan wheel has Mesa's driver with it, which
lists a card if its render node can be opened.

| machine | engines | GPU | engine chosen | reason | setup says |
|---|---|---|---|---|---|
"""
# Targets that Mesa's Vulkan driver is not made for: accelerators without graphics.
_NO_VULKAN = ("gfx908", "gfx90a", "gfx942", "gfx950")
ENGINES: Mapping[str, tuple[str, ...]] = {
    "none": (),
    "CPU wheel": ("cpu",),
    "CPU and Vulkan wheels": ("cpu", "vulkan"),
    "CPU wheel, HIP for the card": ("cpu", "hip"),
    "HIP for another card": ("hip-other",),
    "HIP for another card, Vulkan wheel": ("hip-other", "vulkan"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One row: ``gpu`` is ``used``, ``idle`` (a usable card that is not used), or ``none``."""

    machine: str
    engines: str
    gpu: str
    chosen: str
    reason: str
    setup: str

    @property
    def line(self) -> str:
        """The row in Markdown."""
        cells = (self.machine, self.engines, self.gpu, self.chosen, self.reason, self.setup)
        return "| " + " | ".join(cells) + " |\n"


def rows() -> Iterator[Row]:
    """Yield every row."""
    for machine in MACHINES:
        for name, kinds in ENGINES.items():
            with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
                yield _row(machine, name, kinds, Path(folder), patch)


def table() -> str:
    """Return the text of ``engine_table.md``."""
    return _HEAD + "".join(row.line for row in rows())


def _row(
    machine: str, name: str, kinds: tuple[str, ...], folder: Path, patch: pytest.MonkeyPatch
) -> Row:
    root = build(machine, folder / "machine")
    run_on(root, patch)
    patch.delenv(PATH_VARIABLE, raising=False)
    patch.setattr(installed, "list_gpus", lambda: list_gpus(root))
    engines = [_engine(kind, folder / kind, root) for kind in kinds]
    for module in (choice, installed):
        patch.setattr(module, "installed_engines", lambda *_: iter(engines))
        patch.setattr(module, "registered_engines", lambda *_: iter(()))
    drivers = ("radeon_icd.x86_64.json",) if "vulkan" in kinds else ()
    site = replace(look_at_site(root), vulkan_drivers=drivers, system="debian")
    config = LoadConfig(backend="rocm" if site.has_card else "auto")
    found = installed.look_at_engines(config, {})
    advice = advise(site, found)
    used = bool(found) and bool(found[0].reaches)
    gpu = "used" if used else "idle" if list_gpus(root) else "none"
    try:
        chosen = choice.explain_choice(config, {})
        about = chosen.engine.source, chosen.reason
    except EngineNotFound:
        about = "none", "no llama.cpp engine found"
    said = (text.replace(f"{folder}/", "") for text in (*about, advice.line or "nothing to do"))
    return Row(machine, name, gpu, *said)


def _engine(kind: str, folder: Path, root: Path) -> Engine:
    gpus = list_gpus(root)
    targets = sorted({gpu.gfx for gpu in gpus if gpu.gfx})
    seen = [gpu for gpu in gpus if gpu.hip_index is not None and gpu.gfx not in _NO_VULKAN]
    listed = EMPTY + "".join(
        f"  Vulkan{number}: {gpu.name} (8192 MiB, 8000 MiB free)\n"
        for number, gpu in enumerate(seen)
    )
    makers: dict[str, Callable[[], Engine]] = {
        "cpu": lambda: cpu_program(folder),
        "vulkan": lambda: vulkan_program(folder, listed),
        "hip": lambda: hip_program(folder, *(targets or ["gfx1100"])),
        "hip-other": lambda: hip_program(folder, "gfx803"),
    }
    return Engine("binary", makers[kind]().argv, f"{kind} build")


if __name__ == "__main__":
    FILE.write_text(table(), encoding="utf-8")
