"""The text of ``docs/reference/cards.md``: which GPU is which target, and which builds know it."""

from __future__ import annotations

from collections.abc import Iterator

from rocm_core.doctor.setup.ready_builds import builds_for
from rocm_core.gpu.names import chip_is_integrated, known_override

_HEAD = """\
# GPUs and their targets

<!-- Generated from scripts.pages.cards, rocm_core.gpu.names and rocm_core.doctor.setup.ready_builds
by `python -m scripts.generate`; change it there. -->

A HIP build runs only on the targets that it was compiled for; a Vulkan build runs on every card
that has a Vulkan driver. `llama-rocm doctor` prints the target of yours. Names of products are
those of llama.cpp's `docs/docker.md`.

"llama.cpp" and "lemonade" say whether the ROCm build of that project's releases has code for the
target, "image" whether the container image `server-rocm` has: [where to get them](engines.md). The
last column is `HSA_OVERRIDE_GFX_VERSION` for builds that lack the target; where a build has it, an
override only costs speed or correctness. llama-rocm sets none by itself.

"""
_COLUMNS = (
    "| GPUs | target | kind | llama.cpp | lemonade | image | override |\n" + "|---" * 7 + "|\n"
)
# ggml-org/llama.cpp, docs/docker.md at 30255fcb, "Supported GPU architectures".
FAMILIES: dict[str, dict[str, str]] = {
    "Radeon RX 5000 (RDNA 1)": {
        "gfx1010": "RX 5700 (XT), RX 5600 (XT), Pro W5700",
        "gfx1011": "Pro V520, Pro V540, Pro 5600M",
        "gfx1012": "RX 5500 (XT), RX 5300, Pro W5500",
    },
    "Radeon RX 6000 (RDNA 2)": {
        "gfx1030": "RX 6950 XT, RX 6900 XT, RX 6800 (XT), Pro W6800, Pro W6900X, Pro V620",
        "gfx1031": "RX 6750 (XT, GRE), RX 6700 (XT), RX 6800M, Pro W6700",
        "gfx1032": "RX 6650 (XT), RX 6600 (XT), RX 6800S, RX 6700S, Pro W6600",
        "gfx1034": "RX 6500 (XT), RX 6400, RX 6300, Pro W6400",
    },
    "Radeon RX 7000 (RDNA 3)": {
        "gfx1100": "RX 7900 (XTX, XT, GRE, M), Pro W7900, Pro W7800",
        "gfx1101": "RX 7800 XT, RX 7700 XT, Pro W7700, Pro V710",
        "gfx1102": "RX 7600 (XT), RX 7650 GRE, RX 7700S, Pro W7600, Pro W7500",
    },
    "Radeon RX 9000 (RDNA 4)": {
        "gfx1200": "RX 9060 (XT), RX 9050",
        "gfx1201": "RX 9070 (XT, GRE), Radeon AI PRO R9700",
    },
    "APUs": {
        "gfx1033": "Steam Deck",
        "gfx1035": "Radeon 680M, 660M (Ryzen 6000)",
        "gfx1036": "Radeon Graphics with 2 compute units (Ryzen 7000 and 9000 desktop), 610M",
        "gfx1103": "Radeon 780M, 760M, 740M (Ryzen 7040, 8040; Z1)",
        "gfx1150": "Radeon 890M, 880M (Ryzen AI 300, Strix Point; Z2 Extreme)",
        "gfx1151": "Radeon 8060S, 8050S (Ryzen AI Max, Strix Halo)",
        "gfx1152": "Radeon 860M, 820M (Krackan Point)",
        "gfx1153": "Radeon 840M (Krackan Point 2)",
    },
    "Instinct": {
        "gfx908": "MI100",
        "gfx90a": "MI210, MI250, MI250X",
        "gfx942": "MI300A, MI300X, MI308X, MI325X",
        "gfx950": "MI350X, MI355X",
    },
}


def cards() -> str:
    """Return the text of ``docs/reference/cards.md``."""
    return _HEAD.rstrip() + "\n" + "".join(_tables())


def _tables() -> Iterator[str]:
    for family, targets in FAMILIES.items():
        yield f"\n## {family}\n\n{_COLUMNS}"
        for gfx, products in targets.items():
            builds = builds_for(gfx)
            has = [
                "yes" if any(word in build.where + build.name for build in builds) else ""
                for word in ("-bin-ubuntu-rocm", "lemonade", "container")
            ]
            apu = chip_is_integrated(gfx, None)
            kind = "APU" if apu else "card" if apu is False else "either"
            cells = (products, f"`{gfx}`", kind, *has, known_override(gfx) or "")
            yield "| " + " | ".join(cells) + " |\n"
