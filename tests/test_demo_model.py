"""The bundled demo model: it is what its builder writes, and its header says what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models import build_demo
from rocm_core.demo import demo_model_path

MEGABYTE = 1024 * 1024


def test_bundled_file_is_small() -> None:
    assert 0 < demo_model_path().stat().st_size < MEGABYTE


def test_bundled_file_is_what_the_builder_writes(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    built = tmp_path / "demo.gguf"

    build_demo.build(built)

    assert built.read_bytes() == demo_model_path().read_bytes()


def test_pieces_are_unique_and_differ_from_bytes() -> None:
    assert len(set(build_demo.PIECES)) == len(build_demo.PIECES)
    assert all(len(piece.encode()) > 1 for piece in build_demo.PIECES)


def test_text_has_one_character_outside_ascii() -> None:
    assert sum(not character.isascii() for character in build_demo.ANSWER) == 1


def test_pieces_fit_the_width() -> None:
    assert len(build_demo.PIECES) < build_demo.WIDTH


@pytest.mark.parametrize("piece", [" token", " —", "\n\n", "é", "你"])
def test_stored_piece_decodes_to_its_bytes(piece: str) -> None:
    alphabet = build_demo.byte_alphabet()

    stored = build_demo.encode_piece(piece)

    assert bytes(alphabet.index(character) for character in stored) == piece.encode()


def test_vocabulary_is_unique_and_ids_point_at_their_tokens() -> None:
    tokens = build_demo.vocabulary()

    assert len(set(tokens)) == len(tokens) == build_demo.VOCABULARY_SIZE
    assert tokens[build_demo.END_ID] == "<|im_end|>"
    assert tokens[build_demo.BLANK_LINE_ID] == build_demo.encode_piece("\n\n")
    for token, piece in zip(build_demo.PIECE_IDS, build_demo.PIECES, strict=True):
        assert tokens[token] == build_demo.encode_piece(piece)


def test_header_describes_the_model() -> None:
    gguf = pytest.importorskip("gguf")
    reader = gguf.GGUFReader(demo_model_path())

    def field(name: str) -> Any:
        return reader.get_field(name).contents()

    assert field("general.architecture") == "llama"
    assert field("general.name") == "llama-rocm demo"
    assert field("general.license") == "Apache-2.0"
    assert field("llama.context_length") == build_demo.CONTEXT
    assert field("tokenizer.chat_template") == build_demo.CHAT_TEMPLATE
    assert field("tokenizer.ggml.tokens") == build_demo.vocabulary()
    assert field("tokenizer.ggml.eos_token_id") == build_demo.END_ID
    assert field("tokenizer.ggml.add_bos_token") is False


def test_weights_recite_the_text() -> None:
    """Follow the weights by hand, as the engine would: embed, normalize, look up."""
    np = pytest.importorskip("numpy")
    pytest.importorskip("gguf")
    rows = build_demo.embedding().astype(np.float64)
    head = build_demo.output_head().astype(np.float64)
    hidden = rows / np.sqrt((rows**2).mean(axis=1, keepdims=True) + build_demo.NORM_EPSILON)
    logits = hidden @ head.T
    best = logits.argsort(axis=1)[:, ::-1]
    lead = np.take_along_axis(logits, best[:, :2], axis=1)
    first, last = build_demo.PIECE_IDS[0], build_demo.PIECE_IDS[-1]

    assert (best[:first, 0] == first).all()
    assert best[first:last, 0].tolist() == list(build_demo.PIECE_IDS[1:])
    assert best[last, :2].tolist() == [build_demo.END_ID, build_demo.BLANK_LINE_ID]
    assert (lead[:, 0] - lead[:, 1] > 30).all()
    assert logits[last, best[last, 1]] - logits[last, best[last, 2]] > 30
