"""Check the machine: driver, device files, GPUs, the choice among them, masks. Reads files only."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

from rocm_core.gpu import Gpu, Selection, list_gpus, select_gpus
from rocm_core.types import Check

_AMD = "0x1002"
_DISPLAY_CLASS = "0x03"
_MASKS = (
    "ROCR_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "CUDA_VISIBLE_DEVICES",
    "GPU_DEVICE_ORDINAL",
    "HSA_OVERRIDE_GFX_VERSION",
)
_CONTAINER = (
    "start the container with --device /dev/kfd --device /dev/dri and the host's numeric group "
    'ids (--group-add "$(getent group render | cut -d: -f3)")'
)
_WSL = (
    "use native Linux; or install ROCm for WSL with librocdxg (before ROCm 7.13 also set "
    "HSA_ENABLE_DXG_DETECTION=1) and a llama-server that sees the GPU with --list-devices"
)
_NO_GPU = "use a machine with an AMD GPU; on the CPU everything else works (--allow-cpu)"


def machine_checks(
    root: str | os.PathLike[str], env: Mapping[str, str], build: Collection[str] | None
) -> tuple[list[Check], Selection]:
    """Return the findings about the machine, and the GPUs that a server would use.

    Args:
        root: directory that holds ``/sys``, ``/proc`` and ``/dev``.
        env: environment variables, for ROCm's masks and overrides.
        build: gfx targets that the engine was compiled for; ``None`` if unknown.
    """
    base = Path(root)
    gpus = list_gpus(root)
    selection = select_gpus(gpus, env=env, build=build)
    driver = _driver(base)
    if driver.status != "ok":
        pointless = "there is no compute driver"
        later = [Check(name, "skipped", pointless) for name in ("kfd", "gpus", "gpu_choice")]
    else:
        later = [_kfd(base), _gpus(gpus), _choice(gpus, selection)]
    return [driver, *later, _masks(env, selection)], selection


# -- driver ----------------------------------------------------------------------------------


def _driver(root: Path) -> Check:
    name = "kernel_driver"
    kernel = _read(root / "proc/sys/kernel/osrelease")
    version = _read(root / "sys/module/amdgpu/version")
    if (root / "sys/module/amdgpu").is_dir() or (root / "sys/class/kfd/kfd").is_dir():
        of = f"version {version}" if version else f"of Linux {kernel}" if kernel else "is loaded"
        return Check(name, "ok", f"amdgpu {of}")
    if (root / "dev/dxg").exists() or "microsoft" in kernel.lower():
        return Check(name, "failed", "this is WSL, which has no amdgpu driver (/dev/dxg)", _WSL)
    if cards := _amd_displays(root):
        return Check(
            name,
            "failed",
            f"the amdgpu driver is not loaded, and there is an AMD GPU at {', '.join(cards)}",
            "sudo modprobe amdgpu; if that fails, sudo dmesg | grep amdgpu tells why",
        )
    if root == Path("/") and not sys.platform.startswith("linux"):
        return Check(
            name, "failed", f"{sys.platform} has no amdgpu driver: ROCm needs Linux", _NO_GPU
        )
    return Check(
        name, "failed", "no AMD GPU: no amdgpu driver, and no AMD card on the PCI bus", _NO_GPU
    )


def _amd_displays(root: Path) -> list[str]:
    return [
        device.name
        for device in sorted((root / "sys/bus/pci/devices").glob("*"))
        if _read(device / "vendor") == _AMD and _read(device / "class").startswith(_DISPLAY_CLASS)
    ]


# -- device files ----------------------------------------------------------------------------


def _kfd(root: Path) -> Check:
    device = root / "dev/kfd"
    if not device.exists():
        remedy = (
            _CONTAINER
            if _in_container(root)
            else "the kernel needs CONFIG_HSA_AMD and a GPU that KFD supports: "
            "sudo dmesg | grep kfd tells"
        )
        return Check("kfd", "failed", "/dev/kfd does not exist", remedy)
    if os.access(device, os.R_OK | os.W_OK):
        return Check("kfd", "ok", "/dev/kfd can be opened")
    return Check("kfd", "failed", "no permission for /dev/kfd", _permission_remedy(root, device))


def _permission_remedy(root: Path, device: Path) -> str:
    number = device.stat().st_gid
    if _in_container(root):
        return f"{_CONTAINER}; /dev/kfd belongs to group {number} in here"
    group = _group_name(number)
    if number in os.getgroups():
        return f"sudo chmod g+rw {device}: its group {group} is yours, but may not open it"
    if _is_listed(group):
        return "log out and in again (or reboot): you are in its group, but this session is not"
    return f"sudo usermod -aG {group},video $USER, then log out and in again"


def _group_name(number: int) -> str:
    import grp  # not on Windows, where nothing gets here

    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return "render"


def _is_listed(group: str) -> bool:
    import grp
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name in grp.getgrnam(group).gr_mem
    except KeyError:
        return False


def _in_container(root: Path) -> bool:
    return (root / ".dockerenv").exists() or (root / "run/.containerenv").exists()


# -- GPUs ------------------------------------------------------------------------------------


def _gpus(gpus: list[Gpu]) -> Check:
    if not gpus:
        remedy = "sudo dmesg | grep kfd tells which devices the driver found and refused"
        return Check("gpus", "failed", "the compute driver shows no GPU", remedy)
    detail = "; ".join(_described(gpu) for gpu in gpus)
    problems = [gpu.problem for gpu in gpus if gpu.problem]
    if not problems:
        return Check("gpus", "ok", detail)
    remedy = "; ".join(dict.fromkeys(problems))
    return Check("gpus", "failed" if len(problems) == len(gpus) else "warning", detail, remedy)


def _described(gpu: Gpu) -> str:
    kind = {True: "integrated", False: "a card", None: "integrated or not is unknown"}
    text = f"{gpu.label}, {kind[gpu.integrated]} ({gpu.integrated_reason})"
    return f"{text}, cannot be used: {gpu.problem}" if gpu.problem else text


def _choice(gpus: list[Gpu], selection: Selection) -> Check:
    skipped = [f"not {gpu.label}: {reason}" for gpu, reason in selection.skipped]
    if selection:
        chosen = ", ".join(gpu.label for gpu in selection)
        return Check("gpu_choice", "ok", "; ".join([f"{chosen}: {selection.reason}", *skipped]))
    if not gpus:
        return Check("gpu_choice", "skipped", "there is no GPU to choose")
    remedy = "; ".join(selection.warnings) or (
        "make one of them usable (see above), or use a llama-server built for it"
    )
    return Check("gpu_choice", "failed", "; ".join([selection.reason, *skipped]), remedy)


def _masks(env: Mapping[str, str], selection: Selection) -> Check:
    named = [f"{name}={env[name]}" for name in sorted(env) if name.startswith(_MASKS)]
    in_force = ", ".join(named) or "no mask and no override is set"
    if selection.warnings and (named or selection):
        remedy = "; ".join(selection.warnings)
        return Check("gpu_environment", "warning", in_force, remedy)
    return Check("gpu_environment", "ok", in_force)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
