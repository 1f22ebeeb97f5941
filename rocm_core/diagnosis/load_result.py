"""What a load was asked for and did not bring, from what the loaded server says. Pure.

llama-server drops some of what it cannot use and starts all the same: each function returns a
sentence with a remedy, or ``None`` if nothing is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

# An answer this short may be over before anything is drafted.
_SHORT = 8


def missing_adapters(asked: Sequence[str], listed: Sequence[Mapping[str, Any]]) -> str | None:
    """Return which LoRA adapters the server does not list.

    Args:
        asked: their paths, in order.
        listed: the answer of ``GET /lora-adapters``.
    """
    there = [PurePath(str(adapter.get("path"))).name for adapter in listed]
    missing = [path for path in asked if PurePath(path).name not in there]
    if not missing:
        return None
    return (
        f"lora: the server has not loaded {', '.join(missing)} (GET /lora-adapters lists "
        f"{', '.join(there) or 'none'}). Check that each was made for this model, or remove it."
    )


def missing_modality(mmproj: str, modalities: Mapping[str, bool]) -> str | None:
    """Return that a multimodal projector has no effect.

    Args:
        mmproj: its path.
        modalities: those of ``GET /props``; empty in builds that do not tell.
    """
    if not modalities or any(modalities.values()):
        return None
    return (
        f"mmproj: the server takes neither images nor audio, although it was given {mmproj}. Use "
        "the projector that was published with this model, or another llama.cpp build."
    )


def nothing_drafted(draft_model: str, predicted: int, drafted: int) -> str | None:
    """Return that a draft model was not used for an answer.

    Args:
        draft_model: its path.
        predicted: tokens of the answer; a short one proves nothing.
        drafted: tokens that were drafted for it (``draft_n`` in ``timings``).
    """
    if drafted or predicted < _SHORT:
        return None
    return (
        f"draft_model: {draft_model} is loaded and not used: none of {predicted} tokens was "
        "drafted (draft_n in timings). Use a draft model with the same vocabulary, name another "
        "kind of drafting (extra_args=['--spec-type', …]), or remove it: it takes memory."
    )
