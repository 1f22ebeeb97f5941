"""A llama-server that answers ``--help``, ``--version``, ``--list-devices`` like recorded ones."""

from __future__ import annotations

import json
import shlex
import struct
import sys
from pathlib import Path

from rocm_core.engine.locate import Engine, find_engine

# ollama discover/llama_server_test.go, llama.cpp#23934, #19949.
RX_6800 = """\
Available devices:
  ROCm0: AMD Radeon RX 6800 (16368 MiB, 16342 MiB free)
"""
RX_6700_XT = """\
ggml_cuda_init: found 1 ROCm devices (Total VRAM: 12272 MiB):
  Device 0: AMD Radeon RX 6700 XT, gfx1031 (0x1031), VMM: no, Wave Size: 32, VRAM: 12272 MiB
load_backend: loaded ROCm backend from {directory}/libggml-hip.so
load_backend: loaded CPU backend from {directory}/libggml-cpu-haswell.so
Available devices:
  ROCm0: AMD Radeon RX 6700 XT (12272 MiB, 12248 MiB free)
"""
TWO_CUDA = """\
Available devices:
  CUDA0: NVIDIA GeForce RTX 4090 (24564 MiB, 23592 MiB free)
  CUDA1: NVIDIA GeForce RTX 3060 (12288 MiB, 11500 MiB free)
"""
VULKAN = """\
ggml_vulkan: Found 1 Vulkan devices:
ggml_vulkan: 0 = AMD Radeon Graphics (RADV GFX1151) (radv) | uma: 1 | fp16: 1
Available devices:
  Vulkan0: AMD Radeon(TM) Graphics (32768 MiB, 31000 MiB free)
"""
NO_DEVICE = """\
ggml_cuda_init: failed to initialize ROCm: no ROCm-capable device is detected
Available devices:
  (none)
"""
NOT_LOADED = """\
load_backend: failed to load {directory}/libggml-hip.so: libamdhip64.so.7: cannot open shared \
object file: No such file or directory
Available devices:
  (none)
"""
EMPTY = "Available devices:\n"
BLAS = "Available devices:\n  BLAS: OpenBLAS (0 MiB, 0 MiB free)\n"


def program(directory: Path, devices: str, ending: str = "exit 0", flags: str = "") -> Engine:
    """A llama-server that answers like a recorded one."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "llama-server"
    listed = shlex.quote(devices.replace("{directory}", str(directory)))
    path.write_text(
        f"""#!/bin/sh
case $1 in
--help) echo '-m, --model FNAME  x'; echo '{flags or "--list-devices  print devices"}' ;;
--version) echo 'version: 8204 (7a99dc85e)' >&2; echo 'built with GNU 11.4.0' >&2 ;;
--list-devices) printf %s {listed}; {ending} ;;
esac
"""
    )
    path.chmod(0o755)
    return find_engine("binary", path)


def library(directory: Path, name: str, content: bytes = b"") -> Path:
    path = directory / name
    path.write_bytes(b"\x7fELF" + content)
    return path


def hip_program(directory: Path, *targets: str) -> Engine:
    """A HIP build with code for these GPU targets; without any it does not tell for which."""
    engine = program(directory, NO_DEVICE)
    library(directory, "libggml-hip.so", bundle(*amd(*targets)) if targets else b"")
    return engine


def cpu_program(directory: Path) -> Engine:
    """A CPU build."""
    engine = program(directory, EMPTY)
    library(directory, "libggml-cpu.so")
    return engine


def vulkan_program(directory: Path, devices: str = VULKAN) -> Engine:
    """A Vulkan build that sees these devices."""
    engine = program(directory, devices)
    library(directory, "libggml-vulkan.so")
    return engine


def broken(directory: Path, then: str) -> Path:
    """A llama-server that knows its flags, and on a start does ``then``, a line of shell."""
    path = directory / "llama-server"
    path.write_text(f"#!/bin/sh\n[ $1 = --help ] && echo '-m, --model x' && exit\n{then}\n")
    path.chmod(0o755)
    return path


def answering(directory: Path, health: str, flags: str = "", post: str = "reply(404)") -> Path:
    """A llama-server that loads nothing and answers; ``health`` is what it does with GET /health.

    That is a line of Python, in which ``reply(status, body)`` answers the request. ``post`` is one
    for whatever is sent to it, ``flags`` what it knows beside ``--model``.
    """
    path = directory / "llama-server"
    props = json.dumps({"total_slots": 1, "default_generation_settings": {"n_ctx": 64}})
    path.write_text(
        f"""#!{sys.executable}
import json, os, socketserver, sys, threading, time
from http.server import BaseHTTPRequestHandler
if sys.argv[1] == "--help":
    print("-m, --model x", *{flags.split()!r}, sep="\\n")
    sys.exit()
def send(handler, status, body):
    data = body.encode()
    head = b"HTTP/1.1 %d OK\\r\\nContent-Length: %d\\r\\n\\r\\n"
    handler.wfile.write(head % (status, len(data)) + data)
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        def reply(status, body="{{}}"):
            send(self, status, body)
        loading = json.dumps({{"error": {{"code": 503, "message": "Loading model"}}}})
        if self.path.startswith("/health"):
            {health}
        else:
            reply(200, {props!r})
    def do_POST(self):
        def reply(status, body="{{}}"):
            send(self, status, body)
        {post}
class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
Server(sys.argv[sys.argv.index("--host") + 1], Handler).serve_forever()
"""
    )
    path.chmod(0o755)
    return path


def bundle(*targets: str) -> bytes:
    """A HIP offload bundle (LLVM docs, ClangOffloadBundler)."""
    ids = [b"host-x86_64-unknown-linux-gnu-", *(f"hipv4-{t}".encode() for t in targets)]
    entries = b"".join(struct.pack("<QQQ", 4096, 512, len(i)) + i for i in ids)
    return b"__CLANG_OFFLOAD_BUNDLE__" + struct.pack("<Q", len(ids)) + entries + bytes(4096)


def amd(*names: str) -> list[str]:
    """Targets of a bundle, as clang names them."""
    return [f"amdgcn-amd-amdhsa--{name}" for name in names]
