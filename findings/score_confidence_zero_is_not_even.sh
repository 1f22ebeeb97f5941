#!/usr/bin/env bash
# A decision model's answer to a score question has probabilities, and a confidence from 0 to 1. That
# of a choice is 0 if all options are equally likely. That of a score is 0 for many other answers.
#
#   expected   confidence 0: every level is as likely as any other
#   seen       confidence 0 with twice the probability of an even spread on one level: the mean distance
#              from the likeliest level is divided by that of an even spread around the middle, so an
#              answer at either end of the scale has to be much surer for the same confidence
#
# Versions: xllamacpp 2026.10.11549 (llama.cpp b11549), decision_confidence_score in
# tools/server/server-decision.cpp.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet xllamacpp==2026.10.11549 gguf==0.19.0 httpx==0.28.1
"$work/venv/bin/python" "$here/support/decision_model.py" "$work/model.gguf" 0.2
PYTHONPATH="$here/support" "$work/venv/bin/python" - "$work/model.gguf" 2>/dev/null <<'PY'
import os
import string
import sys

from embedded_server import EmbeddedServer

server = EmbeddedServer(sys.argv[1])
question = {"type": "score", "instructions": "How much?", "criteria": ["a", "b", "c", "d"]}
found = None
for state in string.printable.strip():
    body = {"state": state, "questions": {"q": question}}
    answer = server.post("/v1/systemone", body)["answers"]["q"]
    best = max(answer["probabilities"].values())
    if answer["confidence"] == 0 and best > (found or (0,))[0]:
        found = best, answer
print(f"an even spread is 0.25 each; seen: {found}", flush=True)
seen = found is not None and found[0] > 0.5
print("as described" if seen else "the behavior has changed", flush=True)
os._exit(0 if seen else 1)
PY
