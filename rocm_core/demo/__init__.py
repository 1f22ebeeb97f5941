"""The demo model that ships inside the package: a GGUF file that llama.cpp loads like any other."""

from __future__ import annotations

from pathlib import Path

__all__ = ["demo_model_path"]


def demo_model_path() -> Path:
    """Return the path of the bundled demo model."""
    from importlib import resources  # slow to import, so not before somebody asks

    return Path(str(resources.files(__name__) / "demo.gguf"))
