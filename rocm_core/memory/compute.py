"""Compute the memory that one batch needs on its way through the layers (compute buffers).

llama.cpp reserves the peak of one graph (``sched_reserve`` in ``src/llama-context.cpp``), and
ggml's allocator (``ggml/src/ggml-alloc.c``) reuses memory that is no longer needed. The peak is
the largest of three: attention, feed-forward, or the experts' outputs. How many rows of
activations exist there at once follows from the order of the graph's nodes; the factors below
were measured from the buffers that llama.cpp reserves for models of many shapes: on the CPU with
b11434, on GPUs with the Vulkan back end of b10434 (one and two devices).
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
        value_row: elements of a token's values in one layer.
        layer_cache: bytes of the largest layer's keys and values.
    """

    tokens: int
    outputs: int
    cells: tuple[int, ...]
    flash: bool
    rotated: int
    cast: int
    value_row: int
    layer_cache: int


def mask_bytes(batch: Batch) -> int:
    """Return the bytes of the attention masks: half precision with flash attention, else single."""
    return sum(batch.cells) * batch.tokens * (2 if batch.flash else _FLOAT)


def compute_bytes(info: GGUFInfo, batch: Batch) -> int:
    """Return the peak bytes of a device that computes layers, masks and indices included."""
    return max(_attention(info, batch), _feed_forward(info, batch)) + _constant_bytes(batch)


def host_bytes(info: GGUFInfo, batch: Batch, *, copies: int, caches: bool) -> int:
    """Return the bytes that the host needs beside GPUs which compute a batch's layers.

    Args:
        info: facts of the model.
        batch: the batch.
        copies: batches that overlap, each with inputs of its own.
        caches: whether the KV cache of some layers is the host's, so that their keys and values
            pass through its memory.
    """
    width, keys = _row(info.embedding_length, batch), _keys(info, batch)
    passing = max(2 * width, width + 2 * keys) if caches else 2 * width
    return passing + copies * _constant_bytes(batch, host=True)


def device_bytes(
    info: GGUFInfo,
    batch: Batch,
    *,
    blocks: int,
    last_only: bool,
    copies: int,
    borrowed: int,
    caches: bool,
) -> int:
    """Return the peak bytes of a GPU.

    Args:
        info: facts of the model.
        batch: the batch.
        blocks: blocks that it computes; without one, it has the output layer alone.
        last_only: whether that is the last block alone, whose feed-forward part is computed for
            the outputs only.
        copies: batches that overlap, each with inputs of its own.
        borrowed: bytes of the largest weight in host memory that is copied here for a large batch.
        caches: whether the host has KV caches that are copied here, layer by layer.
    """
    width, logits = _row(info.embedding_length, batch), _logits(info, batch) // 2
    if not blocks:
        return logits + width // max(batch.tokens, 1) * batch.outputs
    inputs = copies * _constant_bytes(batch, host=True) + (4 * width if copies > 1 else 0)
    # With GPUs the graph's nodes come in another order than on the CPU, and fewer rows exist at
    # once (measured): more where keys and queries are normalized.
    spared = 3 * width if batch.flash else width + 3 * _queries(info, batch)
    attention = _attention(info, batch)
    if any(tensor.name.endswith("attn_q_norm.weight") for tensor in info.tensors):
        spared = width
    forward = 0
    if not last_only:
        forward = _feed_forward(info, batch) - (5 * width // 2 if info.experts else spared)
    peak = max(attention - spared, forward + borrowed)
    if caches:
        # Holes in the allocation take another quarter (0 to a half, measured).
        beside = borrowed // 4 + 2 * width if batch.flash else attention - spared
        peak = max(peak, beside + batch.layer_cache * 5 // 4)
    return peak + inputs


def _constant_bytes(batch: Batch, *, host: bool = False) -> int:
    # Without flash attention values are stored transposed, and each element has its index.
    elements = 0 if batch.flash or not host else batch.value_row * len(batch.cells)
    indices = batch.tokens * (_INDEX_BYTES_PER_TOKEN + 8 * elements)
    return mask_bytes(batch) + indices + batch.rotated


def _row(length: int | None, batch: Batch) -> int:
    return (length or 0) * batch.tokens * _FLOAT


def _queries(info: GGUFInfo, batch: Batch) -> int:
    return _row((info.heads or 0) * max(info.key_length or 0, info.value_length or 0), batch)


def _keys(info: GGUFInfo, batch: Batch) -> int:
    return _row((info.kv_heads or 0) * max(info.key_length or 0, info.value_length or 0), batch)


def _logits(info: GGUFInfo, batch: Batch) -> int:
    return 2 * (info.vocabulary or 0) * batch.outputs * _FLOAT


def _attention(info: GGUFInfo, batch: Batch) -> int:
    row = batch.tokens * _FLOAT
    width = _row(info.embedding_length, batch)
    queries, keys, logits = _queries(info, batch), _keys(info, batch), _logits(info, batch)
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
