"""Write a GGUF of one layer with random weights whose tokens are the 256 bytes: it writes anything.

    python byte_model.py FILE

What a grammar allows, such a model says sooner or later; so it shows what a grammar really allows.
"""

import sys

import gguf
import numpy as np

WIDTH, HEADS, FEED_FORWARD, CONTEXT = 32, 2, 64, 1024
TOKENS = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
KINDS = [2, 3, 3, *[6] * 256]  # unknown, control, control, byte
rng = np.random.default_rng(1)

writer = gguf.GGUFWriter(sys.argv[1], "llama")
writer.add_block_count(1)
writer.add_context_length(CONTEXT)
writer.add_embedding_length(WIDTH)
writer.add_feed_forward_length(FEED_FORWARD)
writer.add_head_count(HEADS)
writer.add_head_count_kv(HEADS)
writer.add_layer_norm_rms_eps(1e-5)
writer.add_rope_dimension_count(WIDTH // HEADS)
writer.add_vocab_size(len(TOKENS))
writer.add_tokenizer_model("llama")
writer.add_token_list(TOKENS)
writer.add_token_scores([0.0] * len(TOKENS))
writer.add_token_types(KINDS)
writer.add_bos_token_id(1)
writer.add_eos_token_id(2)
writer.add_unk_token_id(0)
shapes = {"token_embd": (len(TOKENS), WIDTH), "output": (len(TOKENS), WIDTH)}
shapes |= {f"blk.0.attn_{part}": (WIDTH, WIDTH) for part in ("q", "k", "v", "output")}
shapes |= {f"blk.0.ffn_{part}": (FEED_FORWARD, WIDTH) for part in ("gate", "up")}
shapes["blk.0.ffn_down"] = (WIDTH, FEED_FORWARD)
for name, shape in shapes.items():
    writer.add_tensor(f"{name}.weight", (rng.normal(size=shape) * 0.05).astype(np.float32))
for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
    writer.add_tensor(f"{name}.weight", np.ones(WIDTH, dtype=np.float32))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
