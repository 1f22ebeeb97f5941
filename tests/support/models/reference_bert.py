"""all-MiniLM-L6-v2 once more, in plain NumPy: what llama.cpp's answers are compared with.

Post-norm transformer encoder (Devlin et al. 2018), mean pooling over the tokens, length 1.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

Array = Any  # NumPy's own array types say more than this needs


class ReferenceBert:
    """Embeds one sentence at a time, in double precision."""

    def __init__(self, folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        self._weights = {name: value.astype(np.float64) for name, value in weights.items()}
        self._config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def ids(self, text: str) -> list[int]:
        """Token ids with the special tokens around them."""
        return list(self._tokenizer.encode(text).ids)

    def embed(self, text: str) -> Array:
        """One vector of length 1."""
        ids = self.ids(text)
        weights = self._weights
        x = weights["embeddings.word_embeddings.weight"][ids]
        x = x + weights["embeddings.position_embeddings.weight"][: len(ids)]
        x = x + weights["embeddings.token_type_embeddings.weight"][0]
        x = self._norm(x, "embeddings.LayerNorm")
        for number in range(self._config["num_hidden_layers"]):
            x = self._block(x, f"encoder.layer.{number}.")
        pooled = x.mean(axis=0)
        return pooled / np.linalg.norm(pooled)

    def _block(self, x: Array, at: str) -> Array:
        heads = self._config["num_attention_heads"]
        split = (len(x), heads, x.shape[1] // heads)
        q, k, v = (
            self._linear(x, f"{at}attention.self.{name}").reshape(split).transpose(1, 0, 2)
            for name in ("query", "key", "value")
        )
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(split[2])
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = (scores / scores.sum(axis=-1, keepdims=True)) @ v
        attended = self._linear(
            mixed.transpose(1, 0, 2).reshape(x.shape), f"{at}attention.output.dense"
        )
        x = self._norm(x + attended, f"{at}attention.output.LayerNorm")
        hidden = _gelu(self._linear(x, f"{at}intermediate.dense"))
        return self._norm(x + self._linear(hidden, f"{at}output.dense"), f"{at}output.LayerNorm")

    def _linear(self, x: Array, name: str) -> Array:
        return x @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]

    def _norm(self, x: Array, name: str) -> Array:
        centered = x - x.mean(axis=-1, keepdims=True)
        scale = np.sqrt((centered**2).mean(axis=-1, keepdims=True) + self._config["layer_norm_eps"])
        return centered / scale * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]


def _gelu(x: Array) -> Array:
    return 0.5 * x * (1.0 + _erf(x / math.sqrt(2.0)))


def _erf(x: Array) -> Array:
    """The error function to 1.5e-7 (Abramowitz and Stegun, 7.1.26); NumPy has none."""
    t = 1.0 / (1.0 + 0.3275911 * np.abs(x))
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (
        -1.453152027 + t * 1.061405429))))  # fmt: skip
    return np.sign(x) * (1.0 - series * np.exp(-x * x))
