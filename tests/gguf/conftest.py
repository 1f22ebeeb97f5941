"""A place for a header that a test writes."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"
