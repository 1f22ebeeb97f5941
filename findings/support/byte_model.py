"""Write a GGUF of one layer with random weights whose tokens are the 256 bytes: it writes anything.

    python byte_model.py FILE [llama | gpt2]

What a grammar allows, such a model says sooner or later; so it shows what a grammar really allows.
The bytes are byte tokens of a SentencePiece vocabulary (``llama``, the default), or the ordinary
tokens of a byte-level BPE one (``gpt2``): chats with a schema need the latter, since SentencePiece
puts a space before the marks of a chat template. The token of byte B has the id B + 3.
"""

import sys
from collections.abc import Callable, Mapping

import gguf
import numpy as np

WIDTH, HEADS, FEED_FORWARD, CONTEXT = 32, 2, 64, 1024
UNKNOWN, NORMAL, CONTROL, BYTE = 2, 1, 3, 6
NO_TOKENS: Mapping[str, int] = {}


def letters() -> list[str]:
    """Return the letters that GPT-2's vocabulary has for the 256 bytes."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return [chr(byte if byte in shown else 256 + hidden.index(byte)) for byte in range(256)]


def write(
    file: str,
    kind: str = "llama",
    name: str = "",
    more: Mapping[str, int] = NO_TOKENS,
    keys: Callable[[gguf.GGUFWriter], None] | None = None,
) -> None:
    """Write the model.

    Args:
        file: where to.
        kind: the vocabulary, ``llama`` or ``gpt2``.
        name: ``general.name`` of the header.
        more: tokens behind the bytes (ids from 259), with the type that the file gives them.
        keys: writes more keys.
    """
    pieces = letters() if kind == "gpt2" else [f"<0x{byte:02X}>" for byte in range(256)]
    ends = ["<unk>", "<|begin|>", "<|end|>"] if "</s>" in more else ["<unk>", "<s>", "</s>"]
    tokens = [*ends, *pieces, *more]
    types = [UNKNOWN, CONTROL, CONTROL, *[NORMAL if kind == "gpt2" else BYTE] * 256, *more.values()]
    writer = gguf.GGUFWriter(file, "llama")
    if name:
        writer.add_name(name)
    writer.add_block_count(1)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model(kind)
    writer.add_token_list(tokens)
    if kind == "gpt2":
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_merges(["t h"])
    else:
        writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types(types)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    if keys is not None:
        keys(writer)
    add_tensors(writer, len(tokens))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_tensors(writer: gguf.GGUFWriter, tokens: int) -> None:
    """Add random weights for a vocabulary of ``tokens``."""
    shapes = {"token_embd": (tokens, WIDTH), "output": (tokens, WIDTH)}
    shapes |= {f"blk.0.attn_{part}": (WIDTH, WIDTH) for part in ("q", "k", "v", "output")}
    shapes |= {f"blk.0.ffn_{part}": (FEED_FORWARD, WIDTH) for part in ("gate", "up")}
    shapes["blk.0.ffn_down"] = (WIDTH, FEED_FORWARD)
    rng = np.random.default_rng(1)
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", (rng.normal(size=shape) * 0.05).astype(np.float32))
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, dtype=np.float32))


if __name__ == "__main__":
    write(*sys.argv[1:3])
