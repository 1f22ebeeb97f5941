"""A LoRA adapter for the reciter: with it the recital begins with another piece.

    build(path)                       the answer begins at ``PIECES[START]``
    load_model(RECITER, lora=[path])

An adapter adds ``scale · alpha / rank · B·A`` to a weight. Here the rank is 1, and the product has
one entry: in the output head, at the row of that piece and the column that means "start the text".
At scale 1 it scores twice what the first piece does: below a scale of 1/2 nothing changes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import gguf
import numpy as np

from tests.support.models.reciter import (
    ANSWER,
    FIRST_PIECE_ID,
    NEXT,
    PIECES,
    VOCABULARY_SIZE,
    WIDTH,
)

START: Final = 11
ADAPTED: Final = ANSWER[len("".join(PIECES[:START])) :]


def build(path: Path) -> Path:
    """Write the adapter; return its path."""
    before, after = np.zeros((1, WIDTH), np.float32), np.zeros((VOCABULARY_SIZE, 1), np.float32)
    before[0, 0] = 1
    after[FIRST_PIECE_ID + START, 0] = 2 * NEXT / np.sqrt(WIDTH)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 1)
    writer.add_tensor("output.weight.lora_a", before)
    writer.add_tensor("output.weight.lora_b", after)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
