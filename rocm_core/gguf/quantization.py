"""Tables of llama.cpp's quantizations.

Sources: ``enum llama_ftype`` in llama.cpp ``include/llama.h`` (key ``general.file_type``), and
``enum ggml_type`` in ``ggml/include/ggml.h`` with block sizes from ``ggml/src/ggml.c``. Numbers
that llama.cpp has removed stay in the tables, because old files have them.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

FILE_TYPES = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    4: "Q4_1_SOME_F16",
    5: "Q4_2",
    6: "Q4_3",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
    33: "Q4_0_4_4",
    34: "Q4_0_4_8",
    35: "Q4_0_8_8",
    36: "TQ1_0",
    37: "TQ2_0",
    38: "MXFP4_MOE",
    39: "NVFP4",
    40: "Q1_0",
    41: "Q2_0",
}

# ggml type number: (name, elements per block, bytes per block)
TENSOR_TYPES = {
    0: ("f32", 1, 4),
    1: ("f16", 1, 2),
    2: ("q4_0", 32, 18),
    3: ("q4_1", 32, 20),
    6: ("q5_0", 32, 22),
    7: ("q5_1", 32, 24),
    8: ("q8_0", 32, 34),
    9: ("q8_1", 32, 40),
    10: ("q2_K", 256, 84),
    11: ("q3_K", 256, 110),
    12: ("q4_K", 256, 144),
    13: ("q5_K", 256, 176),
    14: ("q6_K", 256, 210),
    15: ("q8_K", 256, 292),
    16: ("iq2_xxs", 256, 66),
    17: ("iq2_xs", 256, 74),
    18: ("iq3_xxs", 256, 98),
    19: ("iq1_s", 256, 50),
    20: ("iq4_nl", 32, 18),
    21: ("iq3_s", 256, 110),
    22: ("iq2_s", 256, 82),
    23: ("iq4_xs", 256, 136),
    24: ("i8", 1, 1),
    25: ("i16", 1, 2),
    26: ("i32", 1, 4),
    27: ("i64", 1, 8),
    28: ("f64", 1, 8),
    29: ("iq1_m", 256, 56),
    30: ("bf16", 1, 2),
    34: ("tq1_0", 256, 54),
    35: ("tq2_0", 256, 66),
    39: ("mxfp4", 32, 17),
    40: ("nvfp4", 64, 36),
    41: ("q1_0", 128, 18),
}
# llama-server's --cache-type-k and -v (common/arg.cpp).
CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")
_BLOCKS = {name: (elements, size) for name, elements, size in TENSOR_TYPES.values()}


def tensor_bytes(kind: int, shape: Sequence[int]) -> int | None:
    """Return the bytes of a tensor's data, whole blocks counted.

    Args:
        kind: ggml's type number.
        shape: elements per dimension.

    Returns:
        ``None`` for a type that is not in ``TENSOR_TYPES``.
    """
    known = TENSOR_TYPES.get(kind)
    return None if known is None else -(-prod(shape) // known[1]) * known[2]


def row_bytes(name: str, elements: int) -> int:
    """Return the bytes of a row of ``elements`` values of the ggml type ``name`` (``q8_0``, …).

    Raises:
        KeyError: no type has that name.
    """
    per_block, size = _BLOCKS[name]
    return -(-elements // per_block) * size
