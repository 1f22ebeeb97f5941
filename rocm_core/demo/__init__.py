"""The demo model, bundled as a GGUF file. What it can do: ``MODEL_CARD.md`` beside it."""

from __future__ import annotations

from pathlib import Path

__all__ = ["demo_model_path"]


def demo_model_path() -> Path:
    """Return the path of the bundled demo model."""
    # llama-server needs a file, so nothing is gained from importlib.resources, slow to import.
    return Path(__file__).with_name("demo.gguf")
