"""What a header says about texts that llama.cpp changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from rocm_core.cli import main
from rocm_core.doctor.runs import run_checks
from rocm_core.gguf import read_gguf
from rocm_core.gguf.notes import text_notes
from rocm_core.model.text_model import load_model
from tests.support.models.gguf_writer import STRING, Writer
from tests.support.models.reciter import RECITER

NORMAL, CONTROL = 1, 3


def _written(path: Path, kind: int = NORMAL, token: str = "</s>", name: str = "Any") -> Path:
    for order in "<>":
        writer = Writer(order)
        data = writer.file(
            writer.pair("general.architecture", STRING, "qwen2"),
            writer.pair("general.name", STRING, name),
            writer.array("tokenizer.ggml.tokens", STRING, ["a", "x</s>", token, "b"]),
            writer.array("tokenizer.ggml.token_type", 5, [NORMAL, CONTROL, kind, CONTROL]),
        )
        path.with_stem(f"{path.stem}{ord(order)}").write_bytes(data)
    return path.with_stem(f"{path.stem}{ord('<')}")


@pytest.mark.parametrize(
    ("kind", "token", "ordinary"),
    [(NORMAL, "</s>", True), (CONTROL, "</s>", False), (NORMAL, "</b>", False)],
)
def test_an_ordinary_token_spelled_like_the_end(
    tmp_path: Path, kind: int, token: str, ordinary: bool
) -> None:
    _written(tmp_path / "m.gguf", kind, token)
    for path in tmp_path.iterdir():  # in both byte orders
        info = read_gguf(path)
        assert info.ordinary_end is ordinary
        assert ["</s> as an ordinary token" in note for note in text_notes(info)] == (
            [True] if ordinary else []
        )


@pytest.mark.parametrize(("name", "told"), [("My Phi-3 merge", 1), ("phi3", 1), ("Phi 4", 0)])
def test_a_name_that_makes_llama_cpp_drop_white_space(tmp_path: Path, name: str, told: int) -> None:
    assert len(text_notes(read_gguf(_written(tmp_path / "m.gguf", CONTROL, name=name)))) == told


def test_most_models_have_none() -> None:
    assert text_notes(read_gguf(RECITER)) == ()


def test_models_preflight_and_doctor_tell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _written(tmp_path / "m.gguf", name="phi-3 merge")
    assert main(["models", str(tmp_path), "--no-caches"]) == 0
    out = capsys.readouterr().out
    assert "</s> as an ordinary token" in out and "contains phi-3" in out
    with load_model(path, backend="cpu") as model:
        [check] = [c for c in model.preflight() if c.name == "model_file"]
    assert check.status == "warning" and "ordinary token" in (check.remedy or "")
    [found] = [
        c
        for c in run_checks([], [], {"ROCM_MODEL_DIR": str(tmp_path)})
        if c.name == "model_directory"
    ]
    assert found.status == "warning" and "contains phi-3" in (found.remedy or "")
