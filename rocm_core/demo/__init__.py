"""The demo model, bundled as a GGUF file. What it can do: ``MODEL_CARD.md`` beside it."""

from __future__ import annotations

from pathlib import Path

__all__ = ["demo_model_path"]


def demo_model_path() -> Path:
    """Return the path of the bundled demo model."""
    from importlib import resources  # slow to import, so only when the path is needed

    return Path(str(resources.files(__name__) / "demo.gguf"))
