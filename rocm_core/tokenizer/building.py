"""Build the tokenizer of a vocabulary, of every kind that is known here. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rocm_core.gguf.vocabulary import Vocabulary
from rocm_core.tokenizer.matching_models import unigrams, word_pieces
from rocm_core.tokenizer.merging_models import SPACE, byte_pairs, sentence_pieces
from rocm_core.tokenizer.special import Partition, Unsupported, effective_types, special_tokens
from rocm_core.tokenizer.splits import KINDS

# Ids of the tokens of beginning, end, unknown and separator that llama.cpp assumes.
_IDS: dict[str, tuple[int | None, int | None, int | None, int | None]] = {
    "llama": (1, 2, 0, None),
    "bert": (101, None, 100, 102),
    "gpt2": (11, 11, None, None),
    "gemma4": (None, None, None, None),
    "t5": (None, 1, 2, None),
}
_NAMES = ("bos", "eos", "unknown", "seperator")
_Encode = Callable[[str], list[int]]


class Tokenizer:
    """Turns texts into the token ids that llama.cpp makes of them. Thread-safe.

    Attributes:
        specials: texts of the special tokens.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        """Build it: some 0.2 s of CPU time for 150,000 tokens.

        Raises:
            Unsupported: the vocabulary is of no kind that is known here.
        """
        self._model = str(vocabulary.get("model", ""))
        if self._model not in _IDS:
            raise Unsupported(f"tokenizer.ggml.model={self._model!r} is not known")
        ids = {text or f"[EMPTY_{at}]": at for at, text in enumerate(vocabulary.tokens)}
        if not ids or len(ids) != len(vocabulary.tokens):
            raise Unsupported("the header has no tokens, or the same one twice")
        types = effective_types(vocabulary, ids)
        specials = special_tokens(vocabulary, ids, types)
        self.specials = tuple(specials)
        self._partition = Partition(specials)
        self._encode = self._of_kind(vocabulary, ids, types)

    def _of_kind(self, vocabulary: Vocabulary, ids: Mapping[str, int], types: list[int]) -> _Encode:
        begin, end, unknown, separator = self._known_ids(vocabulary)
        self._prefix = False
        add_begin, add_end, encode = False, False, None
        if self._model in ("gpt2", "gemma4"):
            pre = "gemma4" if self._model == "gemma4" else str(vocabulary.get("pre", ""))
            kind = KINDS.get(pre)
            if kind is None:
                raise Unsupported(f"tokenizer.ggml.pre={pre!r} is not known")
            add_begin, encode = kind.begin, byte_pairs(vocabulary, ids, kind)
            forced = pre == "gemma4"
        elif self._model == "llama":
            self._prefix = bool(vocabulary.get("add_space_prefix", True))
            add_begin, forced, encode = True, False, sentence_pieces(vocabulary, ids)
        elif self._model == "bert":
            add_begin, end = True, separator
            encode = word_pieces(vocabulary, ids, _given(unknown))
            forced = True
        else:
            add_end, forced = True, False
            encode = unigrams(vocabulary, ids, types, _given(unknown))
        add_begin = forced or bool(vocabulary.get("add_bos_token", add_begin))
        add_end = self._model == "bert" or bool(vocabulary.get("add_eos_token", add_end))
        self._begin = [_given(begin)] if add_begin else []
        self._end = [_given(end)] if add_end else []
        return encode

    def _known_ids(self, vocabulary: Vocabulary) -> list[int | None]:
        found: list[int | None] = []
        for name, default in zip(_NAMES, _IDS[self._model], strict=True):
            given = vocabulary.get(f"{name}_token_id")
            count = len(vocabulary.tokens)
            valid = type(given) is int and given < count
            found.append(given if valid else default if (default or 0) < count else None)
        return found

    def __call__(self, text: str, *, add_special: bool = False) -> list[int]:
        """Return the token ids of a text; special tokens in it count as such.

        Args:
            text: any text that UTF-8 can spell.
            add_special: put the tokens around it that the model has before and after each text.
        """
        found = [*self._begin] if add_special else []
        after_special = True
        for part in self._partition(text):
            if isinstance(part, int):
                found.append(part)
                after_special = True
                continue
            found += self._encode(SPACE + part if self._prefix and after_special else part)
            after_special = False
        return found + self._end if add_special else found


def _given(id_: int | None) -> int:
    if id_ is None:
        raise Unsupported("a token that is needed is not named")
    return id_
