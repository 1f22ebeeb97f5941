"""Warn once if an embedding model's tokenizer drops letters of the texts it gets.

The tokenizer of BERT-style models (WPM) in llama.cpp decomposes each character and keeps its first
letter alone (``llm_tokenizer_wpm_session`` in ``src/llama-vocab.cpp``): of a Hangul syllable the
first consonant, of an Indic or Thai syllable the consonant without its vowel sign, of a voiced kana
the unvoiced one. Different words get identical vectors. What the server's tokenizer does is asked
(``POST /tokenize``), once, when a text has such characters.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING
from weakref import WeakSet

from rocm_core.errors import RocmError
from rocm_core.threads import beside_loop

if TYPE_CHECKING:
    from rocm_core.model.text_model import TextModel

_HARMED = (
    "[\uac00-\ud7a3\u0900-\u0dff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
    "がぎぐげござじずぜぞだぢづでどばびぶべぼぱぴぷぺぽガギグゲゴザジズゼゾダヂヅデドバビブベボパピプペポ]"
)
# Pairs of different syllables that such a tokenizer takes for one another.
_PAIRS = ("한", "하", "कि", "का")

_asked: WeakSet[TextModel] = WeakSet()


def warn_of_lost_letters(model: TextModel, texts: Sequence[str]) -> None:
    """Warn, once for each model, if a text has characters that its tokenizer drops letters of."""
    if not _in_question(model, texts):
        return
    _asked.add(model)
    try:
        ids = model.tokenize_batch(_PAIRS)
    except RocmError:
        return  # no llama-server, or it ends: the embedding itself tells
    if ids[0] == ids[1] and ids[2] == ids[3]:
        warnings.warn(
            "the tokenizer of this embedding model keeps only the first letter of a Hangul "
            "syllable and drops vowel signs (Devanagari, Thai, …), so that different words get "
            "identical vectors. Use a model with another tokenizer (bge-m3, multilingual-e5, "
            "Qwen3-Embedding, …); docs/surprises.md has the scripts.",
            UserWarning,
            stacklevel=3,
        )


async def awarn_of_lost_letters(model: TextModel, texts: Sequence[str]) -> None:
    """``warn_of_lost_letters`` for asyncio."""
    if _in_question(model, texts):
        await beside_loop(warn_of_lost_letters, model, texts)


def _in_question(model: TextModel, texts: Sequence[str]) -> bool:
    if model in _asked:
        return False
    return any(not text.isascii() and re.search(_HARMED, text) for text in texts)
