"""The demo model that ships inside the package.

It is a real GGUF file that llama.cpp loads like any other model, but it knows a single answer:
a short description of itself.  ``models/build_demo.py`` writes it by hand and explains how.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["demo_model_path"]


def demo_model_path() -> Path:
    """Return the path of the bundled demo model."""
    from importlib import resources  # slow to import, so not before somebody asks

    return Path(str(resources.files(__name__) / "demo.gguf"))
