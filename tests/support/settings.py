"""Configuration files of the user that a test of settings plays."""

from __future__ import annotations

import os
from pathlib import Path

from rocm_core.cli import main


def user_file(text: str, name: str = "llama-rocm.toml") -> Path:
    path = Path(os.environ["XDG_CONFIG_HOME"]) / "llama-rocm" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def trust(folder: Path) -> None:
    """Trust the files of a folder, as its user would."""
    assert main(["trust", str(folder)]) == 0
