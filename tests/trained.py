"""The model of tests that need one with some understanding."""

from __future__ import annotations

import os
from typing import Final

import pytest

from rocm_core import read_gguf, resolve_ref

TRAINED: Final = os.environ.get("ROCM_TEST_CHAT_MODEL", "demo")
"""The bundled model, or any other that the variable names: a GGUF file trained to call tools."""


def skip_unless_trained() -> None:
    """Skip the test, as long as the model is one written by hand: its template has no thoughts."""
    if "<think>" not in (read_gguf(resolve_ref(TRAINED).value).chat_template or ""):
        pytest.skip("this model cannot understand; ROCM_TEST_CHAT_MODEL names another")
