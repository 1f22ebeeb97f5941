"""Special tokens: which ones a text is cut at, and how llama.cpp cuts it.

Sources: ``llama_vocab::impl::load`` and ``tokenizer_st_partition`` in llama.cpp's
``src/llama-vocab.cpp``. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from rocm_core.gguf.vocabulary import Vocabulary

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
# Their types are overridden whatever the file says.
_END_TEXTS = (
    "<|eot_id|> <|im_end|> <|end|> <|return|> <|call|> <|flush|> <|calls|> <end_of_turn> "
    "<|endoftext|> </s> <|eom_id|> <EOT> _<EOT> [EOT] [EOS] <|end_of_text|> <end_of_utterance> "
    "<eos> <turn|> <|tool_response> <\uff5cend▁of▁sentence\uff5c> [e~["
)
_ENDS = frozenset(_END_TEXTS.split())
_SHOWN = frozenset(("<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"))
_INFILL = {
    (
        "fim_pre",
        "prefix",
    ): "<|fim_prefix|> <fim-prefix> <fim_prefix> <\uff5cfim▁begin\uff5c> <PRE> ▁<PRE> "
    "<|code_prefix|> <|prefix|>",
    (
        "fim_suf",
        "suffix",
    ): "<|fim_suffix|> <fim-suffix> <fim_suffix> <\uff5cfim▁hole\uff5c> <SUF> ▁<SUF> "
    "<|code_suffix|> <|suffix|>",
    (
        "fim_mid",
        "middle",
    ): "<|fim_middle|> <fim-middle> <fim_middle> <\uff5cfim▁end\uff5c> <MID> ▁<MID> "
    "<|code_middle|> <|middle|>",
    ("fim_pad",): "<|fim_pad|> <fim-pad> <fim_pad> <PAD> [PAD]",
    ("fim_rep",): "<|fim_repo|> <|repo_name|> <fim-repo> <REPO> <reponame>",
    ("fim_sep",): "<|file_sep|>",
}
# isspace(3) of the C locale.
_SPACES = " \t\n\v\f\r"
_PHI_3 = ("phi-3", "phi3")


class Unsupported(Exception):
    """This vocabulary is none that is tokenized here; says why."""


class Special(NamedTuple):
    """One special token; whether white space before and after it is dropped."""

    id: int
    strip_left: bool = False
    strip_right: bool = False


def effective_types(vocabulary: Vocabulary, ids: Mapping[str, int]) -> list[int]:
    """Return the type of each token, as llama.cpp has it after its corrections.

    Args:
        vocabulary: of the header.
        ids: text → id.

    Raises:
        Unsupported: the order of a hash table decides, which is not known here.
    """
    count = len(vocabulary.tokens)
    types = [*vocabulary.types[:count]] or [NORMAL] * count
    if len(types) < count:
        raise Unsupported("the header has fewer types than tokens")
    special = (CONTROL, USER_DEFINED, UNKNOWN)
    for names, texts in _INFILL.items():
        given = [vocabulary.get(f"{name}_token_id") for name in names]
        if any(type(id_) is int and id_ < count for id_ in given):
            continue
        found = [ids[text] for text in texts.split() if text in ids]
        if len(found) > 1 and any(types[id_] not in special for id_ in found):
            raise Unsupported(f"several tokens may be {names[0]}")
        for id_ in found:
            types[id_] = CONTROL
    _correct_ends(types, ids)
    return types


def _correct_ends(types: list[int], ids: Mapping[str, int]) -> None:
    for text in _ENDS & ids.keys():
        types[ids[text]] = CONTROL
    for text in _SHOWN & ids.keys():
        types[ids[text]] = USER_DEFINED
    calls, ends = {"<|call|>", "<|calls|>"}, {"<|return|>", "<|flush|>"}
    if "<|end|>" in ids and calls & ids.keys() and ends & ids.keys():
        types[ids["<|end|>"]] = USER_DEFINED
    if "</s>" in ids and {"<|tool_response>", "<|plamo:eos|>"} & ids.keys():
        types[ids["</s>"]] = NORMAL


def special_tokens(
    vocabulary: Vocabulary, ids: Mapping[str, int], types: list[int]
) -> dict[str, Special]:
    """Return the tokens that a text is cut at, by text."""
    kinds = (CONTROL, USER_DEFINED, UNKNOWN)
    found = {text: Special(id_) for text, id_ in ids.items() if types[id_] in kinds}
    name = str(vocabulary.keys.get("general.name") or "").lower()
    architecture = str(vocabulary.keys.get("general.architecture") or "")
    pre = str(vocabulary.get("pre") or "")
    left = any(part in pre for part in ("jina-v2-de", "jina-v2-es", "jina-v2-code"))
    if left or any(part in architecture for part in ("nomic-bert-moe", "jina-bert-v3")):
        if "<mask>" in found:
            found["<mask>"] = found["<mask>"]._replace(strip_left=True)
    elif any(part in name for part in _PHI_3):
        kept = ("<unk>", "<s>", "<|endoftext|>")
        found = {t: s._replace(strip_right=t not in kept) for t, s in found.items()}
    elif "modern-bert" in name and "[MASK]" in found:
        found["[MASK]"] = found["[MASK]"]._replace(strip_left=True)
    return found


def _overlap(specials: Mapping[str, Special]) -> bool:
    """Return whether two tokens may lie across each other in a text.

    Raises:
        Unsupported: the order in which llama.cpp looks for them is not known, or changes what white
            space is dropped.
    """
    strips = any(special.strip_left or special.strip_right for special in specials.values())
    beginnings: dict[str, set[str]] = {}
    for text in specials:
        if strips and set(text) & set(_SPACES):
            raise Unsupported(
                "white space beside special tokens is dropped, and one is white space"
            )
        for length in range(1, len(text)):
            beginnings.setdefault(text[:length], set()).add(text)
    overlap = False
    for text in specials:
        for start in range(1, len(text)):
            for other in beginnings.get(text[start:], ()):
                # Runs of one character are found from the left, the longest first, either way.
                if len(set(text + other)) == 1:
                    continue
                if strips or len(text.encode()) == len(other.encode()):
                    raise Unsupported(f"the special tokens {text!r} and {other!r} may overlap")
                overlap = True
    return overlap


class Partition:
    """Cuts texts at special tokens.

    llama.cpp looks for one token after the other, the longest first. Where no two can overlap, it
    is the same to look for all of them at once, from the left.
    """

    def __init__(self, specials: Mapping[str, Special]) -> None:
        """Take the special tokens, by text.

        Raises:
            Unsupported: two may lie across each other in a text, and which one is found first is
                not known.
        """
        self._specials = specials
        by_length = sorted(specials, key=lambda text: len(text.encode()), reverse=True)
        self._in_turn = by_length if _overlap(specials) else None
        self._lengths: dict[str, list[int]] = {}
        for text in by_length:
            lengths = self._lengths.setdefault(text[0], [])
            if len(text) not in lengths:
                lengths.append(len(text))
        for lengths in self._lengths.values():
            lengths.sort(reverse=True)
        heads = sorted({text[:3] for text in specials}, key=len, reverse=True)
        self._heads = re.compile("|".join(map(re.escape, heads)) or "(?!)")

    def __call__(self, text: str) -> Iterable[str | int]:
        """Return the parts of ``text``: ids of special tokens, and the texts between them."""
        if self._heads.search(text) is None:
            return (text,) if text else ()
        return self._at_once(text) if self._in_turn is None else self._one_by_one(text)

    def _one_by_one(self, text: str) -> list[str | int]:
        parts: list[str | int] = [text]
        for special in self._in_turn or ():
            if special not in text:
                continue
            id_, before, parts = self._specials[special].id, parts, []
            for part in before:
                if isinstance(part, int):
                    parts.append(part)
                    continue
                for number, between in enumerate(part.split(special)):
                    parts += [id_] * bool(number) + [between] * bool(between)
        return parts

    def _at_once(self, text: str) -> Iterator[str | int]:
        start, strip = 0, False
        for place, end, special in self._found(text):
            between = text[start:place]
            if strip:
                between = between.lstrip(_SPACES)
            if special.strip_left:
                between = between.rstrip(_SPACES)
            if between:
                yield between
            yield special.id
            start, strip = end, special.strip_right
        rest = text[start:].lstrip(_SPACES) if strip else text[start:]
        if rest:
            yield rest

    def _found(self, text: str) -> Iterator[tuple[int, int, Special]]:
        at = 0
        while match := self._heads.search(text, at):
            at = match.start()
            for length in self._lengths[text[at]]:
                special = self._specials.get(text[at : at + length])
                if special is not None:
                    yield at, at + length, special
                    at += length
                    break
            else:
                at += 1
