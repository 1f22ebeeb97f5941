"""Read the display driver's files, ``/sys/class/drm/renderD*/device``.

Source: kernel docs, ``gpu/amdgpu``. Devices are found by the number of their render node, never
by ``cardN``: cards are numbered in the order in which drivers started.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from rocm_core.gpu.kernel.files import numbered, read_int, read_text

_UNKNOWN_VENDOR = "unknown"


@dataclass(frozen=True, slots=True)
class DrmDevice:
    """The facts that amdgpu shows of a device; ``None`` where the kernel shows nothing.

    Attributes:
        revision: PCI revision; it tells an RX 7800 XT from an RX 7700 XT.
        pci: PCI address, ``0000:03:00.0``.
        product_name: only cards with an identity ROM (Instinct) have one.
        unique_id: 16 hex digits, as in a UUID.
        vram_vendor: maker of the memory chips.
        has_board_info: whether the file ``board_info`` exists; newer kernels hide it on APUs.
        vram_total, vram_used: bytes of the device's own memory, and those in use by anybody.
        gtt_total, gtt_used: bytes of system memory that the device may map, and does.
        busy_percent, power_watts, temperature_c: load, package power, temperature at the edge
            of the die; ``None`` while the device sleeps.
    """

    device_id: int | None = None
    revision: int | None = None
    pci: str | None = None
    product_name: str | None = None
    unique_id: str | None = None
    vram_vendor: str | None = None
    has_board_info: bool = False
    vram_total: int | None = None
    vram_used: int | None = None
    gtt_total: int | None = None
    gtt_used: int | None = None
    busy_percent: int | None = None
    power_watts: float | None = None
    temperature_c: float | None = None


def drm_device(root: str | os.PathLike[str], render_minor: int | None) -> DrmDevice:
    """Read the device behind ``renderD<render_minor>``; all fields ``None`` without one.

    Args:
        root: directory that holds ``/sys``.
        render_minor: 128 for ``renderD128``.
    """
    folder = Path(root) / f"sys/class/drm/renderD{render_minor}/device"
    if render_minor is None or not folder.is_dir():
        return DrmDevice()
    vendor = read_text(folder / "mem_info_vram_vendor")
    busy, power, temperature = _activity(folder)
    return DrmDevice(
        device_id=read_int(folder / "device"),
        revision=read_int(folder / "revision"),
        pci=_slot_name(read_text(folder / "uevent")),
        product_name=read_text(folder / "product_name"),
        unique_id=read_text(folder / "unique_id"),
        vram_vendor=None if vendor == _UNKNOWN_VENDOR else vendor,
        has_board_info=(folder / "board_info").exists(),
        vram_total=read_int(folder / "mem_info_vram_total"),
        vram_used=read_int(folder / "mem_info_vram_used"),
        gtt_total=read_int(folder / "mem_info_gtt_total"),
        gtt_used=read_int(folder / "mem_info_gtt_used"),
        busy_percent=busy,
        power_watts=power,
        temperature_c=temperature,
    )


def render_node_problem(root: str | os.PathLike[str], render_minor: int | None) -> str | None:
    """Return why ROCm cannot open the GPU's render node, with the remedy; ``None`` if it can."""
    if render_minor is None:
        return "the kernel gives it no render node"
    name = f"/dev/dri/renderD{render_minor}"
    device = Path(root) / name[1:]
    if not device.exists():
        return f"{name} does not exist: a container needs --device /dev/kfd --device /dev/dri"
    if not os.access(device, os.R_OK | os.W_OK):
        return f"no permission for {name}: add yourself to the groups render and video"
    return None


def _slot_name(uevent: str | None) -> str | None:
    for line in (uevent or "").splitlines():
        key, _, value = line.partition("=")
        if key == "PCI_SLOT_NAME":
            return value
    return None


def _activity(folder: Path) -> tuple[int | None, float | None, float | None]:
    # Reading a sensor wakes a sleeping card, which takes long and drains a battery.
    if read_text(folder / "power/runtime_status") == "suspended":
        return None, None, None
    busy = read_int(folder / "gpu_busy_percent")
    for _, sensors in numbered(folder / "hwmon", "hwmon"):
        microwatts = read_int(sensors / "power1_average")
        if microwatts is None:
            microwatts = read_int(sensors / "power1_input")
        millidegrees = read_int(sensors / "temp1_input")
        return busy, _scaled(microwatts, 1e6), _scaled(millidegrees, 1e3)
    return busy, None, None


def _scaled(value: int | None, unit: float) -> float | None:
    return None if value is None else value / unit
