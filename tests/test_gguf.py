"""Reading the header of a GGUF file: real, by hand, cut short, damaged, hostile."""

from __future__ import annotations

import contextlib
import os
import pickle
import struct
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models import build_demo
from rocm_core import gguf
from rocm_core.demo import demo_model_path
from rocm_core.errors import InvalidGGUF, ModelNotFound, RocmError
from rocm_core.gguf import check_gguf, read_gguf

# Value types of the format: ggml docs/gguf.md.
CODES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
Check = Callable[[Path], object]


class Writer:
    """Writes headers of either byte order by hand."""

    def __init__(self, order: str = "<") -> None:
        self.order = order

    def scalar(self, code: str, value: object) -> bytes:
        return struct.pack(self.order + code, value)

    def string(self, text: str) -> bytes:
        data = text.encode()
        return self.scalar("Q", len(data)) + data

    def value(self, kind: int, value: object) -> bytes:
        if kind == STRING:
            return self.string(str(value))
        return self.scalar(CODES[kind], value)

    def pair(self, key: str, kind: int, value: object) -> bytes:
        return self.string(key) + self.scalar("I", kind) + self.value(kind, value)

    def array(
        self, key: str, kind: int, values: Sequence[object], count: int | None = None
    ) -> bytes:
        head = self.scalar("I", ARRAY) + self.scalar("I", kind)
        count = len(values) if count is None else count
        items = b"".join(self.value(kind, value) for value in values)
        return self.string(key) + head + self.scalar("Q", count) + items

    def file(self, *pairs: bytes, version: int = 3, count: int | None = None) -> bytes:
        head = b"GGUF" + self.scalar("I", version) + self.scalar("Q", 0)
        return head + self.scalar("Q", len(pairs) if count is None else count) + b"".join(pairs)

    def model(self, version: int = 3) -> bytes:
        """A header with every kind of value."""
        return self.file(
            self.pair("general.architecture", STRING, "llama"),
            self.array("tokenizer.ggml.tokens", STRING, ["a", "é", ""]),
            self.pair("general.name", STRING, "Zürich"),
            self.array("tokenizer.ggml.scores", 6, [0.5, -1.0]),
            self.pair("llama.context_length", 4, 8192),
            self.pair("big", 10, 1 << 63),
            self.pair("small", 1, -3),
            self.pair("half", 12, 0.5),
            self.pair("yes", 7, True),
            self.pair("tokenizer.chat_template", STRING, "{{ messages }}"),
            version=version,
        )


LITTLE, BIG = Writer("<"), Writer(">")


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


# -- healthy files --------------------------------------------------------------------------


def test_demo_model() -> None:
    info = read_gguf(demo_model_path())

    assert info.path == demo_model_path()
    assert info.version == 3
    assert info.architecture == "llama"
    assert info.name == "llama-rocm demo"
    assert info.context_length == build_demo.CONTEXT
    assert info.chat_template == build_demo.CHAT_TEMPLATE
    assert info.metadata["tokenizer.ggml.eos_token_id"] == build_demo.END_ID
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
    info = read_gguf(str(demo_model_path()))

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


def test_demo_model_cut_short_is_refused_up_to_the_end_of_its_header(written: Path) -> None:
    whole = demo_model_path().read_bytes()
    info = read_gguf(demo_model_path())
    tensors = whole.index(b"token_embd.weight") - 8  # the list of tensors begins here
    written.write_bytes(whole)

    for length in range(tensors + 200, -1, -1):
        os.truncate(written, length)
        if length >= tensors:
            assert read_gguf(written).metadata == info.metadata
        else:
            with pytest.raises(InvalidGGUF):
                read_gguf(written)


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
    monkeypatch.setattr(gguf, "_LONGEST_HEADER", 1 << 20)
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
