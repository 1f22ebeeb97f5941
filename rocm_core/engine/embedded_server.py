"""The embedded engine: a program with the flags of ``llama-server``.

    python -m rocm_core.engine.embedded_server -m model.gguf --host …

Runs llama.cpp's own HTTP server from the package ``xllamacpp`` in this process, so that the
supervisor treats both engines alike: same flags (those we use), same endpoints, same log lines on
stderr, exit code 1 for every failure before it is ready. It reads the key from the environment
(``LLAMA_API_KEY``), as llama-server does.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from typing import Any, NoReturn

from rocm_core.engine.parent_death import die_with_parent

PARENT_VARIABLE = "ROCM_PARENT_PID"
# llama-server's `-np auto`: 4 slots that share one KV cache (tools/server/server.cpp).
_AUTO_SLOTS = 4


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"error: {message}\n")
        raise SystemExit(1)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="rocm_core.engine.embedded_server", allow_abbrev=False)
    add = parser.add_argument
    add("-m", "--model", required=True)
    add("-a", "--alias")
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=8080)
    add("-c", "--ctx-size", type=int, default=0)
    add("-np", "--parallel", type=int, default=-1)
    add("-ngl", "--n-gpu-layers", type=int)
    add("-t", "--threads", type=int)
    add("--threads-http", type=int, default=-1)
    add("-b", "--batch-size", type=int)
    add("-ub", "--ubatch-size", type=int)
    add("-fit", "--fit", choices=("on", "off"), default="on")
    add("-fa", "--flash-attn", choices=("on", "off", "auto"), default="auto")
    add("-ctk", "--cache-type-k")
    add("-ctv", "--cache-type-v")
    add("-cram", "--cache-ram", type=int)
    add("--lora")
    add("--mmproj")
    add("--chat-template")
    add("--pooling", choices=("none", "mean", "cls", "last", "rank"))
    add("-lv", "--log-verbosity", type=int)
    for flag in ("--embeddings", "--rerank", "--jinja", "--metrics", "--no-ui"):
        add(flag, action="store_true")
    return parser


# Flags that print facts, without a model, and exit.
_FACT_FLAGS = ("--version", "--list-devices")
FLAGS = frozenset(
    [*_FACT_FLAGS, *(flag for action in _parser()._actions for flag in action.option_strings)]
)


def parameters(options: argparse.Namespace, key: str | None) -> Any:
    """Return ``xllamacpp.CommonParams`` for the parsed flags.

    Args:
        options: the parsed command line.
        key: API key that the server demands; ``None``: none.

    Raises:
        SystemExit: a cache type is unknown.
    """
    x: Any = importlib.import_module("xllamacpp")
    params = x.CommonParams()
    params.model.path = options.model
    params.model_alias = {options.alias} if options.alias else set()
    params.hostnames = [options.host]
    params.port = options.port
    params.api_keys = [key] if key else []
    params.n_ctx = options.ctx_size
    params.kv_unified = options.parallel < 0
    params.n_parallel = options.parallel if options.parallel > 0 else _AUTO_SLOTS
    params.n_threads_http = options.threads_http
    params.use_jinja = True
    params.ui = False
    params.endpoint_metrics = options.metrics
    params.fit_params = options.fit == "on"
    _set_computing(params, options, x)
    _set_modes(params, options, x)
    return params


def _set_computing(params: Any, options: argparse.Namespace, x: Any) -> None:
    for name, value in (
        ("n_gpu_layers", options.n_gpu_layers),
        ("n_batch", options.batch_size),
        ("n_ubatch", options.ubatch_size),
        ("verbosity", options.log_verbosity),
        ("cache_ram_mib", options.cache_ram),
    ):
        if value is not None:
            setattr(params, name, value)
    if options.threads:
        params.cpuparams.n_threads = options.threads
        params.cpuparams_batch.n_threads = options.threads
    flash = {"on": "ENABLED", "off": "DISABLED", "auto": "AUTO"}[options.flash_attn]
    params.flash_attn_type = x.llama_flash_attn_type[f"LLAMA_FLASH_ATTN_TYPE_{flash}"]
    for side in ("k", "v"):
        if name := getattr(options, f"cache_type_{side}"):
            setattr(params, f"cache_type_{side}", _ggml_type(name, x))


def _ggml_type(name: str, x: Any) -> Any:
    try:
        return x.ggml_type[f"GGML_TYPE_{name.upper()}"]
    except KeyError:
        raise SystemExit(_print_error(f"Unsupported cache type: {name}")) from None


def _set_modes(params: Any, options: argparse.Namespace, x: Any) -> None:
    if options.chat_template:
        params.chat_template = options.chat_template
    if options.mmproj:
        params.mmproj.path = options.mmproj
    if options.lora:
        params.lora_adapters = [
            x.CommonAdapterLoraInfo(path, 1.0) for path in options.lora.split(",")
        ]
    pooling = options.pooling
    if options.embeddings or options.rerank:
        params.embedding = True
        params.n_batch = params.n_ubatch = max(params.n_ubatch, options.ubatch_size or 0)
        pooling = pooling or ("rank" if options.rerank else None)
    if pooling:
        params.pooling_type = x.llama_pooling_type[f"LLAMA_POOLING_TYPE_{pooling.upper()}"]


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


def _print_error(text: str) -> int:
    sys.stderr.write(f"error: {text}\n")
    return 1


def main(argv: list[str] | None = None) -> int:
    """Serve until stdin ends or a signal ends the process (no signal is handled).

    Args:
        argv: the command line without the program; default: ``sys.argv``.

    Returns:
        The exit code: 1 if the server could not be started.
    """
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in _FACT_FLAGS:
        return _print_facts(argv[0])
    if parent := os.environ.get(PARENT_VARIABLE):
        die_with_parent(int(parent))
    options, unknown = _parser().parse_known_args(argv)
    if unknown:
        return _print_error(f"invalid argument: {unknown[0]}")
    x: Any = importlib.import_module("xllamacpp")
    if options.n_gpu_layers and not _gpus(x):
        sys.stderr.write("warning: no usable GPU found, --gpu-layers option will be ignored\n")
    try:
        server = x.Server(parameters(options, os.environ.get("LLAMA_API_KEY")))
    except RuntimeError as error:
        return _print_error(str(error))
    while sys.stdin.buffer.read(4096):
        continue  # the end of stdin means that the program that started us is gone
    # An orderly shutdown would wait for streams that nobody reads any more.
    sys.stderr.flush()
    os._exit(1 if server else 0)


if __name__ == "__main__":
    raise SystemExit(main())
