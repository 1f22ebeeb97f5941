"""The builds of llama-server that others publish, as data; ``doctor`` and the pages read it.

File names and targets: llama.cpp ``.github/workflows/release.yml``, ``docs/docker.md`` at 30255fcb
and ggml-org/llama.cpp#25775; lemonade-sdk/llamacpp-rocm ``README.md``.
"""

from __future__ import annotations

from typing import NamedTuple

from rocm_core.gpu.names import build_covers

_LLAMA_CPP = "github.com/ggml-org/llama.cpp, releases"
_LEMONADE = "github.com/lemonade-sdk/llamacpp-rocm, releases"
_INSTINCT = ("gfx908", "gfx90a", "gfx942", "gfx950")
_LEMONADE_RDNA2 = ("gfx1030", "gfx1031", "gfx1032", "gfx1034")
_RDNA2 = tuple(f"gfx103{n}" for n in range(7))
_RDNA3 = ("gfx1100", "gfx1101", "gfx1102", "gfx1103")
_RDNA35 = ("gfx1150", "gfx1151", "gfx1152", "gfx1153")
_RDNA4 = ("gfx1200", "gfx1201")


class ReadyBuild(NamedTuple):
    """A published build of ``llama-server``.

    Attributes:
        where: the project that publishes it.
        name: its file or image, ``…`` for what varies.
        backend: its GPU back end.
        systems: where it runs.
        targets: gfx targets that it has code for; empty: any card with a driver.
        needs: what has to be on the machine besides.
    """

    where: str
    name: str
    backend: str
    systems: str
    targets: tuple[str, ...]
    needs: str


_OF_LLAMA_CPP = (
    *("gfx906", *_INSTINCT, "gfx1100", "gfx1101", "gfx1102", "gfx1150", "gfx1151", *_RDNA4),
)
READY_BUILDS = (
    ReadyBuild(
        *(_LLAMA_CPP, "llama-…-bin-ubuntu-rocm-…-x64.tar.gz", "HIP", "Linux x86_64"),
        *(_OF_LLAMA_CPP, "the ROCm whose version the file name has"),
    ),
    ReadyBuild(
        *(_LEMONADE, "llama-…-ubuntu-rocm-gfx…-x64.zip", "HIP", "Linux x86_64"),
        ("gfx908", "gfx90a", *_LEMONADE_RDNA2, *_RDNA3, "gfx1150", "gfx1151", *_RDNA4),
        "nothing: ROCm 7 is inside; take the file of the card's family",
    ),
    ReadyBuild(
        *(_LLAMA_CPP, "llama-…-bin-ubuntu-vulkan-x64.tar.gz (and -arm64)", "Vulkan", "Linux"),
        *((), "the card's Vulkan driver, and a Vulkan loader (libvulkan1)"),
    ),
    ReadyBuild(
        *("ggml-org/llama.cpp, container images", "server-rocm", "HIP", "Linux x86_64"),
        (
            *(*_INSTINCT, "gfx1010", "gfx1011", "gfx1012", *_RDNA2),
            *(*_RDNA3, *_RDNA35, *_RDNA4),
        ),
        "an amdgpu driver as new as its ROCm 7.14",
    ),
    ReadyBuild(
        *("ggml-org/llama.cpp, container images", "server-vulkan", "Vulkan", "Linux"),
        *((), "the devices of the card"),
    ),
    ReadyBuild(
        *(_LLAMA_CPP, "llama-…-bin-win-vulkan-x64.zip", "Vulkan", "Windows x64"),
        *((), "the card's driver"),
    ),
    ReadyBuild(
        *(_LEMONADE, "the file for Windows of the card's family", "HIP", "Windows x64"),
        (*_LEMONADE_RDNA2, *_RDNA3, "gfx1150", "gfx1151", *_RDNA4),
        "the card's driver; ROCm 7 is inside",
    ),
)


def builds_for(gfx: str | None) -> list[ReadyBuild]:
    """Return the HIP builds for Linux that have code for the target ``gfx``."""
    return [
        build
        for build in READY_BUILDS
        if build.targets and "Windows" not in build.systems and build_covers(build.targets, gfx)
    ]
