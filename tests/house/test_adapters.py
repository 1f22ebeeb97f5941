"""The adapters use the verbs of ``TextModel``; what is behind it is not theirs."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ADAPTERS = sorted(
    path
    for package in ("langchain_rocm", "llama_index_rocm")
    for path in (ROOT / package).rglob("*.py")
)
# What TextModel is made of.
_BEHIND = {"connection", "template"}


@pytest.mark.parametrize("path", ADAPTERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_adapter_never_reaches_behind_the_model(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    reached = [
        f"line {node.lineno}: .{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in _BEHIND
    ]
    assert not reached


def test_there_are_adapters_to_look_at() -> None:
    assert len(ADAPTERS) > 20
