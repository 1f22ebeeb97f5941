"""The model of tests that need one with some understanding."""

from __future__ import annotations

import os
from typing import Final

TRAINED: Final = os.environ.get("ROCM_TEST_CHAT_MODEL", "demo")
"""The bundled model, or any other that the variable names: a GGUF file trained to call tools."""
