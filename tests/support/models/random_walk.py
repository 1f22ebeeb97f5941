"""A model that writes at random whatever a grammar allows: what it never writes is not allowed.

    from tests.support.models.random_walk import RANDOM_WALK

    chat = ChatRocm(model=RANDOM_WALK, **WALK, seed=1)

Its tokens are the bytes, and some characters beyond ASCII. It prefers what closes: quotes and
brackets, so that answers come to an end; all others have much the same odds, which the last token
changes a little. It writes no single byte beyond ASCII: a grammar of llama.cpp lets bytes pass that
are no UTF-8, and the server then answers with status 500.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.support.models.reciter import (
    BYTES,
    CHAT_TEMPLATE,
    CONTROL,
    END_ID,
    byte_alphabet,
    encode_piece,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

WIDTH: Final = 64
CONTEXT: Final = 8192
LETTERS: Final = ("é", "ß", "Ж", "א", "中", "한", "€", "\u00a0", "\u2028", "\U0001f999")
VOCABULARY: Final = BYTES + len(CONTROL) + 1 + len(LETTERS)

WALK: Final[dict[str, Any]] = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
"""The options of sampling with which every allowed byte has a chance."""

# Logarithms of odds, against 0 for a printable character.
_ODDS: Final = (
    {'"': 4.0, "}": 3.0, "]": 3.0, ",": 2.0, ":": 1.0, "{": 1.0, "[": 1.0}
    | {" ": -1.0, "\n": -4.0, "\t": -4.0, "\\": -1.0, "e": -0.5, "E": -0.5, "-": -0.5, ".": 0.0}
    | dict.fromkeys("0123456789", 0.5)
)
_CONTROL: Final = -3.0
_LETTER: Final = 0.0
_NEVER: Final = -25.0
_END: Final = 4.0


def _odds() -> npt.NDArray[np.float64]:
    import numpy as np

    odds = np.full(VOCABULARY, _NEVER)
    odds[:0x80] = _CONTROL
    odds[0x20:0x7F] = 0.0
    odds[-len(LETTERS) :] = _LETTER
    for character, value in _ODDS.items():
        odds[ord(character)] = value
    odds[END_ID] = _END
    return odds


def build(out: Path) -> None:
    """Write the model to ``out``: a block that does nothing between an embedding and a table."""
    import gguf
    import numpy as np

    rng = np.random.default_rng(1)
    writer = gguf.GGUFWriter(out, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(WIDTH)
    writer.add_block_count(1)
    writer.add_head_count(1)
    writer.add_head_count_kv(1)
    writer.add_rope_dimension_count(WIDTH)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_vocab_size(VOCABULARY)
    writer.add_chat_template(CHAT_TEMPLATE)
    _add_tokenizer(writer)
    # Dimension 0 is as large as all others together: it has the odds, the others change them.
    embedding = rng.normal(size=(VOCABULARY, WIDTH)) / np.sqrt(WIDTH)
    embedding[:, 0] = 1.0
    head = rng.normal(size=(VOCABULARY, WIDTH)) * 0.1
    head[:, 0] = _odds() / np.sqrt(WIDTH / 2)
    zeros = np.zeros((WIDTH, WIDTH), dtype=np.float16)
    writer.add_tensor("token_embd.weight", embedding.astype(np.float16))
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        writer.add_tensor(f"blk.0.{name}.weight", zeros)
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, dtype=np.float32))
    writer.add_tensor("output.weight", head.astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: Any) -> None:
    import gguf

    alphabet = byte_alphabet()
    newline = alphabet[ord("\n")]
    types = [gguf.TokenType.NORMAL] * VOCABULARY
    types[BYTES : BYTES + len(CONTROL)] = [gguf.TokenType.CONTROL] * len(CONTROL)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    letters = [encode_piece(letter) for letter in LETTERS]
    writer.add_token_list([*alphabet, *CONTROL, newline * 2, *letters])
    writer.add_token_types(types)
    writer.add_token_merges([f"{newline} {newline}"])
    writer.add_bos_token_id(BYTES)
    writer.add_eos_token_id(END_ID)
    writer.add_eot_token_id(END_ID)
    writer.add_pad_token_id(BYTES)
    writer.add_add_bos_token(value=False)
    writer.add_add_eos_token(value=False)


def cached() -> Path:
    """The model's file, written by the first test that asks for it, as the reciter is."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llama-rocm"
    digest = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
    path = base / f"tests-{digest}" / "random_walk.gguf"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}.tmp")
        build(unfinished)
        unfinished.replace(path)
    return path


RANDOM_WALK: Final = str(cached())
"""The path of the file."""
