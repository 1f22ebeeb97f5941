"""Headers that are cut short, damaged or hostile: an error of ours, in little time and memory."""

from __future__ import annotations

import collections
import contextlib
import struct
import sys
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rocm_core.errors import InvalidGGUF, RocmError
from rocm_core.gguf import read_gguf, reader
from tests.support.models.gguf_writer import ARRAY, BIG, CODES, LITTLE, STRING, Writer
from tests.support.models.reciter import RECITER

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
        pytest.param(
            LITTLE.string("k")
            + LITTLE.scalar("I", ARRAY)
            + (LITTLE.scalar("I", ARRAY) + LITTLE.scalar("Q", 1)) * 5000,
            id="arrays nested without end",
        ),
        pytest.param(LITTLE.nested("k", 4, [[]] * (1 << 19)), id="half a million arrays in one"),
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
