"""What llama.cpp does to texts because of a model's header, and nobody would guess. Pure.

Both are in ``llama_vocab::impl::load`` (llama.cpp ``src/llama-vocab.cpp``).
"""

from __future__ import annotations

from rocm_core.gguf.facts import GGUFInfo

_STRIPPING_NAMES = ("phi-3", "phi3")


def text_notes(info: GGUFInfo) -> tuple[str, ...]:
    """Return a sentence with a remedy for each; empty for most models."""
    found = []
    if info.ordinary_end:
        found.append(
            "its vocabulary has </s> as an ordinary token (HTML's end of strike-through), which "
            "llama.cpp takes for the end of an answer: an answer ends where the model writes it. "
            "Ask for <del>, or for Markdown, in place of <s>."
        )
    if any(part in (info.name or "").lower() for part in _STRIPPING_NAMES):
        found.append(
            f"its general.name ({info.name}) contains phi-3, for which llama.cpp drops white space "
            "after special tokens. If it is no Phi-3, give it another name "
            "(--override-kv general.name=str:NAME, or gguf's gguf_set_metadata.py)."
        )
    return tuple(found)
