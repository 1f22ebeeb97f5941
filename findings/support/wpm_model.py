"""Write an embedding model of one layer with random weights and a BERT vocabulary (WPM).

    python wpm_model.py FILE

VOCABULARY has what BERT's multilingual vocabularies have of such scripts: single letters, Korean
ones too, and each of them again as a piece in the middle of a word ("##").
"""

import sys
import unicodedata

import gguf
import numpy as np

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ("한국", "학교", "दिन", "दान", "कुल", "काल")
LETTERS = sorted({letter for word in WORDS for letter in unicodedata.normalize("NFD", word)})
VOCABULARY = [*SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
WIDTH, HEADS, FEED_FORWARD, CONTEXT = 32, 2, 64, 1024


def piece(token: str) -> str:
    """Return a token as llama.cpp marks it: where words begin, not where they go on."""
    if token in SPECIAL:
        return token
    return token[2:] if token.startswith("##") else "\u2581" + token


def write(file: str) -> None:
    """Write the model."""
    writer = gguf.GGUFWriter(file, "bert")
    writer.add_block_count(1)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_tokenizer_model("bert")
    writer.add_token_list([piece(token) for token in VOCABULARY])
    writer.add_token_types([3 if token in SPECIAL else 1 for token in VOCABULARY])
    writer.add_token_type_count(2)
    writer.add_pad_token_id(0)
    writer.add_unk_token_id(1)
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(3)
    writer.add_sep_token_id(3)
    writer.add_mask_token_id(4)
    tables = {"token_embd": len(VOCABULARY), "position_embd": CONTEXT, "token_types": 2}
    shapes: dict[str, tuple[int, ...]] = {
        f"{name}.weight": (rows, WIDTH) for name, rows in tables.items()
    }
    for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
        shapes |= {f"blk.0.{part}.weight": (WIDTH, WIDTH), f"blk.0.{part}.bias": (WIDTH,)}
    shapes |= {"blk.0.ffn_up.weight": (FEED_FORWARD, WIDTH), "blk.0.ffn_up.bias": (FEED_FORWARD,)}
    shapes |= {"blk.0.ffn_down.weight": (WIDTH, FEED_FORWARD), "blk.0.ffn_down.bias": (WIDTH,)}
    rng = np.random.default_rng(1)
    for name, shape in shapes.items():
        writer.add_tensor(name, rng.normal(size=shape).astype(np.float32))
    for name in ("token_embd_norm", "blk.0.attn_output_norm", "blk.0.layer_output_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, dtype=np.float32))
        writer.add_tensor(f"{name}.bias", np.zeros(WIDTH, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    write(sys.argv[1])
