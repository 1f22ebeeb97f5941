"""The decider: a decision model for tests whose probabilities are known.

    from tests.support.models.decider import DECIDER, probabilities

It is the reciter with three more keys and other weights: the scores of the next token never depend
on the text, and those of the labels A, B, C, … fall by ``STEP``, so every question with n options
has the probabilities ``probabilities(n)``, in the order in which the server shows the options.
"""

from __future__ import annotations

import hashlib
import math
import os
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase
from typing import Final

from tests.support.models import reciter

STEP: Final = 0.5
LABELS: Final = ascii_uppercase + ascii_lowercase
TYPE: Final = "openjev"
TEMPLATE: Final = """\
{{ state if state is string else state | tojson }}
{{ instructions if instructions is string else instructions | tojson }}
{% for option in options %}{{ option.key }}: {{ option.description }}
{% endfor %}Answer: """


def probabilities(count: int) -> list[float]:
    """Return the probabilities of a question with so many options, in their order."""
    weights = [math.exp(-STEP * place) for place in range(count)]
    return [weight / sum(weights) for weight in weights]


def build(out: Path, kind: str | None = TYPE, template: str | None = TEMPLATE) -> None:
    """Write the model to ``out``.

    Args:
        out: the file.
        kind: its ``decision.type``; ``None``: an ordinary model with the same weights.
        template: its template for decisions.
    """
    import gguf
    import numpy as np

    scores = np.full(reciter.VOCABULARY_SIZE, -30.0)
    for place, label in enumerate(LABELS):
        scores[ord(label)] = 5 - STEP * place
    rows = np.zeros((reciter.VOCABULARY_SIZE, reciter.WIDTH), dtype=np.float16)
    rows[:, 0] = 1
    head = np.zeros_like(rows)
    head[:, 0] = scores / np.sqrt(reciter.WIDTH)
    writer = gguf.GGUFWriter(out, "llama")
    reciter.add_metadata(writer)
    reciter.add_tokenizer(writer)
    reciter.add_weights(writer, rows, head)
    if kind is not None:
        writer.add_string("llama.decision.type", kind)
        writer.add_array("tokenizer.chat_templates", ["systemone"])
        writer.add_string("tokenizer.chat_template.systemone", template or "")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _cached(name: str, kind: str | None) -> str:
    """Return the model's file, written by the first test that asks for it, as the reciter's is."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llama-rocm"
    sources = [Path(__file__), Path(reciter.__file__)]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    path = base / f"tests-{digest}" / f"{name}.gguf"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}.tmp")
        build(unfinished, kind)
        unfinished.replace(path)
    return str(path)


DECIDER: Final = _cached("decider", TYPE)
"""The path of the decision model."""

UNDECIDED: Final = _cached("undecided", None)
"""The path of an ordinary model with the same weights: a label is its likeliest token."""
