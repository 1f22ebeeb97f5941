"""The files of ``/sys``, ``/dev`` and ``/proc`` of a machine, below a root of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from rocm_core.engine import gpu_judgment
from rocm_core.engine.installed import choice
from rocm_core.gpu import kfd_problem, list_gpus

Files = Mapping[str, object]
MASKS = ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")


def run_on(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on this program runs on the machine below ``root``, and has warned of nothing."""
    for name in MASKS:
        monkeypatch.delenv(name, raising=False)
    for module in ("gpu_judgment", "gpu_placement", "installed.choice"):
        monkeypatch.setattr(f"rocm_core.engine.{module}.list_gpus", lambda: list_gpus(root))
    for reader in (gpu_judgment, choice):
        monkeypatch.setattr(reader, "kfd_problem", lambda: kfd_problem(root))
    monkeypatch.setattr(gpu_judgment, "_warned", set())


class Machine:
    """Builds the files of one machine."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.nodes = 0
        self.write("dev/kfd", "")

    def write(self, path: str, content: object) -> None:
        """A file below the root, ending in a newline as the kernel's do."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{content}\n")

    def cpu(self, cores: int) -> None:
        """A CPU node."""
        self._node(f"cpu_cores_count {cores}\nsimd_count 0\ngfx_target_version 0\nvendor_id 0", 0)

    def gpu(
        self,
        properties: str,
        drm: Files | None = None,
        gpu_id: int | None = None,
        bank: tuple[int, int] | None = None,
        openable: bool = True,
    ) -> None:
        """A GPU node, and the DRM device behind its render node.

        Args:
            properties: of the node, ``;`` for line ends.
            drm: files of the device; ``None`` where nobody recorded them.
            bank: size and used bytes of its memory bank.
            openable: whether ``/dev/dri`` has its render node.
        """
        node = self._node(properties.replace(";", "\n"), gpu_id)
        if bank:
            size, used = bank
            text = f"heap_type 1\nsize_in_bytes {size}\nflags 0\nwidth 8192\nmem_clk_max 1300"
            self.write(f"{node}/mem_banks/0/properties", text)
            self.write(f"{node}/mem_banks/0/used_memory", used)
        minor = properties.partition("drm_render_minor ")[2].partition(";")[0]
        if minor.isdigit():
            if openable:
                self.write(f"dev/dri/renderD{minor}", "")
            for name, content in (drm or {}).items():
                self.write(f"sys/class/drm/renderD{minor}/device/{name}", content)

    def masked(self) -> None:
        """A node whose files cannot be read (a cgroup answers EPERM; here: a folder)."""
        node = self._node("", None)
        (self.root / node / "properties").unlink()
        (self.root / node / "properties").mkdir()

    def _node(self, properties: str, gpu_id: int | None) -> str:
        node = f"sys/class/kfd/kfd/topology/nodes/{self.nodes}"
        self.nodes += 1
        self.write(f"{node}/properties", properties)
        if gpu_id is not None:
            self.write(f"{node}/gpu_id", gpu_id)
        return node
