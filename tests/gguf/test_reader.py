"""Reading the header of a GGUF file: real, by hand, and of what is no GGUF."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from rocm_core.errors import InvalidGGUF, ModelNotFound
from rocm_core.gguf import check_gguf, read_gguf
from tests.support.models.gguf_writer import BIG, LITTLE, STRING, Writer
from tests.support.models.reciter import CHAT_TEMPLATE, CONTEXT, END_ID, RECITER

Check = Callable[[Path], object]


# -- healthy files --------------------------------------------------------------------------


def test_a_whole_model() -> None:
    info = read_gguf(RECITER)

    assert info.path == Path(RECITER)
    assert info.version == 3
    assert info.architecture == "llama"
    assert info.name == "llama-rocm reciter"
    assert info.context_length == CONTEXT
    assert info.chat_template == CHAT_TEMPLATE
    assert info.metadata["tokenizer.ggml.eos_token_id"] == END_ID
    assert "tokenizer.ggml.tokens" not in info.metadata


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("writer", [LITTLE, BIG], ids=["little-endian", "big-endian"])
def test_header_written_by_hand(written: Path, writer: Writer, version: int) -> None:
    written.write_bytes(writer.model(version))

    info = read_gguf(written)

    assert (info.version, info.architecture, info.name) == (version, "llama", "Zürich")
    assert (info.context_length, info.chat_template) == (8192, "{{ messages }}")
    assert info.metadata["big"] == 1 << 63
    assert info.metadata["small"] == -3
    assert info.metadata["half"] == 0.5
    assert info.metadata["yes"] is True
    assert not any(key.startswith("tokenizer.ggml") for key in info.metadata)


def test_magic_of_the_other_byte_order_is_taken(written: Path) -> None:
    written.write_bytes(b"FUGG" + BIG.model()[4:])

    assert read_gguf(written).architecture == "llama"


def test_facts_that_the_header_does_not_give_are_none(written: Path) -> None:
    written.write_bytes(LITTLE.file())

    info = read_gguf(written)

    assert (info.architecture, info.name, info.context_length) == (None, None, None)
    assert info.chat_template is None
    assert info.metadata == {}


def test_facts_of_the_wrong_type_are_none(written: Path) -> None:
    written.write_bytes(
        LITTLE.file(
            LITTLE.pair("general.architecture", STRING, "llama"),
            LITTLE.pair("general.name", 4, 7),
            LITTLE.pair("llama.context_length", STRING, "many"),
            LITTLE.pair("tokenizer.chat_template", 7, True),
        )
    )

    info = read_gguf(written)

    assert (info.name, info.context_length, info.chat_template) == (None, None, None)


@pytest.mark.parametrize("writer", [LITTLE, BIG], ids=["little-endian", "big-endian"])
def test_nested_arrays_are_read(written: Path, writer: Writer) -> None:
    written.write_bytes(
        writer.file(
            writer.nested("ranges", 5, [[1, -2], [], [3]]),
            writer.nested("words", STRING, [["a"], ["b", "c"]]),
            writer.nested("tokenizer.pairs", 4, [[1, 2]] * 3),
            writer.pair("general.name", STRING, "after them"),
        )
    )

    info = read_gguf(written)

    assert info.metadata["ranges"] == ((1, -2), (), (3,))
    assert info.name == "after them"
    assert {"words", "tokenizer.pairs"}.isdisjoint(info.metadata)


def test_a_list_of_lists_where_one_number_per_layer_is_expected(written: Path) -> None:
    written.write_bytes(
        LITTLE.file(
            LITTLE.pair("general.architecture", STRING, "llama"),
            LITTLE.pair("llama.block_count", 4, 2),
            LITTLE.nested("llama.attention.head_count", 4, [[1], [2]]),
        )
    )

    info = read_gguf(written)

    assert info.heads is None
    assert info.per_layer("attention.head_count", 7) == (7, 7)


def test_path_may_be_a_string_and_the_facts_can_be_pickled() -> None:
    info = read_gguf(RECITER)

    assert pickle.loads(pickle.dumps(info)) == info


# -- no model at all ------------------------------------------------------------------------


@pytest.mark.parametrize("check", [check_gguf, read_gguf])
def test_missing_file(tmp_path: Path, check: Check) -> None:
    path = tmp_path / "missing.gguf"

    with pytest.raises(ModelNotFound, match=r"missing\.gguf: No such file"):
        check(path)


@pytest.mark.parametrize("check", [check_gguf, read_gguf])
def test_directory(tmp_path: Path, check: Check) -> None:
    with pytest.raises(ModelNotFound, match="directory"):
        check(tmp_path)


@pytest.mark.parametrize("check", [check_gguf, read_gguf])
@pytest.mark.parametrize("content", [b"", b"GGU", b"PK\x03\x04rest", b"<html>", b"gguf" * 9])
def test_other_file_is_refused_with_a_remedy(written: Path, content: bytes, check: Check) -> None:
    written.write_bytes(content)

    with pytest.raises(InvalidGGUF, match="not a GGUF") as caught:
        check(written)

    assert str(written) in str(caught.value)
    assert "convert_hf_to_gguf.py" in str(caught.value)
