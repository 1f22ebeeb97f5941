"""What a server says after a load, held against what was asked for."""

from __future__ import annotations

from typing import Any

import pytest

from rocm_core.diagnosis.load_result import missing_adapters, missing_modality, nothing_drafted


def test_an_adapter_counts_by_its_file_name() -> None:
    listed: list[dict[str, Any]] = [{"id": 0, "path": "/a/one.gguf", "scale": 1.0}]
    assert missing_adapters(["/b/one.gguf"], listed) is None
    assert missing_adapters([], []) is None
    said = missing_adapters(["/a/one.gguf", "/a/two.gguf"], listed)
    assert said is not None
    assert "has not loaded /a/two.gguf" in said
    assert "lists one.gguf" in said


def test_a_projector_brings_one_modality_at_least() -> None:
    assert missing_modality("p.gguf", {"vision": False, "audio": True}) is None
    assert missing_modality("p.gguf", {}) is None  # a build that does not tell
    assert "p.gguf" in (missing_modality("p.gguf", {"vision": False}) or "")


@pytest.mark.parametrize(
    ("predicted", "drafted", "told"), [(7, 0, False), (8, 0, True), (100, 1, False), (0, 0, False)]
)
def test_an_answer_of_eight_tokens_without_a_draft_is_told(
    predicted: int, drafted: int, told: bool
) -> None:
    assert (nothing_drafted("d.gguf", predicted, drafted) is not None) is told
