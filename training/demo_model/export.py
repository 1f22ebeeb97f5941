"""Write a trained network as GGUF: matrices in Q8_0 (8 bits and a scale for 32 weights each)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt
from gguf.quants import quantize
from tokenizers import Tokenizer

from training.demo_model import tokenizer as tokens
from training.demo_model.chat_format import TEMPLATE
from training.demo_model.shape import Shape

NAME = "llama-rocm demo"

_TENSORS = {
    "embedding": "token_embd",
    "norm": "output_norm",
    "head": "output",
    "attention_norm": "attn_norm",
    "attention.q": "attn_q",
    "attention.k": "attn_k",
    "attention.v": "attn_v",
    "attention.o": "attn_output",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}


def tensor_name(parameter: str) -> str:
    """``blocks.3.attention.q.weight`` is called ``blk.3.attn_q.weight`` in a GGUF."""
    path = parameter.removesuffix(".weight")
    if not path.startswith("blocks."):
        return f"{_TENSORS[path]}.weight"
    _, number, inside = path.split(".", 2)
    inside = "ffn_norm" if inside == "norm" else _TENSORS[inside]
    return f"blk.{number}.{inside}.weight"


def export(
    shape: Shape, weights: Mapping[str, npt.NDArray[np.float32]], text: Tokenizer, out: Path
) -> None:
    """Write a network with its tokenizer and chat template to ``out``.

    Args:
        weights: by the names of ``Shape.parameters``.
        text: as many tokens as the shape has.
    """
    writer = gguf.GGUFWriter(out, "llama")
    _describe(writer)
    _add_shape(writer, shape)
    _add_tokenizer(writer, text)
    for name, values in weights.items():
        if values.ndim == 1:
            writer.add_tensor(tensor_name(name), values)
            continue
        kind = gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor(tensor_name(name), quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _describe(writer: gguf.GGUFWriter) -> None:
    writer.add_name(NAME)
    writer.add_author("The llama-rocm authors")
    writer.add_license("Apache-2.0")
    writer.add_description("A tiny chat model for first steps and tests, trained from scratch.")
    writer.add_size_label("3M")
    writer.add_languages(["en"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    # Unless a request says otherwise: the likeliest answer is the best.
    writer.add_sampling_temp(0.0)
    writer.add_chat_template(TEMPLATE.read_text(encoding="utf-8"))


def _add_shape(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_vocab_size(shape.vocabulary)


def _add_tokenizer(writer: gguf.GGUFWriter, text: Tokenizer) -> None:
    entries = tokens.tokens(text)
    kinds = dict.fromkeys(tokens.CONTROL, gguf.TokenType.CONTROL)
    kinds |= dict.fromkeys(tokens.VISIBLE, gguf.TokenType.USER_DEFINED)
    end = entries.index("<|im_end|>")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(tokens.PRE_TOKENIZER)
    writer.add_token_list(entries)
    writer.add_token_types([kinds.get(name, gguf.TokenType.NORMAL) for name in entries])
    writer.add_token_merges(tokens.merges(text))
    writer.add_bos_token_id(entries.index("<|endoftext|>"))
    writer.add_eos_token_id(end)
    writer.add_eot_token_id(end)
    writer.add_pad_token_id(entries.index("<|endoftext|>"))
    writer.add_add_bos_token(value=False)
    writer.add_add_eos_token(value=False)
