"""Training conversations as token ids, in batches of a few fixed shapes.

Rows of like length go together, so little is padding; and as there are only a few shapes, PyTorch
can reuse its buffers and kernels.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from training.demo_model.chat_format import render
from training.demo_model.data.mix import training
from training.demo_model.data.sample import Sample

Ids = npt.NDArray[np.int32]
Marks = npt.NDArray[np.bool_]

LENGTHS = (*range(40, 128, 8), *range(128, 256, 16), *range(256, 512, 32), 512, 576, 640)
"""Row lengths; longer conversations are left out."""


@dataclass(frozen=True)
class Batch:
    """Rows of token ids, and which of them the model has to predict."""

    ids: Ids
    learn: Marks


def texts(seed: int, count: int) -> Iterator[str]:
    """Plain text of conversations, to train the tokenizer on."""
    for sample in islice(training(seed), count):
        pieces = render(sample.messages, sample.tools, sample.thinking)
        yield "".join(text for text, _ in pieces)


def encode(tokenizer: Tokenizer, samples: Sequence[Sample]) -> list[tuple[list[int], list[bool]]]:
    """Token ids of conversations, and for each id whether it is to be learned."""
    rows = [render(s.messages, s.tools, s.thinking) for s in samples]
    flat = [text for row in rows for text, _ in row]
    encoded = iter(tokenizer.encode_batch_fast(flat, add_special_tokens=False))
    out = []
    for row in rows:
        ids: list[int] = []
        learn: list[bool] = []
        for _, wanted in row:
            piece = next(encoded).ids
            ids += piece
            learn += [wanted] * len(piece)
        out.append((ids, learn))
    return out


def batches(
    tokenizer: Tokenizer, source: Iterator[Sample], count: int, size: int, *, seed: int
) -> list[Batch]:
    """``count`` batches of about ``size`` tokens each, in an order that the seed decides."""
    waiting: dict[int, list[tuple[list[int], list[bool]]]] = {n: [] for n in LENGTHS}
    made: list[Batch] = []
    while len(made) < count:
        for ids, learn in encode(tokenizer, list(islice(source, 2000))):
            length = next((n for n in LENGTHS if n >= len(ids)), None)
            if length is None:
                continue
            rows = waiting[length]
            rows.append((ids, learn))
            if len(rows) == size // length:
                made.append(_stack(rows, length))
                rows.clear()
    random.Random(seed).shuffle(made)
    return made[:count]


def _stack(rows: Sequence[tuple[list[int], list[bool]]], length: int) -> Batch:
    ids = np.zeros((len(rows), length), dtype=np.int32)
    learn = np.zeros((len(rows), length), dtype=np.bool_)
    for number, (row, wanted) in enumerate(rows):
        ids[number, : len(row)] = row
        learn[number, : len(row)] = wanted
    return Batch(ids, learn)
