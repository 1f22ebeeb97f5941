"""How much of an input one physical batch has to hold. Pure."""

from __future__ import annotations

from collections.abc import Callable

from rocm_core.config import LoadConfig
from rocm_core.gguf import GGUFInfo

# Decoders, whose tokens see only those before them: their inputs can be computed in pieces. (Others
# that keep a KV cache are made non-causal by llama.cpp itself: gemma-embedding, dream, llada.)
_DECODERS = ("llama", "mistral", "phi3", "qwen2", "qwen3", "gemma2", "gemma3", "granite", "olmo2")
# Decision models that are read in embedding mode (llama.cpp ``common/common.cpp``).
_DECIDE_AT_ONCE = ("laya", "kev", "clef")
# The longest input, in tokens, that a batch is made for; a longer one is somebody's own choice.
_MAX_INPUT = 8192


def whole_input(
    info: GGUFInfo | None, config: LoadConfig, *, unknown: int, splits_ranks: Callable[[], bool]
) -> int:
    """Return how many tokens of an input have to fit into one physical batch; 0 for any number.

    An input for embedding, reranking and some decisions is computed as a whole (llama-server:
    "input is too large to process"), unless its last token has seen all the others: then it is
    computed in pieces (``can_split`` in llama.cpp's ``tools/server/server-context.cpp``).

    Args:
        info: facts of the model; ``None`` if they are not known yet.
        config: how it is loaded.
        unknown: the context length of a model of which nothing is known.
        splits_ranks: asks whether the engine computes inputs of causal rerankers in pieces.
    """
    decides = info is not None and info.decision_type in _DECIDE_AT_ONCE
    if not (config.embeddings or config.rerank or decides):
        return 0
    if info is not None and not decides and _is_causal(info):
        pieces = splits_ranks() if config.rerank else (config.pooling or info.pooling) == "last"
        if pieces:
            return 0
    known = (info.context_length or 0) if info is not None else unknown
    return min(config.context_len or known, _MAX_INPUT)


def _is_causal(info: GGUFInfo) -> bool:
    name = info.architecture or ""
    return name.startswith(_DECODERS) and info.of_architecture("attention.causal") is not False
