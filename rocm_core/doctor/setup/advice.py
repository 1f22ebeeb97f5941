"""Say which engine fits a machine, why, and by which commands it gets there. Pure.

The sentences of ``doctor``, ``setup`` and ``docs/reference/engines.md`` about this are all here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rocm_core.doctor.setup.site import Site

Kind = Literal["pip", "system", "restart"]

VULKAN = 'pip install "llama-rocm[vulkan]"'
EMBEDDED = 'pip install "llama-rocm[embedded]"'
_COMPILE = 'CMAKE_ARGS="{options} -DCMAKE_BUILD_TYPE=Release" pip install "llama-rocm[server]"'
GROUPS = "usermod -aG render,video $USER"
CONTAINER = (
    "start the container with --device /dev/kfd --device /dev/dri and the host's numeric group "
    'ids (--group-add "$(getent group render | cut -d: -f3)")'
)
WSL = (
    "use native Linux; or install ROCm for WSL with librocdxg (before ROCm 7.13 also set "
    "HSA_ENABLE_DXG_DETECTION=1) and a llama-server that sees the GPU with --list-devices"
)
# Mesa's Vulkan driver for AMD's cards, by the distribution's package manager.
DRIVERS = {
    "debian": "apt install mesa-vulkan-drivers",
    "fedora": "dnf install mesa-vulkan-drivers",
    "arch": "pacman -S vulkan-radeon",
    "suse": "zypper install libvulkan_radeon",
    "alpine": "apk add mesa-vulkan-ati",
}
_ANY_DRIVER = "install Mesa's Vulkan driver for AMD (RADV) from your distribution"
_ROCM = "install the ROCm toolkit (rocm.docs.amd.com)"
_UNSEEN = (
    "llama-rocm doctor names what hides the card; the engine's --list-devices shows the driver's "
    "own words"
)
# Instinct accelerators: ROCm is what AMD documents for them (system requirements).
_ACCELERATORS = ("gfx908", "gfx90a", "gfx942", "gfx950", "gfx1250", "gfx1251")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do.

    Attributes:
        kind: ``pip`` is run by ``llama-rocm setup --yes``; ``system`` needs the administrator or
            the host; ``restart`` is a new login or container.
        command: the exact command, or the sentence where there is none.
    """

    kind: Kind
    command: str


@dataclass(frozen=True, slots=True)
class Advice:
    """Which engine fits a machine.

    Attributes:
        engine: the engine, by its back end and where it comes from.
        reason: why that one.
        steps: what to do, in order; empty if it is there and works.
    """

    engine: str
    reason: str
    steps: tuple[Step, ...] = ()

    @property
    def line(self) -> str:
        """The steps, as one line."""
        return "; then ".join(step.command for step in self.steps)


@dataclass(frozen=True, slots=True)
class Installed:
    """An engine that is installed, as far as the advice goes.

    Attributes:
        name: how messages name it.
        reaches: how it reaches a GPU now; empty if it does not.
        could: whether its back end could, once driver and permissions are right: Vulkan, or HIP
            with code for the card.
        vulkan: whether that back end is Vulkan.
        problem: what it can do instead, or why it reaches none.
        named: what names it (``server_path``, ROCM_LLAMA_SERVER_PATH); empty if nothing does, so
            that a better one goes before it.
    """

    name: str
    reaches: str = ""
    could: bool = False
    vulkan: bool = False
    problem: str = ""
    named: str = ""


def advise(site: Site, engines: Sequence[Installed]) -> Advice:
    """Return which engine fits ``site``, why, and what to do.

    Args:
        site: from ``look_at_site``.
        engines: the installed ones, the one that a model gets first.
    """
    named = next((engine for engine in engines if engine.named), None)
    if named is None or named.reaches or not site.has_card:
        return _advise(site, engines)
    advice = _advise(site, [engine for engine in engines if engine is not named])
    free = Step("restart", _unset(named.named))
    return Advice(
        advice.engine,
        f"{named.name}, which {named.named} names: {named.problem}; {advice.reason}",
        (*advice.steps, free),
    )


def _unset(name: str) -> str:
    return f"unset {name}" if name.isupper() else f"leave out {name}"


def _advise(site: Site, engines: Sequence[Installed]) -> Advice:
    for engine in engines:
        if engine.reaches:
            return Advice(engine.name, engine.reaches)
    if not site.has_card:
        if engines:
            why = "there is no AMD card; models run on the CPU"
            return Advice(engines[0].name, why)
        why = "there is no AMD card; this one is ready at once"
        return Advice("CPU, the embedded engine", why, (Step("pip", EMBEDDED),))
    access = _access(site)
    fitting = (e for e in engines if e.could and not (e.vulkan and _is_accelerator(site)))
    ready = next(fitting, None)
    if ready is not None:
        driver = _vulkan_driver(site) if ready.vulkan else ()
        steps = (*driver, *access) or (Step("system", _UNSEEN),)
        return Advice(ready.name, ready.problem or "it is installed", steps)
    name, why, steps = _engine(site)
    if engines:
        why = f"{'; '.join(f'{e.name}: {e.problem}' for e in engines)}; {why}"
    return Advice(name, why, (*steps, *access))


def _engine(site: Site) -> tuple[str, str, tuple[Step, ...]]:
    if site.wsl:
        return "HIP, a program of your own", "this is WSL", (Step("system", WSL),)
    targets = sorted({gpu.gfx for gpu in site.gpus if gpu.gfx})
    accelerator = _is_accelerator(site)
    if accelerator or (site.rocm and not site.takes_wheel):
        names = f" -DAMDGPU_TARGETS={';'.join(targets)}" if targets else ""
        command = _COMPILE.format(options=f"-DGGML_HIP=ON{names}")
        why = "ROCm is there to compile with"
        if accelerator:
            why = f"{', '.join(targets)} is an accelerator, for which AMD documents ROCm alone"
        toolkit = () if site.rocm else (Step("system", _ROCM),)
        return "HIP, compiled by pip", why, (*toolkit, Step("pip", command))
    driver = _vulkan_driver(site)
    if site.takes_wheel:
        why = "Vulkan needs no ROCm and no compiler, and the wheel is ready at once"
        return "Vulkan, the wheel", why, (Step("pip", VULKAN), *driver)
    command = _COMPILE.format(options="-DGGML_VULKAN=ON")
    why = f"there is no wheel for {site.machine}, and Vulkan needs no ROCm"
    return "Vulkan, compiled by pip", why, (Step("pip", command), *driver)


def _is_accelerator(site: Site) -> bool:
    targets = [gpu.gfx for gpu in site.gpus if gpu.gfx]
    return bool(targets) and all(target in _ACCELERATORS for target in targets)


def _vulkan_driver(site: Site) -> tuple[Step, ...]:
    if site.has_vulkan_driver:
        return ()
    command = DRIVERS.get(site.system)
    return (Step("system", _sudo(site, command) if command else _ANY_DRIVER),)


def _access(site: Site) -> tuple[Step, ...]:
    """Return what opens the card to this user: driver, groups, or flags of the container."""
    if site.wsl:
        return ()
    if site.bare_cards and not site.amdgpu:
        return (Step("system", _sudo(site, "modprobe amdgpu")),)
    closed = [gpu for gpu in site.gpus if gpu.hip_index is None]
    unopened = bool(site.gpus) and len(closed) == len(site.gpus)
    forbidden = bool(site.kfd_problem) and "permission" in str(site.kfd_problem)
    missing = bool(site.kfd_problem) and not forbidden
    if site.container and (unopened or forbidden or (missing and site.gpus)):
        return (Step("restart", CONTAINER),)
    if unopened and any("does not exist" in str(gpu.problem) for gpu in closed):
        return (Step("restart", CONTAINER),)
    if unopened or forbidden:
        return (Step("restart", f"{_sudo(site, GROUPS)}, and log in again"),)
    return ()


def _sudo(site: Site, command: str) -> str:
    return command if site.root else f"sudo {command}"
