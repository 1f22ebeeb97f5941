"""Which loads need a physical batch as long as an input."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rocm_core import LoadConfig, load_model, read_gguf
from rocm_core.config import Engine
from rocm_core.demo import demo_model_path
from rocm_core.engine.engine_files import splits_ranks
from rocm_core.engine.locate import Engine as Program
from rocm_core.engine.locate import find_engine
from rocm_core.gguf import GGUFInfo
from rocm_core.memory.batch import whole_input

UNKNOWN, TRAINED = 2048, 4096


def of(architecture: str, pooling: str | None = None, **keys: Any) -> GGUFInfo:
    named = {f"{architecture}.{name.replace('__', '.')}": value for name, value in keys.items()}
    return replace(
        read_gguf(demo_model_path()),
        architecture=architecture,
        pooling=pooling,
        context_length=TRAINED,
        metadata=named,
    )


def asked(info: GGUFInfo | None, *, splits: bool = True, **options: Any) -> int:
    return whole_input(info, LoadConfig(**options), unknown=UNKNOWN, splits_ranks=lambda: splits)


BERT, QWEN, LAST = of("bert", attention__causal=False), of("qwen3"), of("qwen3", "last")


@pytest.mark.parametrize(
    ("info", "options", "length"),
    [
        (QWEN, {"rerank": True}, 0),
        (QWEN, {"rerank": True, "splits": False}, TRAINED),
        (of("qwen3vl"), {"rerank": True}, 0),
        (BERT, {"rerank": True}, TRAINED),
        (of("llama", attention__causal=False), {"rerank": True}, TRAINED),
        (of("something-new"), {"rerank": True}, TRAINED),
        (None, {"rerank": True}, UNKNOWN),
        (None, {"rerank": True, "context_len": 512}, 512),
        (LAST, {"embeddings": True, "splits": False}, 0),
        (QWEN, {"embeddings": True, "pooling": "last"}, 0),
        (QWEN, {"embeddings": True, "pooling": "mean"}, TRAINED),
        (LAST, {"embeddings": True, "pooling": "mean"}, TRAINED),
        (of("gemma-embedding", "last"), {"embeddings": True}, TRAINED),
        (QWEN, {}, 0),
        (None, {}, 0),
    ],
)
def test_an_input_is_read_at_once_only_where_it_must(
    info: GGUFInfo | None, options: dict[str, Any], length: int
) -> None:
    assert asked(info, **options) == length


def test_nobody_asks_for_more_than_8192_tokens() -> None:
    assert asked(replace(BERT, context_length=1 << 20), rerank=True) == 8192


def test_builds_say_whether_they_read_in_pieces(engine: Engine) -> None:
    assert splits_ranks(find_engine(engine))


def test_a_program_that_does_not_say_so_does_not(tmp_path: Any) -> None:
    program = tmp_path / "llama-server"
    program.write_bytes(b"\x7fELF" + bytes(1 << 20))
    assert not splits_ranks(Program("binary", (str(program),), "PATH"))
    (tmp_path / "libllama.so").write_bytes(bytes((1 << 20) - 9) + b"llama_get_causal_attn\0")
    assert splits_ranks(Program("binary", (str(program),), "PATH"))
    assert not splits_ranks(Program("binary", (str(tmp_path / "gone"),), "PATH"))


def test_a_long_pair_has_the_same_score_in_pieces(engine: Engine) -> None:
    long, context = "The llama lives in the Andes. It eats grass. " * 60, 2048
    ranks = []
    for options in ({}, {"ubatch_size": context, "batch_size": context}):
        given: Any = {"rerank": True, "context_len": context, "parallel": 1, **options}
        with load_model("demo", engine=engine, **given) as model:
            assert len(model.tokenize(long)) > 512
            ranks.append(model.rerank("Where?", [long, "Here."]))
    pieces, whole = ranks
    assert [index for index, _ in pieces] == [index for index, _ in whole]
    assert [score for _, score in pieces] == pytest.approx([score for _, score in whole], abs=1e-3)
