"""Vocabularies of every kind of tokenizer, and models that a real engine serves with them.

small(kind, folder)          one built here, of a few thousand tokens
published()                  those that llama.cpp publishes, if ``LLAMA_ROCM_VOCABULARIES`` names
                             a folder with ``ggml-vocab-*.gguf``
servable(vocabulary, path)   a model of zeros with this vocabulary
"""

from __future__ import annotations

import os
import re
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import gguf

SPACE = "▁"
_CHAT = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
_OF_BYTES = ("gpt-2", "llama-bpe", "qwen2", "qwen35", "deepseek-llm", "deepseek-v3", "falcon")
_OTHERS = ("command-r", "tekken", "gpt-4o", "viking", "")
KINDS = (
    *(f"gpt2/{pre}" for pre in (*_OF_BYTES, *_OTHERS)),
    *("llama", "llama/phi-3", "llama/shared scores", "bert", "t5", "gemma4"),
)
_TOKENS = 1200
_WIDTH = 32
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


def published() -> list[Path]:
    """Return the published vocabularies, or none."""
    folder = os.environ.get("LLAMA_ROCM_VOCABULARIES")
    return sorted(Path(folder).glob("ggml-vocab-*.gguf")) if folder else []


def small(kind: str, folder: Path) -> Path:
    """Write a small vocabulary of a kind, without weights."""
    model, _, variant = kind.partition("/")
    path = folder / f"{re.sub('[^a-z0-9-]', '_', kind)}.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("Phi-3" if variant == "phi-3" else "small")
    writer.add_tokenizer_model(model)
    if model == "gpt2":
        _byte_pairs(writer, variant)
    elif model == "gemma4":
        _gemma(writer)
    else:
        _scored(writer, model, variant)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


# Words of several scripts, each of whose beginnings is a token.
_TEXT = (
    "the quick brown fox jumps over lazy dogs while they're reading somebody's unbelievable "
    "stories about international tokenization naïve café Straße HTTPServer camelCase don't WE'LL "
    "I'm you've привет мир ελληνικά 日本の町 人工知能 한국어 ภาษา नमस्ते the of and to in is that "
    "for 2024 100 3.14 hello world function return import class self none true false x1 != == <= "
    "// ** ... -- ;;"
)
_WORDS = _TEXT.split()


def _beginnings(words: Sequence[str]) -> list[str]:
    """Return every beginning of the words from two symbols on, the shortest first."""
    found = Counter(word[:end] for word in words for end in range(2, len(word) + 1))
    return sorted(found, key=lambda text: (len(text), -found[text], text))[:_TOKENS]


def _byte_pairs(writer: gguf.GGUFWriter, pre: str) -> None:
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(256, 512))
    alphabet = [chr(byte if byte in shown else next(others)) for byte in range(256)]
    written = [f" {word}" for word in _WORDS] + list(_WORDS)
    words = ["".join(alphabet[byte] for byte in word.encode()) for word in written]
    longer = _beginnings(words)
    writer.add_token_list([*alphabet, *longer, *_CHAT])
    kinds = gguf.TokenType
    ordinary = len(alphabet) + len(longer)
    writer.add_token_types([kinds.NORMAL] * ordinary + [kinds.CONTROL] * len(_CHAT))
    writer.add_token_merges([f"{text[:-1]} {text[-1]}" for text in longer])
    if pre:
        writer.add_tokenizer_pre(pre)
    writer.add_bos_token_id(ordinary)
    writer.add_eos_token_id(ordinary + 1)


def _gemma(writer: gguf.GGUFWriter) -> None:
    words = [*_WORDS, *(SPACE + word for word in _WORDS), "\n\n\n", f">{SPACE}</"]
    longer = _beginnings(words)
    letters = sorted({letter for text in longer for letter in text})
    kinds = gguf.TokenType
    first = ["<pad>", "<eos>", "<bos>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    types = [kinds.CONTROL] * 3 + [kinds.UNKNOWN] + [kinds.BYTE] * 256
    tokens = [*first, *letters, *longer]
    writer.add_token_list(tokens)
    writer.add_token_types(types + [kinds.NORMAL] * (len(tokens) - len(types)))
    writer.add_token_merges([f"{text[:-1]} {text[-1]}" for text in longer])
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(1)
    writer.add_unk_token_id(3)


def _scored(writer: gguf.GGUFWriter, model: str, variant: str) -> None:
    kinds = gguf.TokenType
    words = [*_WORDS, *(SPACE + word for word in _WORDS)]
    if model == "bert":
        first = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        words = [word.lower() for word in words]
    else:
        first = ["<unk>", "<s>", "</s>", "<|end|>", "<mask>", "<|endoftext|>"]
    longer = _beginnings(words)
    letters = sorted({letter for text in longer for letter in text} | {SPACE})
    types = [kinds.UNKNOWN] + [kinds.CONTROL] * (len(first) - 1)
    if model == "bert":
        types[:2] = [kinds.CONTROL, kinds.UNKNOWN]
    if model == "llama":
        first += [f"<0x{byte:02X}>" for byte in range(256)]
        types += [kinds.BYTE] * 256
    tokens = [*first, *letters, *longer]
    writer.add_token_list(tokens)
    writer.add_token_types(types + [kinds.NORMAL] * (len(tokens) - len(types)))
    step = 7 if variant == "shared scores" else 1
    writer.add_token_scores([-float(number // step) / 64 for number in range(len(tokens))])
    ids = {"bert": (2, 3, 1), "t5": (1, 2, 0)}.get(model, (1, 2, 0))
    writer.add_bos_token_id(ids[0])
    writer.add_eos_token_id(ids[1])
    writer.add_unk_token_id(ids[2])
    writer.add_sep_token_id(ids[1])
    if model == "t5":
        writer.add_bool("tokenizer.ggml.remove_extra_whitespaces", True)
        writer.add_bool("tokenizer.ggml.add_space_prefix", True)


# -- a model with a vocabulary --------------------------------------------------------------------


def servable(vocabulary: Path, path: Path) -> Path:
    """Write a model that has the tokenizer and the name of a GGUF, and zeros for weights."""
    data = vocabulary.read_bytes()
    pairs = {key: data[start:end] for key, start, end in _pairs(data)}
    kept = [raw for key, raw in pairs.items() if key.startswith("tokenizer.")]
    kept += [pairs["general.name"]] if "general.name" in pairs else []
    tokens = _count(pairs["tokenizer.ggml.tokens"])
    numbers = {"context_length": 512, "embedding_length": _WIDTH, "block_count": 1}
    numbers |= {"feed_forward_length": _WIDTH, "attention.head_count": 1}
    numbers |= {"rope.dimension_count": _WIDTH}
    made = [_text("general.architecture") + struct.pack("<I", 8) + _text("llama")]
    made += [_text(f"llama.{key}") + struct.pack("<II", 4, n) for key, n in numbers.items()]
    epsilon = "llama.attention.layer_norm_rms_epsilon"
    made.append(_text(epsilon) + struct.pack("<If", 6, 1e-6))
    shapes = dict(_tensors(tokens))
    listed, place = b"", 0
    for name, shape in shapes.items():
        kind = int(len(shape) == 2)  # matrices are F16, vectors F32
        dimensions = struct.pack(f"<{len(shape)}Q", *shape)
        listed += _text(name) + struct.pack("<I", len(shape)) + dimensions
        listed += struct.pack("<IQ", kind, place)
        size = (2 if kind else 4) * shape[0] * (shape[1] if kind else 1)
        place += -(-size // 32) * 32
    head = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(made) + len(kept))
    head += b"".join(made) + b"".join(kept) + listed
    head += b"\0" * (-len(head) % 32)
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + place)
    return path


def _tensors(tokens: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "token_embd.weight", (_WIDTH, tokens)
    yield "output_norm.weight", (_WIDTH,)
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        yield f"blk.0.{name}.weight", (_WIDTH, _WIDTH)
    for name in ("attn_norm", "ffn_norm"):
        yield f"blk.0.{name}.weight", (_WIDTH,)


def _pairs(data: bytes) -> Iterator[tuple[str, int, int]]:
    """Yield each key with the place of its bytes, key and value."""
    at = 24
    for _ in range(struct.unpack_from("<Q", data, 16)[0]):
        start = at
        key, at = _string(data, at)
        at = _after(data, at + 4, int(struct.unpack_from("<I", data, at)[0]))
        yield key, start, at


def _after(data: bytes, at: int, kind: int) -> int:
    if kind == 8:
        return _string(data, at)[1]
    if kind != 9:
        return at + _SIZES[kind]
    item, count = map(int, struct.unpack_from("<IQ", data, at))
    at += 12
    if item in _SIZES:
        return at + count * _SIZES[item]
    for _ in range(count):
        at = _after(data, at, item)
    return at


def _string(data: bytes, at: int) -> tuple[str, int]:
    end = at + 8 + int(struct.unpack_from("<Q", data, at)[0])
    return data[at + 8 : end].decode("utf-8", "replace"), end


def _count(pair: bytes) -> int:
    _, at = _string(pair, 0)
    return int(struct.unpack_from("<IIQ", pair, at)[2])


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()
