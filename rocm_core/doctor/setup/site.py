"""Look at what decides which engine fits a machine: cards, drivers, permissions, the system.

Reads files only, so that a recorded machine can be looked at too.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rocm_core.gpu import Gpu, kfd_problem, list_gpus

_AMD = "0x1002"
_DISPLAY_CLASS = "0x03"
# Where Vulkan's loader looks for drivers (Vulkan-Loader, LoaderInterfaceArchitecture.md).
_DRIVER_FOLDERS = (
    *("etc/vulkan/icd.d", "usr/share/vulkan/icd.d", "usr/local/share/vulkan/icd.d"),
    "usr/local/etc/vulkan/icd.d",
)
_DRIVER_VARIABLES = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES")
# Manifests of drivers for AMD's cards: Mesa's RADV, AMDVLK, and Mesa's dzn, which WSL has.
_FOR_AMD = ("radeon", "amd", "dzn")
_ROCM = ("opt/rocm/core/bin/hipcc", "opt/rocm/core/bin/amdclang", "opt/rocm/bin/hipcc")
_WHEEL_GLIBC = (2, 35)


@dataclass(frozen=True, slots=True)
class Site:
    """What decides which engine fits a machine.

    Attributes:
        gpus: the cards that the compute driver shows.
        bare_cards: PCI addresses of AMD cards without the amdgpu driver.
        render_nodes: render nodes of the amdgpu driver, also of cards that KFD does not support.
        kfd_problem: why ROCm cannot compute; ``None`` if it can.
        amdgpu: whether the kernel's driver is loaded.
        vulkan_drivers: manifests of Vulkan drivers, by file name.
        container, wsl: whether this is inside one.
        system: ``debian``, ``fedora``, ``arch``, ``suse``, ``alpine`` or the ID of another.
        machine: ``Linux x86_64``.
        glibc: version of the C library; ``None``: another one, or unknown.
        rocm: whether the ROCm toolkit with its compiler is installed.
        root: whether commands need no sudo.
    """

    gpus: tuple[Gpu, ...] = ()
    bare_cards: tuple[str, ...] = ()
    render_nodes: tuple[str, ...] = ()
    kfd_problem: str | None = None
    amdgpu: bool = False
    vulkan_drivers: tuple[str, ...] = ()
    container: bool = False
    wsl: bool = False
    system: str = ""
    machine: str = "Linux x86_64"
    glibc: tuple[int, ...] | None = None
    rocm: bool = False
    root: bool = False

    @property
    def has_card(self) -> bool:
        """Whether there is an AMD card, usable or not; in WSL that is unknown, and assumed."""
        return bool(self.gpus or self.bare_cards or self.render_nodes or self.wsl)

    @property
    def has_vulkan_driver(self) -> bool:
        """Whether a Vulkan driver for AMD's cards is installed."""
        return any(name.startswith(_FOR_AMD) for name in self.vulkan_drivers)

    @property
    def takes_wheel(self) -> bool:
        """Whether the wheel with a Vulkan engine can be installed."""
        return self.machine == "Linux x86_64" and (self.glibc or (0,)) >= _WHEEL_GLIBC


def look_at_site(root: str | os.PathLike[str] = "/", env: Mapping[str, str] | None = None) -> Site:
    """Return what decides which engine fits.

    Args:
        root: directory that holds ``/sys``, ``/proc``, ``/dev``, ``/etc`` and ``/usr``; another
            than ``/`` for a recorded machine, which is taken for Linux on x86_64.
        env: environment variables; default: this process's for ``/``, none for a recorded machine.
    """
    base, here = Path(root), Path(root) == Path("/")
    env = env if env is not None else (os.environ if here else {})
    dxg = (base / "dev/dxg").exists()
    return Site(
        gpus=tuple(list_gpus(root)),
        bare_cards=_bare_cards(base),
        render_nodes=_render_nodes(base),
        kfd_problem=kfd_problem(root),
        amdgpu=any((base / path).is_dir() for path in ("sys/module/amdgpu", "sys/class/kfd/kfd")),
        vulkan_drivers=_vulkan_drivers(base, env),
        container=any((base / path).exists() for path in (".dockerenv", "run/.containerenv")),
        wsl=dxg or "microsoft" in _read(base / "proc/sys/kernel/osrelease").lower(),
        system=_system(_read(base / "etc/os-release")),
        machine=f"{platform.system()} {platform.machine()}" if here else "Linux x86_64",
        glibc=_glibc() if here else _WHEEL_GLIBC,
        rocm=any((base / path).exists() for path in _ROCM),
        root=here and sys.platform != "win32" and os.geteuid() == 0,
    )


def _bare_cards(root: Path) -> tuple[str, ...]:
    return tuple(
        device.name
        for device in sorted((root / "sys/bus/pci/devices").glob("*"))
        if _read(device / "vendor") == _AMD
        and _read(device / "class").startswith(_DISPLAY_CLASS)
        and not (device / "driver").exists()
    )


def _render_nodes(root: Path) -> tuple[str, ...]:
    nodes = sorted((root / "sys/class/drm").glob("renderD*"))
    return tuple(n.name for n in nodes if "DRIVER=amdgpu" in _read(n / "device/uevent"))


def _vulkan_drivers(root: Path, env: Mapping[str, str]) -> tuple[str, ...]:
    for name in _DRIVER_VARIABLES:  # these replace the folders
        if env.get(name):
            return tuple(Path(part).name for part in env[name].split(os.pathsep) if part)
    found = (path for folder in _DRIVER_FOLDERS for path in (root / folder).glob("*.json"))
    return tuple(sorted({path.name for path in found}))


def _system(release: str) -> str:
    fields = dict(re.findall(r'^(ID|ID_LIKE)="?([^"\n]*)"?$', release, re.MULTILINE))
    words = f"{fields.get('ID', '')} {fields.get('ID_LIKE', '')}".split()
    known = {"ubuntu": "debian", "rhel": "fedora", "opensuse": "suse"}
    for word in words:
        family = known.get(word, word)
        if family in ("debian", "fedora", "arch", "suse", "alpine"):
            return family
    return words[0] if words else ""


def _glibc() -> tuple[int, ...] | None:
    name, version = platform.libc_ver()
    return tuple(map(int, re.findall(r"\d+", version))) if name == "glibc" else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
