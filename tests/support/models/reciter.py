"""The reciter: a model for tests that says one known text, whatever it is asked.

    from tests.support.models.reciter import ANSWER, RECITER

    with load_model(RECITER) as model:
        assert "".join(token.text for token in model.chat("Hello")) == ANSWER

It is a GGUF file that the real engines load like any other, so a test knows every token that
comes through them.  Nothing is trained and nothing is downloaded: every weight is written by hand,
and the result is the same byte for byte each time.

The trick
=========
A language model maps the tokens so far to one score (a *logit*) per token of its vocabulary.
To recite one fixed text, a model only has to know "after piece *i* comes piece *i + 1*", which
depends on the last token alone.  So we take an ordinary one-block llama and remove everything
else:

1. The block adds its results to the residual stream.  With the attention output matrix and the
   feed-forward "down" matrix at zero it adds nothing, so the stream still holds the embedding.
2. Embeddings are one-hot.  Piece *i* owns dimension ``1 + i``; every other token (bytes of the
   user's text, roles, end markers) shares dimension 0, which means "start the text".
3. The final RMS norm scales a one-hot row of width *n* to length ``sqrt(n)``.
4. The output head is a lookup table: column = dimension of the last token, row = candidate next
   token, value = the wanted score divided by ``sqrt(n)``.

The wanted next token leads every other one by at least 40 (``NEXT`` minus the best ``FALLBACK``).
The softmax turns that into odds of exp(40) to 1, so sampling at a temperature of 0.8, or even 2,
still recites the text.

Three details make the model of use:

* The last piece prefers the end token, and after it a blank line.  A request with ``ignore_eos``
  therefore repeats the text, paragraph after paragraph, instead of falling into noise.
* All 256 bytes are tokens, so any input can be tokenized, whatever its language.  The pieces of
  the text are output only: no merge rule leads to them.
* When a grammar forbids the wanted token, the weak ``FALLBACK`` and ``QUOTE`` scores decide.  They
  close what is open, so JSON that a schema asks for comes to an end.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import gguf
    import numpy as np
    import numpy.typing as npt

    Matrix = npt.NDArray[np.float16]

# ---- the text -------------------------------------------------------------------------------

PIECES: Final[tuple[str, ...]] = (
    *("Hello!", " I", " am", " the", " small", " demo", " model", " bundled", " with"),
    *(" llama", "-rocm.", " Real", " llama.cpp", " code", " computed", " this", " answer"),
    *(" token", " by", " token,", " and", " it", " was", " streamed", " to", " you", " through"),
    *(" llama-rocm", " —", " but", " these", " few", " sentences", " are", " all", " that"),
    *(" I know.", " To", " talk", " to a", " real", " model,", " name", " any", " GGUF", " file"),
    *(" on", " your", " disk,", " e.g.", " model=", '"path/to/', "model", ".gguf", '".'),
)
"""The answer in pieces, one token each.  They are unique, so a piece tells its position.

The captures in ``tests/support/captures`` were recorded with this text.
"""

ANSWER: Final = "".join(PIECES)
"""What the reciter says before it ends its turn."""

# ---- the token ids --------------------------------------------------------------------------

BYTES: Final = 256
"""Ids 0 to 255 are the single bytes: the id is the value of the byte."""

BOS_ID: Final = 256
START_ID: Final = 257
END_ID: Final = 258
BLANK_LINE_ID: Final = 259
FIRST_PIECE_ID: Final = 260
"""``PIECES[i]`` has the id ``FIRST_PIECE_ID + i``."""

CONTROL: Final = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
BLANK_LINE: Final = "\n\n"

PIECE_IDS: Final = tuple(range(FIRST_PIECE_ID, FIRST_PIECE_ID + len(PIECES)))
VOCABULARY_SIZE: Final = FIRST_PIECE_ID + len(PIECES)

# ---- the shape ------------------------------------------------------------------------------

WIDTH: Final = 64
"""Width of the model and of its only attention head (a size every attention kernel supports)."""

CONTEXT: Final = 8192
NORM_EPSILON: Final = 1e-6

# ---- the scores -----------------------------------------------------------------------------

NEXT: Final = 64.0
"""Score of the next piece."""

END: Final = 2 * NEXT
"""Score of the end token after the last piece; the blank line follows with ``NEXT``."""

FALLBACK: Final = (
    {"}": 24.0, "]": 24.0, "{": 20.0, "[": 20.0}  # close and open objects and lists
    | {'"': 16.0, ":": 12.0, ",": 12.0}
    | {"0": 8.0, "t": 4.0}  # a number, "true"
)
"""Scores outside the text, for when a grammar rules out its first piece."""

QUOTE: Final = 24.0
"""Score of a quotation mark inside the text, for when a grammar rules out the next piece."""

CHAT_TEMPLATE: Final = """\
{%- if tools %}
    {{- '<|im_start|>system\\nTools you may call:\\n<tools>\\n' }}
    {%- for tool in tools %}
        {{- tool | tojson }}
        {{- '\\n' }}
    {%- endfor %}
    {{- '</tools>\\nCall a tool like this:\\n<tool_call>\\n' }}
    {{- '{"name": <name>, "arguments": <arguments>}\\n</tool_call><|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' }}
    {%- if message.content %}
        {{- message.content }}
    {%- endif %}
    {%- for call in message.tool_calls or [] %}
        {{- '\\n<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}
        {{- call.function.arguments | tojson }}
        {{- '}\\n</tool_call>' }}
    {%- endfor %}
    {{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif -%}
"""
"""ChatML with the tool calls of the Hermes family."""


def byte_alphabet() -> list[str]:
    """Return the printable stand-in of each byte, as defined by GPT-2.

    A vocabulary is stored as text, but a token may be any bytes.  GPT-2 writes a printable byte
    as itself and every other byte as a character from code point 256 upwards.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = (byte for byte in range(BYTES) if byte not in printable)
    code_points = {byte: byte for byte in printable}
    code_points |= {byte: BYTES + rank for rank, byte in enumerate(others)}
    return [chr(code_points[byte]) for byte in range(BYTES)]


def encode_piece(piece: str) -> str:
    """Return ``piece`` as the vocabulary stores it: its UTF-8 bytes in the byte alphabet."""
    alphabet = byte_alphabet()
    return "".join(alphabet[byte] for byte in piece.encode())


def vocabulary() -> list[str]:
    """Return the stored text of all tokens, in the order of their ids."""
    pieces = (encode_piece(piece) for piece in (BLANK_LINE, *PIECES))
    return [*byte_alphabet(), *CONTROL, *pieces]


def dimension(token: int) -> int:
    """Return the dimension that ``token`` switches on: 0 unless it is a piece of the text."""
    return token - FIRST_PIECE_ID + 1 if token >= FIRST_PIECE_ID else 0


def embedding() -> Matrix:
    """Return the embedding: one row per token, each with a single 1."""
    import numpy as np

    rows = np.zeros((VOCABULARY_SIZE, WIDTH), dtype=np.float16)
    for token in range(VOCABULARY_SIZE):
        rows[token, dimension(token)] = 1
    return rows


def output_head() -> Matrix:
    """Return the lookup table from the last token (column) to the next one (row)."""
    import numpy as np

    scores = np.zeros((VOCABULARY_SIZE, WIDTH), dtype=np.float64)
    scores[ord('"'), :] = QUOTE
    for character, score in FALLBACK.items():
        scores[ord(character), 0] = score
    for following in PIECE_IDS:
        scores[following, dimension(following) - 1] = NEXT
    last = dimension(PIECE_IDS[-1])
    scores[END_ID, last] = END
    scores[BLANK_LINE_ID, last] = NEXT
    weights: Matrix = (scores / np.sqrt(WIDTH)).astype(np.float16)
    return weights


def add_metadata(writer: gguf.GGUFWriter) -> None:
    """Write who made the model, its shape and its chat template."""
    import gguf

    writer.add_name("llama-rocm reciter")
    writer.add_author("The llama-rocm authors")
    writer.add_license("Apache-2.0")
    writer.add_description("Recites one fixed answer. Built by hand, not trained.")
    writer.add_size_label("70K")
    writer.add_languages(["en"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(WIDTH)
    writer.add_block_count(1)
    writer.add_head_count(1)
    writer.add_head_count_kv(1)
    writer.add_rope_dimension_count(WIDTH)
    writer.add_layer_norm_rms_eps(NORM_EPSILON)
    writer.add_vocab_size(VOCABULARY_SIZE)
    writer.add_chat_template(CHAT_TEMPLATE)


def add_tokenizer(writer: gguf.GGUFWriter) -> None:
    """Write the vocabulary.  llama.cpp wants at least one merge, so a blank line is one token."""
    import gguf

    newline = encode_piece("\n")
    types = [gguf.TokenType.NORMAL] * VOCABULARY_SIZE
    types[BOS_ID : END_ID + 1] = [gguf.TokenType.CONTROL] * len(CONTROL)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(vocabulary())
    writer.add_token_types(types)
    writer.add_token_merges([f"{newline} {newline}"])
    writer.add_bos_token_id(BOS_ID)
    writer.add_eos_token_id(END_ID)
    writer.add_eot_token_id(END_ID)
    writer.add_pad_token_id(BOS_ID)
    writer.add_add_bos_token(value=False)
    writer.add_add_eos_token(value=False)


def add_weights(
    writer: gguf.GGUFWriter, rows: Matrix | None = None, head: Matrix | None = None
) -> None:
    """Write the tensors: one block that does nothing between the embedding and the lookup table.

    Args:
        writer: of the file.
        rows: the embedding of another model of this shape.
        head: its lookup table.
    """
    import numpy as np

    ones = np.ones(WIDTH, dtype=np.float32)
    zeros = np.zeros((WIDTH, WIDTH), dtype=np.float16)
    writer.add_tensor("token_embd.weight", embedding() if rows is None else rows)
    for name in ("attn_norm", "ffn_norm"):
        writer.add_tensor(f"blk.0.{name}.weight", ones)
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        writer.add_tensor(f"blk.0.{name}.weight", zeros)
    writer.add_tensor("output_norm.weight", ones)
    writer.add_tensor("output.weight", output_head() if head is None else head)


def build(out: Path) -> None:
    """Write the model to ``out``."""
    import gguf

    writer = gguf.GGUFWriter(out, "llama")
    add_metadata(writer)
    add_tokenizer(writer)
    add_weights(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def cached() -> Path:
    """The model's file, written by the first test that asks for it.

    It takes 0.3 s to write, and ``gguf`` 2 s to import, so it is kept in the user's cache
    directory, for as long as this source stays the same.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llama-rocm"
    digest = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
    path = base / f"tests-{digest}" / "reciter.gguf"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}.tmp")
        build(unfinished)
        unfinished.replace(path)
    return path


RECITER: Final = str(cached())
"""The path of the file: the model of every test that knows what it will hear, or needs any."""
