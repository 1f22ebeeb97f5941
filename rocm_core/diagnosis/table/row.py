"""What a known failure is: one row of the tables that ``explain_failure`` searches.

Also the parts of sentences and patterns that several tables share.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

GROUPS = "sudo usermod -aG render,video $USER, then log in again"
CONTAINER = (
    "in a container pass --device /dev/kfd --device /dev/dri and the numeric group ids of both "
    '(--group-add "$(getent group render | cut -d: -f3)")'
)
OTHER_BUILD = (
    "use a llama.cpp build for it, or one with Vulkan; if it is an integrated GPU beside a "
    "card, choose the card with devices=; llama-rocm doctor lists what the build has"
)
LESS_VRAM = (
    "lower context_len, gpu_layers or parallel, quantize the KV cache "
    "(cache_type_k='q8_0', cache_type_v='q8_0', flash_attn=True), or use a smaller quantization"
)
NEWER_BUILD = "use a newer llama.cpp build"
# llama.cpp compiles its CUDA code for HIP: older builds print CUDA where newer ones print ROCm.
GPU_ERROR = r"(?:ROCm|CUDA|HIP) error\b.*"

# What ``.*`` of a pattern spans at most: else a line that repeats a word takes the square of its
# length.
_SPAN = 300


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """Compile a pattern on first use: most programs never explain a failure."""
    return re.compile(pattern.replace(".*", f".{{0,{_SPAN}}}"), re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Cure:
    """A version that does not have the fault any more.

    Attributes:
        program: as ``versions.py`` names it: ``"llama.cpp"``, ``"Ollama"``, ``"ROCm"``, …
        version: the first version without the fault.
        since: the first version with it; empty: every earlier one has it.
        sign: pattern that the line must have besides, where the row has other causes too.
    """

    program: str
    version: str
    since: str = ""
    sign: str = ""


@dataclass(frozen=True, slots=True)
class KnownFailure:
    """One row of the table.

    Attributes:
        name: kind of the failure, unique in the table.
        keys: texts in lower case; every line that the pattern matches has one of them. The search
            looks for these first (``search.py``).
        pattern: searched in each log line, ignoring case; may have the groups ``what`` (a file,
            an argument, …) and ``gfx`` (a GPU target).
        cause: what the line means; ``{what}`` and ``{gfx}`` stand for the groups' text.
        remedy: what the user can do.
        source: where the line was reported or is printed.
        backend: the GPU back end that prints it: ``"hip"`` or ``"vulkan"``; empty: any, or none.
        over: rows of the same stage that may match beside this one, and say less.
        versions: which versions have the fault, in words.
        cures: versions that cure it; what the log says of its own version is held against them.
        ends: whether a process can end of it; if not, it explains no exit.
    """

    name: str
    keys: tuple[str, ...]
    pattern: str
    cause: str
    remedy: str
    source: str
    backend: str = ""
    over: tuple[str, ...] = ()
    versions: str = ""
    cures: tuple[Cure, ...] = ()
    ends: bool = True

    def search(self, line: str) -> re.Match[str] | None:
        """Return the first match of the pattern in a log line, or None."""
        return _compiled(self.pattern).search(line)


@dataclass(frozen=True, slots=True)
class Stage:
    """A step on the way from starting a program to its answer, with the failures of that step.

    Attributes:
        name: short name.
        title: what the step is, as a heading.
        outranks: why a failure of this stage explains an end better than one of a later stage.
        rows: the failures; where two can match one log, ``over`` says which says more.
    """

    name: str
    title: str
    outranks: str
    rows: tuple[KnownFailure, ...]
