"""The embedded engine: a program with the flags of ``llama-server``.

    python …/embedded_start.py -m model.gguf --host …

Runs llama.cpp's own HTTP server from the package ``xllamacpp`` in this process, so that the
supervisor treats both engines alike: same flags (those in ``embedded_flags``), same endpoints, same
log lines on stderr, exit code 1 for every failure before it is ready. It reads the key from the
environment (``LLAMA_API_KEY``), as llama-server does.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

from rocm_core.engine.embedded_flags import BUILT_IN_TEMPLATES, FACT_FLAGS, apply_flags, flags_of
from rocm_core.engine.parent_death import die_with_parent

PARENT_VARIABLE = "ROCM_PARENT_PID"
# llama-server's `-np auto`: 4 slots that share one KV cache (tools/server/server.cpp).
_AUTO_SLOTS = 4
_AUTO_LAYERS = -1  # common_params::n_gpu_layers; -2 is all
# xllamacpp demands a path even if the model is a download, which then replaces it.
_NO_PATH = "(not downloaded)"


def parameters(argv: Sequence[str], key: str | None) -> Any:
    """Return ``xllamacpp.CommonParams`` for a command line.

    Args:
        argv: the flags, without the program; of a flag that is given twice the later one wins.
        key: API key that the server demands; ``None``: none.

    Raises:
        ValueError: a flag is unknown, or its value is wrong; the text says it as llama-server.
    """
    x: Any = importlib.import_module("xllamacpp")
    params = x.CommonParams()
    params.api_keys = [key] if key else []
    params.port = 8080
    params.ui = False
    params.kv_unified, params.n_parallel = True, _AUTO_SLOTS
    apply_flags(params, flags_of(argv), x)
    if params.model.hf_repo:
        params.model.path = _NO_PATH
        # llama-server's parser reads it (--hf-token in common/arg.cpp).
        params.hf_token = os.environ.get("HF_TOKEN", "")
    elif not params.model.path:
        raise ValueError("error: no model: -m or -hf is needed")
    template = params.chat_template
    if template and not params.use_jinja and template not in BUILT_IN_TEMPLATES:
        # xllamacpp would take chatml in its place.
        raise ValueError(f"error: the supplied chat template is not supported: {template}")
    # Older releases of xllamacpp do not have it.
    per_slot = getattr(params, "kv_unified_per_slot", 0)
    if per_slot and not params.n_ctx:
        # As llama-server (tools/server/server.cpp); xllamacpp would take the model's own context.
        params.n_ctx = params.n_parallel * per_slot
    if params.embedding:
        params.n_batch = params.n_ubatch
    return params


def _print_facts(flag: str) -> int:
    """Print ``--version`` or ``--list-devices`` as llama-server does (``common/arg.cpp``)."""
    x: Any = importlib.import_module("xllamacpp")
    if flag == "--version":
        build = x.BUILD_INFO
        made = f"{build['compiler']}, {build['build_target']}"
        sys.stderr.write(f"version: xllamacpp {x.__version__} ({made})\n")
        return 0
    lines = ["Available devices:"]
    for device in _gpus(x):
        total, free = device["memory_total"] >> 20, device["memory_free"] >> 20
        lines.append(f"  {device['name']}: {device['description']} ({total} MiB, {free} MiB free)")
    sys.stdout.write("\n".join(lines if lines[1:] else [*lines, "  (none)"]) + "\n")
    return 0


def _gpus(x: Any) -> list[dict[str, Any]]:
    cpu = x.ggml_backend_dev_type.GGML_BACKEND_DEVICE_TYPE_CPU
    return [device for device in x.get_device_info() if device["type"] != cpu]


def main(argv: list[str] | None = None) -> int:
    """Serve until stdin ends or a signal ends the process (no signal is handled).

    Args:
        argv: the command line without the program; default: ``sys.argv``.

    Returns:
        The exit code: 1 if the server could not be started.
    """
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in FACT_FLAGS:
        return _print_facts(argv[0])
    if parent := os.environ.get(PARENT_VARIABLE):
        die_with_parent(int(parent))
    x: Any = importlib.import_module("xllamacpp")
    try:
        params = parameters(argv, os.environ.get("LLAMA_API_KEY"))
        if params.n_gpu_layers not in (0, _AUTO_LAYERS) and not _gpus(x):
            sys.stderr.write("warning: no usable GPU found, --gpu-layers option will be ignored\n")
        server = x.Server(params)
    except (RuntimeError, ValueError) as error:
        sys.stderr.write(f"{error}\n" if isinstance(error, ValueError) else f"error: {error}\n")
        return 1
    while sys.stdin.buffer.read(4096):
        continue  # the end of stdin means that the program that started us is gone
    # An orderly shutdown would wait for streams that nobody reads any more.
    sys.stderr.flush()
    os._exit(1 if server else 0)
