"""Facts of a model file: sizes, quantization, kinds, parts of one model."""

from __future__ import annotations

from pathlib import Path

import gguf as package
import pytest

from rocm_core.errors import ModelNotFound
from rocm_core.gguf import part_paths, read_gguf, read_model
from rocm_core.gguf.quantization import FILE_TYPES, TENSOR_TYPES
from tests.support.models.gguf_writer import LITTLE, STRING
from tests.support.models.reciter import END_ID, RECITER
from tests.support.models.shapes import Shape, write_model


def test_facts_of_a_real_model_file() -> None:
    info = read_gguf(RECITER)

    assert (info.layers, info.heads, info.kv_heads) == (1, 1, 1)
    assert info.quantization == "F16"
    assert info.parameters == sum(tensor.elements for tensor in info.tensors) > 0
    assert info.vocabulary == 315
    assert info.special_tokens["eos"] == END_ID
    assert info.file_size == Path(RECITER).stat().st_size
    assert (info.missing, info.parts, info.kind) == (0, 1, "model")


@pytest.mark.parametrize(
    "shape",
    [
        Shape(kv_heads=2, weights="Q8_0"),
        Shape("qwen3moe", experts=8, experts_used=2, weights="Q4_K", feed_forward=256),
        Shape("gemma3", window=512, tied=True, layers=6),
    ],
    ids=["grouped", "experts", "window"],
)
def test_facts_are_those_of_the_gguf_packages_reader(tmp_path: Path, shape: Shape) -> None:
    path = write_model(tmp_path / "shape.gguf", shape)
    info, theirs = read_gguf(path), package.GGUFReader(path)

    assert (info.layers, info.heads, info.kv_heads) == (shape.layers, shape.heads, shape.kv_heads)
    assert (info.key_length, info.value_length) == (shape.head, shape.head)
    assert (info.embedding_length, info.vocabulary) == (shape.width, shape.vocabulary)
    assert (info.experts or 0, info.experts_used or 0) == (shape.experts, shape.experts_used)
    assert info.sliding_window == (shape.window or None)
    assert [(t.name, t.type, t.nbytes) for t in info.tensors] == [
        (t.name, t.tensor_type, t.n_bytes) for t in theirs.tensors
    ]
    assert info.parameters == sum(int(t.n_elements) for t in theirs.tensors)


def test_tables_have_every_type_of_the_gguf_package_and_its_sizes() -> None:
    for kind in package.LlamaFileType:
        if kind != package.LlamaFileType.GUESSED:
            name = kind.name.removeprefix("MOSTLY_").removeprefix("ALL_")
            assert FILE_TYPES[int(kind)] == name
    for number, sizes in package.GGML_QUANT_SIZES.items():
        assert TENSOR_TYPES[int(number)][1:] == sizes


def with_keys(*pairs: bytes) -> bytes:
    return LITTLE.file(LITTLE.pair("general.architecture", STRING, "llama"), *pairs)


def test_quantization_is_none_when_the_file_does_not_say_and_a_number_when_it_is_new(
    written: Path,
) -> None:
    written.write_bytes(with_keys())
    assert read_gguf(written).quantization is None
    written.write_bytes(with_keys(LITTLE.pair("general.file_type", 4, 999)))
    assert read_gguf(written).quantization == "type 999"


def test_numbers_per_layer(written: Path) -> None:
    key = "llama.attention.head_count_kv"
    count = LITTLE.pair("llama.block_count", 4, 3)
    written.write_bytes(with_keys(count, LITTLE.array(key, 4, [8, 2, 0])))
    info = read_gguf(written)
    assert info.kv_heads == 8
    assert info.per_layer("attention.head_count_kv", 1) == (8, 2, 0)
    assert info.per_layer("attention.head_count", 7) == (7, 7, 7)

    written.write_bytes(with_keys(count, LITTLE.pair(key, 4, 4)))
    assert read_gguf(written).per_layer("attention.head_count_kv", 1) == (4, 4, 4)


def test_negative_and_huge_numbers_are_no_facts(written: Path) -> None:
    written.write_bytes(
        with_keys(
            LITTLE.pair("llama.context_length", 11, -1),
            LITTLE.pair("llama.block_count", 10, (1 << 64) - 1),
        )
    )
    info = read_gguf(written)
    assert info.context_length is None
    assert len(info.per_layer("attention.head_count_kv", 1)) < 1 << 16


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("general.type", "mmproj", "projector"),
        ("general.type", "adapter", "adapter"),
        ("general.architecture", "clip", "projector"),
    ],
)
def test_what_kind_of_file_it_is(written: Path, key: str, value: str, kind: str) -> None:
    written.write_bytes(LITTLE.file(LITTLE.pair(key, STRING, value)))
    assert read_gguf(written).kind == kind


def test_parts_of_a_split_model_are_read_as_one(tmp_path: Path) -> None:
    whole = write_model(tmp_path / "whole.gguf", Shape())
    parts = [tmp_path / f"big-0000{number}-of-00002.gguf" for number in (1, 2)]
    for part in parts:
        part.write_bytes(whole.read_bytes())
    assert part_paths(parts[1]) == tuple(parts)
    one, both = read_gguf(whole), read_model(parts[0])
    assert both.parameters == 2 * one.parameters
    assert both.file_size == 2 * one.file_size
    parts[1].unlink()
    with pytest.raises(ModelNotFound, match="00002-of-00002"):
        read_model(parts[0])
