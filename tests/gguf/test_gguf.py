"""Reading the header of a GGUF file: real, by hand, cut short, damaged, hostile."""

from __future__ import annotations

import collections
import contextlib
import pickle
import struct
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import gguf as package
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rocm_core.errors import InvalidGGUF, ModelNotFound, RocmError
from rocm_core.gguf import check_gguf, part_paths, read_gguf, read_model, reader
from rocm_core.gguf.quantization import FILE_TYPES, TENSOR_TYPES
from tests.support.models.gguf_writer import ARRAY, BIG, CODES, LITTLE, STRING, Writer
from tests.support.models.reciter import CHAT_TEMPLATE, CONTEXT, END_ID, RECITER
from tests.support.models.shapes import Shape, write_model

Check = Callable[[Path], object]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


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


# -- damaged headers ------------------------------------------------------------------------


@pytest.mark.parametrize("writer", [LITTLE, BIG], ids=["little-endian", "big-endian"])
def test_header_cut_short_anywhere_is_refused(written: Path, writer: Writer) -> None:
    header = writer.model()

    for length in range(len(header)):
        written.write_bytes(header[:length])
        with pytest.raises(InvalidGGUF):
            read_gguf(written)


def test_a_model_cut_short_is_refused_up_to_the_end_of_its_header() -> None:
    whole = Path(RECITER).read_bytes()
    header = reader.parse_header(whole)

    for length in range(header.data_start - 32):  # then padding, of up to 31 bytes
        with contextlib.suppress(ValueError, struct.error):
            reader.parse_header(whole[:length])
            raise AssertionError(f"{length} bytes were taken for a whole header")
    assert reader.parse_header(whole[: header.data_start]) == header


def test_what_a_broken_download_lacks_is_counted(written: Path) -> None:
    whole = Path(RECITER).read_bytes()
    written.write_bytes(whole[:-1000])
    assert read_gguf(written).missing == 1000
    assert read_gguf(RECITER).missing == 0


def test_damage_is_told_with_file_and_remedy(written: Path) -> None:
    written.write_bytes(LITTLE.model()[:60])

    with pytest.raises(InvalidGGUF, match="damaged header") as caught:
        read_gguf(written)

    assert str(written) in str(caught.value)
    assert "again" in str(caught.value)


@pytest.mark.parametrize("version", [0, 1, 4, 65535])
def test_unknown_version_is_refused(written: Path, version: int) -> None:
    written.write_bytes(LITTLE.file(version=version))

    with pytest.raises(InvalidGGUF, match=f"version {version}"):
        read_gguf(written)


HUGE = (1 << 20, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)


@pytest.mark.parametrize("huge", HUGE)
@pytest.mark.parametrize("writer", [LITTLE, BIG], ids=["little-endian", "big-endian"])
def test_huge_counts_and_lengths_are_refused_at_once(
    written: Path, writer: Writer, huge: int
) -> None:
    length = writer.scalar("Q", huge)
    start = time.process_time()

    for header in (
        writer.file(count=huge),
        writer.file(length + b"key"),
        writer.file(writer.string("key") + writer.scalar("I", STRING) + length),
        writer.file(writer.array("key", STRING, ["a"], count=huge)),
        *(writer.file(writer.array("key", kind, [], count=huge)) for kind in CODES),
        writer.file(writer.array("key", ARRAY, [], count=huge)),
    ):
        written.write_bytes(header)
        with pytest.raises(InvalidGGUF):
            read_gguf(written)

    assert time.process_time() - start < 2


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(LITTLE.file(count=1 << 62), id="keys"),
        pytest.param(LITTLE.file(LITTLE.array("key", STRING, [], count=1 << 62)), id="array"),
        pytest.param(
            LITTLE.file(
                LITTLE.string("key") + LITTLE.scalar("I", STRING) + LITTLE.scalar("Q", 1 << 27)
            ),
            id="string",
        ),
    ],
)
def test_header_that_goes_on_through_a_large_file_is_refused(
    written: Path, header: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_MAX_HEADER", 1 << 20)
    with written.open("wb") as file:
        file.write(header)
        file.truncate(1 << 28)  # sparse: zeros, that is empty strings, without end
    start = time.process_time()

    with pytest.raises(InvalidGGUF):
        read_gguf(written)

    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    "pair",
    [
        pytest.param(LITTLE.string("k") + LITTLE.scalar("I", 13) + b"\0" * 8, id="value type"),
        pytest.param(LITTLE.string("k") + LITTLE.scalar("I", 1 << 31) + b"\0" * 8, id="large type"),
        pytest.param(
            LITTLE.string("k") + LITTLE.scalar("I", ARRAY) + LITTLE.scalar("I", 99) + b"\0" * 8,
            id="array type",
        ),
        pytest.param(LITTLE.scalar("Q", 1) + b"\xff" + b"\0" * 8, id="key that is not UTF-8"),
        pytest.param(
            LITTLE.string("k") + LITTLE.scalar("I", STRING) + LITTLE.scalar("Q", 1) + b"\xff",
            id="text that is not UTF-8",
        ),
    ],
)
def test_damaged_value_is_refused(written: Path, pair: bytes) -> None:
    written.write_bytes(LITTLE.file(pair))

    with pytest.raises(InvalidGGUF):
        read_gguf(written)


patiently = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300
)


@patiently
@given(
    header=st.sampled_from([LITTLE.model(), BIG.model(), LITTLE.model(2)]),
    changes=st.lists(st.tuples(st.integers(4, 400), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_changed_bytes_raise_nothing_but_our_errors(
    written: Path, header: bytes, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(header)
    for at, value in changes:
        data[at % len(data)] = value
    written.write_bytes(bytes(data))

    with contextlib.suppress(RocmError):
        info = read_gguf(written)
        assert info.context_length is None or type(info.context_length) is int
        assert info.name is None or type(info.name) is str


@patiently
@given(st.binary(max_size=200))
def test_arbitrary_bytes_after_the_magic_raise_nothing_but_our_errors(
    written: Path, content: bytes
) -> None:
    written.write_bytes(b"GGUF" + content)

    with contextlib.suppress(InvalidGGUF):
        assert read_gguf(written).version in (2, 3)


# -- facts ----------------------------------------------------------------------------------


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


def test_the_same_key_twice_is_damage(written: Path) -> None:
    written.write_bytes(LITTLE.file(*[LITTLE.pair("a", 4, 1)] * 2))
    with pytest.raises(InvalidGGUF, match="twice"):
        read_gguf(written)


# -- time and memory ------------------------------------------------------------------------


def test_a_token_of_the_vocabulary_costs_one_call(written: Path) -> None:
    """Of C, and none of Python: what it takes in time says ``benchmarks.gguf_reader``."""
    count = 150_000
    words = [f"token{number}" for number in range(count)]
    kinds = LITTLE.array("tokenizer.ggml.token_type", 5, [1] * count)
    written.write_bytes(LITTLE.file(LITTLE.array("tokenizer.ggml.tokens", STRING, words), kinds))
    calls: collections.Counter[str] = collections.Counter()

    outer = sys.getprofile()
    sys.setprofile(lambda frame, event, argument: calls.update((event,)))
    try:
        info = read_gguf(written)
    finally:
        sys.setprofile(outer)

    assert info.vocabulary == count
    assert calls["call"] < 1_000
    assert calls["c_call"] < count + 1_000


def hostile(name: str) -> bytes:
    """A file that fills the memory of a reader that believes it."""
    scalar = LITTLE.scalar
    if name == "keys":
        return LITTLE.file(*(LITTLE.pair(f"k{n}", 0, 1) for n in range(8000)))
    if name == "texts":
        return LITTLE.file(*(LITTLE.pair(f"k{n}", STRING, "\U0001f600" * 4096) for n in range(300)))
    if name == "tensors":
        one = LITTLE.string("n" * 100) + scalar("I", 4) + scalar("Q", 1) * 4
        one += scalar("I", 0) + scalar("Q", 0)
        return b"GGUF" + scalar("I", 3) + scalar("Q", 30000) + scalar("Q", 0) + one * 30000
    items = 1024 if name == "lists" else 32 << 20
    head = scalar("I", ARRAY) + scalar("I", 0) + scalar("Q", items)
    keys = range(2000 if name == "lists" else 1)
    return LITTLE.file(*(LITTLE.string(f"k{n}") + head + bytes(items) for n in keys))


@pytest.mark.parametrize("name", ["keys", "texts", "lists", "tensors", "long list"])
def test_memory_stays_bounded_whatever_the_header_claims(written: Path, name: str) -> None:
    written.write_bytes(hostile(name))
    tracemalloc.start()
    try:
        with contextlib.suppress(InvalidGGUF):
            read_gguf(written)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
