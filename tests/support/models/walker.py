"""The walker: a model for tests that takes every next step by chance.

    from tests.support.models.walker import WALKER

What a grammar allows, it says sooner or later, so it shows what a grammar really allows. It is the
reciter with other weights: the scores of the next token never depend on the text. Quotes and
closing brackets are likelier than other characters, so that answers come to an end; bytes that
are no ASCII come only where a grammar allows nothing else, because random ones are no UTF-8.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

from tests.support.models import reciter

_UNWANTED: Final = -30.0
_SCORES: Final = (
    {"\n": -3.0, " ": -2.0, "\x7f": -1.0, "\\": -1.0, "{": -1.0, "[": -1.0}
    | {'"': 3.5, "}": 3.0, "]": 2.5, ",": 0.5, ":": 1.0}
    | dict.fromkeys("0123456789", 1.0)
)
_CONTROL: Final = -1.5
_END: Final = 2.5


def build(out: Path) -> None:
    """Write the model to ``out``."""
    import gguf
    import numpy as np

    scores = np.full(reciter.VOCABULARY_SIZE, _UNWANTED)
    scores[:0x20] = _CONTROL
    scores[0x20:0x80] = 0
    for character, score in _SCORES.items():
        scores[ord(character)] = score
    scores[reciter.END_ID] = _END
    embedding = np.zeros((reciter.VOCABULARY_SIZE, reciter.WIDTH), dtype=np.float16)
    embedding[:, 0] = 1
    head = np.zeros_like(embedding)
    head[:, 0] = scores / np.sqrt(reciter.WIDTH)
    writer = gguf.GGUFWriter(out, "llama")
    reciter.add_metadata(writer)
    reciter.add_tokenizer(writer)
    reciter.add_weights(writer, embedding, head)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _cached() -> Path:
    """Return the model's file, written by the first test that asks for it, as the reciter's is."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llama-rocm"
    sources = [Path(__file__), Path(reciter.__file__)]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    path = base / f"tests-{digest}" / "walker.gguf"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}.tmp")
        build(unfinished)
        unfinished.replace(path)
    return path


WALKER: Final = str(_cached())
"""The path of the file."""
