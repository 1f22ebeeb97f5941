"""Say which of several texts a server has refused, in the error that it sent.

llama-server refuses a request for one bad text in it and does not say which. It is found by its
length in tokens, which takes one more request, or by being empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rocm_core.client import Call, Steps, calls
from rocm_core.errors import ContextOverflow, InvalidRequest, RocmError
from rocm_core.requests import named


def naming(call: Call[Any], error: InvalidRequest) -> Steps[None]:
    """Put the refused text's index and beginning in front of the error's message, if known."""
    if isinstance(error, ContextOverflow):
        index = 0
        if len(call.texts) > 1:
            try:
                ids = yield calls.tokenize_batch(call.texts)
            except RocmError:
                return  # the server that refused has no such endpoint, or is gone
            index = longest(list(map(len, ids)), error.n_prompt_tokens)
        where = named(call.texts, index, call.name, call.first)
        _prefix(error, f"{where} is refused: {error}")
    elif "empty" in str(error) and "" in call.texts:
        where = f"{call.name}[{call.texts.index('') + call.first}]"
        _prefix(error, f"{where} is empty, and so no token for this model: leave it out. {error}")


def _prefix(error: InvalidRequest, message: str) -> None:
    error.args = (message, *error.args[1:])


def longest(counts: Sequence[int], refused: int | None) -> int:
    """Return the index of the text that was refused for its length.

    Args:
        counts: tokens of each text, without special tokens and, in reranking, without the query.
        refused: tokens of the refused one with them; ``None`` if the server did not say.
    """
    fitting = [n for n in counts if refused is None or n <= refused]
    return counts.index(max(fitting or counts))
