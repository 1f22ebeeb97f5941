"""Prove an installed llama-rocm in the environment that runs this file, from any directory.

    python smoke.py EXTRA…

It is run by ``.ci/release``, in clean environments that have the wheel with these extras and
nothing else: what they bring works, and what they do not bring says which extra has it.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import subprocess
import sys
from pathlib import Path

_ADAPTERS = {"langchain_rocm": "langchain", "llama_index_rocm": "llama-index"}
_WITH = {"all": {"langchain", "llama-index", "embedded", "notebook"}}


def main(extras: set[str]) -> None:
    """Check the command, the adapters, and an answer of the demo model if there is an engine."""
    for extra in list(extras):
        extras |= _WITH.get(extra, set())
    import rocm_core

    assert "site-packages" in str(rocm_core.__file__), f"not the wheel: {rocm_core.__file__}"
    assert rocm_core.__version__ == importlib.metadata.version("llama-rocm")
    command = Path(sys.executable).with_name("llama-rocm")
    version = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert version.stdout == f"llama-rocm {rocm_core.__version__}\n", version.stdout
    for package, extra in _ADAPTERS.items():
        _check_adapter(package, extra, extra in extras)
    if "embedded" in extras:
        said = subprocess.run(
            [command, "chat", "Hello", "-m", "demo"], capture_output=True, text=True, check=True
        )
        assert "llama-rocm demo model" in said.stdout, said
    print(f"{rocm_core.__version__} with {', '.join(sorted(extras)) or 'no extra'}: works")


def _check_adapter(package: str, extra: str, wanted: bool) -> None:
    try:
        module = importlib.import_module(package)
    except ImportError as error:
        assert not wanted, error
        assert f'pip install "llama-rocm[{extra}]"' in str(error), error
        return
    for name in module.__all__:
        getattr(module, name)


if __name__ == "__main__":
    main(set(sys.argv[1:]))
