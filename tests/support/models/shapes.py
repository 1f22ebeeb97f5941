"""Small GGUFs of many shapes, written in a moment: what llama.cpp allocates for them is real.

    Shape → write_model(path, shape) → a file that llama-server loads

Weights are zeros (only their sizes matter here), so the files compress well and load at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np

_FILE_TYPES = {
    "F16": gguf.LlamaFileType.MOSTLY_F16,
    "BF16": gguf.LlamaFileType.MOSTLY_BF16,
    "Q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
    "Q4_0": gguf.LlamaFileType.MOSTLY_Q4_0,
    "Q4_K": gguf.LlamaFileType.MOSTLY_Q4_K_M,
}
_SPECIALS = ("<unk>", "<s>", "</s>")


@dataclass(frozen=True)
class Shape:
    """A transformer's measures; ``architecture`` is llama.cpp's name of it."""

    architecture: str = "llama"
    layers: int = 4
    width: int = 256
    heads: int = 4
    kv_heads: int = 4
    head: int = 64
    feed_forward: int = 704
    vocabulary: int = 4096
    experts: int = 0
    experts_used: int = 0
    window: int = 0
    tied: bool = False
    weights: str = "F16"
    context: int = 32768


def write_model(path: Path, shape: Shape) -> Path:
    """Write ``shape`` as a GGUF to ``path`` and return it."""
    writer = gguf.GGUFWriter(path, shape.architecture)
    _add_keys(writer, shape)
    _add_vocabulary(writer, shape.vocabulary)
    for name, rows, columns in _tensors(shape):
        _add_tensor(writer, name, rows, columns, shape)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_header(path: Path, shape: Shape) -> Path:
    """Write the header of ``shape`` without the weights, so that any size is a small file."""
    writer = gguf.GGUFWriter(path, shape.architecture)
    _add_keys(writer, shape)
    _add_vocabulary(writer, shape.vocabulary)
    for name, rows, columns in _tensors(shape):
        kind, dimensions, row = _layout(name, rows, columns, shape)
        size = int(np.prod(dimensions, dtype=np.int64)) * row
        writer.add_tensor_info(name, [*dimensions, row], np.dtype(np.uint8), size, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    return path


def write_adapter(path: Path, shape: Shape, rank: int) -> Path:
    """Write a LoRA adapter of zeros for the feed-forward weights of every layer of ``shape``."""
    writer = gguf.GGUFWriter(path, shape.architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 1)
    for number in range(shape.layers):
        name = f"blk.{number}.ffn_up.weight"
        writer.add_tensor(f"{name}.lora_a", np.zeros((rank, shape.width), np.float32))
        writer.add_tensor(f"{name}.lora_b", np.zeros((shape.feed_forward, rank), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_keys(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_name(f"{shape.architecture} test shape")
    writer.add_block_count(shape.layers)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head)
    writer.add_value_length(shape.head)
    writer.add_rope_dimension_count(shape.head)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_file_type(_FILE_TYPES[shape.weights])
    if shape.experts:
        writer.add_expert_count(shape.experts)
        writer.add_expert_used_count(shape.experts_used)
        writer.add_expert_feed_forward_length(shape.feed_forward)
    if shape.window:
        writer.add_sliding_window(shape.window)


def _add_vocabulary(writer: gguf.GGUFWriter, size: int) -> None:
    words = [*_SPECIALS, *(f"<0x{byte:02X}>" for byte in range(256))]
    words += [f"t{number}" for number in range(size - len(words))]
    kinds = gguf.TokenType
    types = [kinds.UNKNOWN, kinds.CONTROL, kinds.CONTROL] + [kinds.BYTE] * 256
    types += [kinds.NORMAL] * (size - len(types))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(words)
    writer.add_token_scores([0.0] * size)
    writer.add_token_types(types)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)


def _tensors(shape: Shape) -> Iterator[tuple[str, int, int]]:
    """Name, rows (0 for a vector) and columns of every tensor."""
    width = shape.width
    yield "token_embd.weight", shape.vocabulary, width
    yield "output_norm.weight", 0, width
    if not shape.tied:
        yield "output.weight", shape.vocabulary, width
    for number in range(shape.layers):
        for name, rows, columns in _block(shape):
            yield f"blk.{number}.{name}.weight", rows, columns


def _block(shape: Shape) -> Iterator[tuple[str, int, int]]:
    width, inner, keys = shape.width, shape.heads * shape.head, shape.kv_heads * shape.head
    yield "attn_norm", 0, width
    yield "attn_q", inner, width
    yield "attn_k", keys, width
    yield "attn_v", keys, width
    yield "attn_output", width, inner
    yield "ffn_norm", 0, width
    if shape.architecture in ("gemma3", "qwen3", "qwen3moe"):
        yield "attn_q_norm", 0, shape.head
        yield "attn_k_norm", 0, shape.head
    if shape.architecture == "gemma3":
        yield "post_attention_norm", 0, width
        yield "post_ffw_norm", 0, width
    if shape.experts:
        yield "ffn_gate_inp", shape.experts, width
    suffix, times = ("_exps", shape.experts) if shape.experts else ("", 1)
    yield f"ffn_gate{suffix}", times * shape.feed_forward, width
    yield f"ffn_up{suffix}", times * shape.feed_forward, width
    yield f"ffn_down{suffix}", times * width, shape.feed_forward


def _add_tensor(writer: gguf.GGUFWriter, name: str, rows: int, columns: int, shape: Shape) -> None:
    kind, dimensions, row = _layout(name, rows, columns, shape)
    data: Any = np.zeros((*dimensions, row), dtype=np.uint8)
    writer.add_tensor(name, data, raw_dtype=kind)


def _layout(
    name: str, rows: int, columns: int, shape: Shape
) -> tuple[gguf.GGMLQuantizationType, tuple[int, ...], int]:
    """Type, the dimensions but the innermost, and the bytes of a row."""
    plain = not rows or "gate_inp" in name
    kind = gguf.GGMLQuantizationType["F32" if plain else shape.weights]
    per_block, size = gguf.GGML_QUANT_SIZES[kind]
    dimensions: tuple[int, ...] = (rows,) if rows else ()
    if "_exps" in name:
        dimensions = (shape.experts, rows // shape.experts)
    return kind, dimensions, columns // per_block * size
