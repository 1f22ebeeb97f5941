"""The text of ``docs/reference/engines.md``, from the table of packages and the advice of setup."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rocm_core.doctor.setup.advice import DRIVERS, Step, advise
from rocm_core.doctor.setup.ready_builds import READY_BUILDS, ReadyBuild
from rocm_core.doctor.setup.site import Site
from rocm_core.engine.installed.packages import EMBEDDED, GROUP, PACKAGES, EnginePackage
from rocm_core.engine.locate import PATH_VARIABLE

_ENGINES_HEAD = f"""\
# Where to get an engine

<!-- Generated from rocm_core.engine.installed.packages, rocm_core.doctor.setup.advice and
rocm_core.doctor.setup.ready_builds by `python -m scripts.generate`; change it there. -->

An engine is the program that runs llama.cpp: a `llama-server`, or the one inside the package
`xllamacpp`. `llama-rocm setup` says which one this machine needs. This page has them all.

A model runs on the engine that the user names (`server_path=`, `{PATH_VARIABLE}`,
`engine=`), else on the one that does most here: a HIP build with code for the card, then a back end
that lists the card (Vulkan, CUDA), then a HIP build that does not tell for which cards it is made,
then the CPU; of equals the first of `PATH`, the packages below, and the embedded engine.
`llama-rocm config`, `doctor` and the first line of the log `rocm_core.server` say which, and why.
`llama-rocm setup` says what to install, and with `--yes` does the pip part and proves the result.

Of engines of different builds an option is asked of the one that a model gets; one that it lacks is
refused, and the error names the installed engine that has it. `doctor` lists the builds. A shared
server (`keep_alive`) belongs to the build that it was started with: a program that gets another
build, also by an upgrade at the same path, starts a server of its own.

A software device (Mesa's llvmpipe) computes on the CPU, far slower than a CPU build. It is used
only when it is named: `devices=["llvmpipe"]`.

## From nothing to an offloaded answer, without a GPU

On Debian or Ubuntu, from the root of a clone. The first load compiles shaders, which takes up to a
minute; `require_gpu` raises unless weights and cache are on the device.

<!-- not run: installs with root; .ci/vulkan does the rest -->
```sh
sudo apt install mesa-vulkan-drivers                      # with the software device (lavapipe)
python3 -m venv .venv && source .venv/bin/activate
pip install ".[vulkan]"
llama-rocm setup --device llvmpipe                        # proves it, and compares it with the CPU
llama-rocm chat "Hello" -m demo --device llvmpipe --require-gpu
```

## Packages

| package | installed by | back ends | for | note |
|---|---|---|---|---|
"""
_REGISTER = f"""
A package of yours adds its engine by an entry point of the group `{GROUP}`, which names the
path of a `llama-server`, or a function without arguments that returns it:

```toml
[project.entry-points."{GROUP}"]
mine = "my_package:server_path"
```

Entry points are read only where no engine of the table is installed or none of them reaches the
card, and by `doctor` and `setup`.

## Ready builds of llama-server

Unpack one and name it by `server_path=` or `{PATH_VARIABLE}`, or put it on `PATH`. Keep its
libraries beside it. A HIP build needs code for [the target of your card](cards.md).

| from | file or image | back end | runs on | has code for | needs besides |
|---|---|---|---|---|---|
{{ready}}
Distributions package llama.cpp too, some for the CPU only: `llama-server --list-devices` tells
whether a build sees your card. Nix can build it for ROCm (`llama-cpp` with `rocmSupport`); the one
of conda-forge (`llama-cpp`) has Vulkan.

## What setup advises

| machine | engine | commands |
|---|---|---|
"""


def engines() -> str:
    """Return the text of ``docs/reference/engines.md``."""
    rows = [_package(package) for package in (*PACKAGES, EMBEDDED)]
    register = _REGISTER.format(ready="".join(map(_ready, READY_BUILDS)))
    return _ENGINES_HEAD + "".join(rows) + register + "".join(_advised())


def _ready(build: ReadyBuild) -> str:
    targets = ", ".join(build.targets) or "any card"
    cells = (build.where, build.name, build.backend, build.systems, targets, build.needs)
    return "| " + " | ".join(cells) + " |\n"


def _package(package: EnginePackage) -> str:
    has = ", ".join(package.backends) or "CPU"
    install = f'`pip install "llama-rocm[{package.extra}]"`'
    cells = (f"`{package.distribution}`", install, has, package.platforms, package.note)
    return "| " + " | ".join(cells) + " |\n"


def _advised() -> Iterator[str]:
    card = Site(
        render_nodes=("renderD128",),
        amdgpu=True,
        vulkan_drivers=("radeon_icd.x86_64.json",),
        system="debian",
        glibc=(2, 35),
    )
    closed = "no permission for /dev/kfd"
    sites = {
        "an AMD card, Mesa's Vulkan driver": card,
        **{
            f"an AMD card, no Vulkan driver, {system}": replace(
                card,
                vulkan_drivers=(),
                system=system,
                glibc=None if system == "alpine" else card.glibc,
            )
            for system in DRIVERS
        },
        "an AMD card that this user may not open": replace(card, kfd_problem=closed),
        "the same in a container": replace(card, kfd_problem=closed, container=True),
        "an AMD card without the amdgpu driver": replace(
            card, render_nodes=(), bare_cards=("0000:03:00.0",), amdgpu=False
        ),
        "an AMD card, glibc before 2.35": replace(card, glibc=(2, 31)),
        "an AMD card, ROCm toolkit, Linux on another processor": replace(
            card, machine="Linux aarch64", rocm=True
        ),
        "WSL": replace(card, wsl=True, render_nodes=()),
        "no AMD card": replace(card, render_nodes=()),
    }
    for name, site in sites.items():
        advice = advise(site, ())
        steps = "<br>".join(f"`{s.command}`" if _is_command(s) else s.command for s in advice.steps)
        yield f"| {name} | {advice.engine} | {steps.replace('| cut', '&#124; cut')} |\n"


def _is_command(step: Step) -> bool:
    return step.command.startswith(("pip ", "sudo ", "CMAKE_ARGS")) and ", " not in step.command
