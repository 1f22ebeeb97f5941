"""The reciter is what its module says: the same file each time, one text, and room for JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from tests.support.models import reciter


def test_the_cached_file_is_what_the_builder_writes(tmp_path: Path) -> None:
    built = tmp_path / "reciter.gguf"

    reciter.build(built)

    assert built.read_bytes() == Path(reciter.RECITER).read_bytes()


def test_pieces_are_unique_and_differ_from_bytes() -> None:
    assert len(set(reciter.PIECES)) == len(reciter.PIECES)
    assert all(len(piece.encode()) > 1 for piece in reciter.PIECES)


def test_text_has_one_character_outside_ascii() -> None:
    assert sum(not character.isascii() for character in reciter.ANSWER) == 1


def test_pieces_fit_the_width() -> None:
    assert len(reciter.PIECES) < reciter.WIDTH


@pytest.mark.parametrize("piece", [" token", " —", "\n\n", "é", "你"])
def test_stored_piece_decodes_to_its_bytes(piece: str) -> None:
    alphabet = reciter.byte_alphabet()

    stored = reciter.encode_piece(piece)

    assert bytes(alphabet.index(character) for character in stored) == piece.encode()


def test_vocabulary_is_unique_and_ids_point_at_their_tokens() -> None:
    tokens = reciter.vocabulary()

    assert len(set(tokens)) == len(tokens) == reciter.VOCABULARY_SIZE
    assert tokens[reciter.END_ID] == "<|im_end|>"
    assert tokens[reciter.BLANK_LINE_ID] == reciter.encode_piece("\n\n")
    for token, piece in zip(reciter.PIECE_IDS, reciter.PIECES, strict=True):
        assert tokens[token] == reciter.encode_piece(piece)


def test_header_describes_the_model() -> None:
    reader = gguf.GGUFReader(reciter.RECITER)

    def field(name: str) -> Any:
        found = reader.get_field(name)
        assert found is not None
        return found.contents()

    assert field("general.architecture") == "llama"
    assert field("general.name") == "llama-rocm reciter"
    assert field("llama.context_length") == reciter.CONTEXT
    assert field("tokenizer.chat_template") == reciter.CHAT_TEMPLATE
    assert field("tokenizer.ggml.tokens") == reciter.vocabulary()
    assert field("tokenizer.ggml.eos_token_id") == reciter.END_ID
    assert field("tokenizer.ggml.add_bos_token") is False


def test_weights_recite_the_text() -> None:
    """Follow the weights by hand, as the engine would: embed, normalize, look up."""
    rows = reciter.embedding().astype(np.float64)
    head = reciter.output_head().astype(np.float64)
    hidden = rows / np.sqrt((rows**2).mean(axis=1, keepdims=True) + reciter.NORM_EPSILON)
    logits = hidden @ head.T
    best = logits.argsort(axis=1)[:, ::-1]
    lead = np.take_along_axis(logits, best[:, :2], axis=1)
    first, last = reciter.PIECE_IDS[0], reciter.PIECE_IDS[-1]

    assert (best[:first, 0] == first).all()
    assert best[first:last, 0].tolist() == list(reciter.PIECE_IDS[1:])
    assert best[last, :2].tolist() == [reciter.END_ID, reciter.BLANK_LINE_ID]
    assert (lead[:, 0] - lead[:, 1] > 30).all()
    assert logits[last, best[last, 1]] - logits[last, best[last, 2]] > 30
