"""The smallest vision encoder that llama.cpp accepts, so that tests can send images for real.

It is a LLaVA-style ``mmproj``: pictures of 28 x 28 pixels, cut into 4 patches, one layer, random
weights, and a projector to the width of the text model.  It sees nothing; but the server decodes
the picture, encodes it and puts 4 vectors into the prompt, as with any model that can see.
Keys and tensor names: llama.cpp ``tools/mtmd/clip-impl.h`` and ``clip.cpp``.
"""

from __future__ import annotations

import base64
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

PATCHES = 4
"""Vectors that one picture puts into the prompt."""

ONE_PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
"""A PNG."""

_IMAGE, _PATCH, _WIDTH, _HIDDEN = 28, 14, 32, 64
_LAYERS = 2  # the features that LLaVA uses are those before the last layer


def build(target: Path, text_width: int, seed: int = 1) -> None:
    """Write an ``mmproj`` for a text model of the given embedding length to ``target``."""
    writer = gguf.GGUFWriter(target, "clip")
    _describe(writer, text_width)
    generator = np.random.default_rng(seed)

    def matrix(*shape: int) -> npt.NDArray[np.float32]:
        return generator.normal(0, shape[-1] ** -0.5, shape).astype(np.float32)

    writer.add_tensor("v.patch_embd.weight", matrix(_WIDTH, 3, _PATCH, _PATCH))
    writer.add_tensor("v.position_embd.weight", matrix(PATCHES, _WIDTH))
    for layer in range(_LAYERS):
        _add_layer(writer, f"v.blk.{layer}", matrix)
    for number, shape in ((0, (text_width, _WIDTH)), (2, (text_width, text_width))):
        writer.add_tensor(f"mm.{number}.weight", matrix(*shape))
        writer.add_tensor(f"mm.{number}.bias", np.zeros(text_width, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _describe(writer: gguf.GGUFWriter, text_width: int) -> None:
    writer.add_name("a tiny vision encoder with random weights")
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_string("clip.projector_type", "mlp")
    for key, value in (
        ("image_size", _IMAGE),
        ("patch_size", _PATCH),
        ("embedding_length", _WIDTH),
        ("feed_forward_length", _HIDDEN),
        ("block_count", _LAYERS),
        ("attention.head_count", 1),
        ("projection_dim", text_width),
    ):
        writer.add_uint32(f"clip.vision.{key}", value)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-5)
    writer.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
    writer.add_array("clip.vision.image_std", [0.5, 0.5, 0.5])
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)


def _add_layer(writer: gguf.GGUFWriter, name: str, matrix: object) -> None:
    assert callable(matrix)
    for part in ("attn_q", "attn_k", "attn_v", "attn_out"):
        writer.add_tensor(f"{name}.{part}.weight", matrix(_WIDTH, _WIDTH))
        writer.add_tensor(f"{name}.{part}.bias", np.zeros(_WIDTH, np.float32))
    for part in ("ln1", "ln2"):
        writer.add_tensor(f"{name}.{part}.weight", np.ones(_WIDTH, np.float32))
        writer.add_tensor(f"{name}.{part}.bias", np.zeros(_WIDTH, np.float32))
    for part, shape in (("ffn_up", (_HIDDEN, _WIDTH)), ("ffn_down", (_WIDTH, _HIDDEN))):
        writer.add_tensor(f"{name}.{part}.weight", matrix(*shape))
        writer.add_tensor(f"{name}.{part}.bias", np.zeros(shape[0], np.float32))
