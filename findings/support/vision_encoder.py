"""Write the smallest vision encoder that llama.cpp loads beside the byte model; random weights.

    python vision_encoder.py FILE

LLaVA's kind: pictures of 28 x 28 pixels become 4 vectors as wide as the byte model's.
"""

import sys

import gguf
import numpy as np
from byte_model import WIDTH as TEXT_WIDTH

IMAGE, PATCH, WIDTH, HIDDEN, LAYERS = 28, 14, 32, 64, 2
NUMBERS = {
    "image_size": IMAGE,
    "patch_size": PATCH,
    "embedding_length": WIDTH,
    "feed_forward_length": HIDDEN,
    "block_count": LAYERS,
    "attention.head_count": 1,
    "projection_dim": TEXT_WIDTH,
}


def write(file: str) -> None:
    """Write it."""
    writer = gguf.GGUFWriter(file, "clip")
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_string("clip.projector_type", "mlp")
    for key, value in NUMBERS.items():
        writer.add_uint32(f"clip.vision.{key}", value)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-5)
    writer.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
    writer.add_array("clip.vision.image_std", [0.5, 0.5, 0.5])
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    add_tensors(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_tensors(writer: gguf.GGUFWriter) -> None:
    """Add random weights, and zeros as biases."""
    patches = (IMAGE // PATCH) ** 2
    shapes = {"v.patch_embd": (WIDTH, 3, PATCH, PATCH), "v.position_embd": (patches, WIDTH)}
    shapes |= {"mm.0": (TEXT_WIDTH, WIDTH), "mm.2": (TEXT_WIDTH, TEXT_WIDTH)}
    for layer in range(LAYERS):
        at = f"v.blk.{layer}"
        shapes |= {f"{at}.attn_{part}": (WIDTH, WIDTH) for part in ("q", "k", "v", "out")}
        shapes |= {f"{at}.ffn_up": (HIDDEN, WIDTH), f"{at}.ffn_down": (WIDTH, HIDDEN)}
        for part in ("ln1", "ln2"):
            writer.add_tensor(f"{at}.{part}.weight", np.ones(WIDTH, np.float32))
            writer.add_tensor(f"{at}.{part}.bias", np.zeros(WIDTH, np.float32))
    rng = np.random.default_rng(1)
    for name, shape in shapes.items():
        weights = rng.normal(0, shape[-1] ** -0.5, shape).astype(np.float32)
        writer.add_tensor(f"{name}.weight", weights)
        if "embd" not in name:
            writer.add_tensor(f"{name}.bias", np.zeros(shape[0], np.float32))


if __name__ == "__main__":
    write(sys.argv[1])
