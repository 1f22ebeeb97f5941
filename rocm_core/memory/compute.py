"""Compute the memory that one batch needs on its way through the layers (compute buffers).

llama.cpp reserves the peak of one graph (``sched_reserve`` in ``src/llama-context.cpp``), and
ggml's allocator (``ggml/src/ggml-alloc.c``) reuses memory that is no longer needed. The peak is
the largest of three: attention, feed-forward, or the experts' outputs. How many rows of
activations exist there at once follows from the order of the graph's nodes; the factors below
were measured from the buffers that llama.cpp reserves for models of many shapes.
"""

from __future__ import annotations

from dataclasses import dataclass

from rocm_core.gguf import GGUFInfo

_FLOAT = 4
# Token numbers, positions, cache rows: a few integers per token.
_INDEX_BYTES_PER_TOKEN = 32


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch of tokens that is computed at once.

    Attributes:
        tokens: tokens of the physical batch (``-ub``).
        outputs: tokens whose logits are computed.
        cells: KV cells per sequence that one token can see, for each attention mask (one mask,
            or two if some layers have a sliding window).
        flash: whether flash attention is on, so that the attention matrix is never stored.
        rotated: bytes of the matrices that rotate keys and values for a quantized cache.
        cast: bytes of the half-precision copy that flash attention makes of a layer's keys and
            values if the cache is single precision.
    """

    tokens: int
    outputs: int
    cells: tuple[int, ...]
    flash: bool
    rotated: int
    cast: int


def mask_bytes(batch: Batch) -> int:
    """Return the bytes of the attention masks: half precision with flash attention, else single."""
    return sum(batch.cells) * batch.tokens * (2 if batch.flash else _FLOAT)


def input_bytes(info: GGUFInfo, batch: Batch) -> int:
    """Return the bytes of the layers' inputs: embedded tokens, masks, indices, rotations.

    The host needs them even if it computes no layer.
    """
    embedded = (info.embedding_length or 0) * batch.tokens * _FLOAT
    return embedded + _constant_bytes(batch)


def compute_bytes(info: GGUFInfo, batch: Batch) -> int:
    """Return the peak bytes of a device that computes layers, masks and indices included."""
    return max(_attention(info, batch), _feed_forward(info, batch)) + _constant_bytes(batch)


def _constant_bytes(batch: Batch) -> int:
    return mask_bytes(batch) + batch.tokens * _INDEX_BYTES_PER_TOKEN + batch.rotated


def _attention(info: GGUFInfo, batch: Batch) -> int:
    row = batch.tokens * _FLOAT
    head = max(info.key_length or 0, info.value_length or 0)
    width = (info.embedding_length or 0) * row
    queries = (info.heads or 0) * head * row
    keys = (info.kv_heads or 0) * head * row
    logits = 2 * (info.vocabulary or 0) * batch.outputs * _FLOAT
    if not batch.flash:
        scores = max(batch.cells, default=0) * (info.heads or 0) * row
        return scores + 3 * width + 3 * queries + 2 * keys + logits
    # A few keys fit into memory that other activations have freed, many do not.
    beside = 0 if 2 * keys <= queries else 2 * keys if keys > width else max(2 * keys - width, 0)
    passing = 5 * width + (2 * queries if queries > width else queries)
    return passing + beside + batch.cast + logits


def _feed_forward(info: GGUFInfo, batch: Batch) -> int:
    # From the last layer's attention on, only tokens with outputs are kept.
    row = (batch.tokens if (info.layers or 0) > 1 else batch.outputs) * _FLOAT
    width = (info.embedding_length or 0) * row
    dense = (info.feed_forward_length or 0) * row
    if not info.experts:
        return 3 * dense + 5 * width
    used = info.experts_used or 1
    each = info.of_architecture("expert_feed_forward_length") or info.feed_forward_length or 0
    shared = (info.of_architecture("expert_shared_feed_forward_length") or 0) * row
    inner, outer = used * each * row, used * width
    # The experts' outputs reuse the memory of their inputs, if they fit.
    beside = outer if outer > max(2 * inner, 2 * width) else 0
    leading = dense if info.of_architecture("leading_dense_block_count") else 0
    return max(3 * inner + beside, 3 * shared + width, 3 * leading) + 5 * width
