"""Merge symbols into tokens, the best pair first; of equal ones the leftmost.

So do ``llm_tokenizer_bpe_session`` (the best pair is the first in the list of merges) and
``llm_tokenizer_spm_session`` (the pair that makes the token of the highest score) in llama.cpp's
``src/llama-vocab.cpp``. Pure.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from itertools import pairwise
from math import inf

# Returns the place of a pair, the least to merge first; infinite if it does not merge.
Rank = Callable[[str, str], float]
# Up to this length a scan of all pairs costs less than a queue.
_SHORT = 100


def merged(symbols: Sequence[str], rank: Rank) -> list[str]:
    """Return the symbols after every merge."""
    if len(symbols) > _SHORT:
        return _merged_by_queue(symbols, rank)
    found = list(symbols)
    ranks = [rank(left, right) for left, right in pairwise(found)]
    while ranks:
        best = min(ranks)
        if best == inf:
            break
        at = ranks.index(best)
        found[at : at + 2] = [found[at] + found[at + 1]]
        del ranks[at]
        if at < len(ranks):
            ranks[at] = rank(found[at], found[at + 1])
        if at:
            ranks[at - 1] = rank(found[at - 1], found[at])
    return found


def _merged_by_queue(symbols: Sequence[str], rank: Rank) -> list[str]:
    texts: list[str] = list(symbols)
    count = len(texts)
    following = [*range(1, count), -1]
    before = [*range(-1, count - 1)]
    pairs = (
        (rank(texts[at], texts[at + 1]), at, texts[at], texts[at + 1]) for at in range(count - 1)
    )
    queue = [pair for pair in pairs if pair[0] != inf]
    heapq.heapify(queue)

    def offer(left: int, right: int) -> None:
        if left >= 0 and right >= 0 and (place := rank(texts[left], texts[right])) != inf:
            heapq.heappush(queue, (place, left, texts[left], texts[right]))

    while queue:
        _, at, left, right = heapq.heappop(queue)
        other = following[at]
        if other < 0 or texts[at] != left or texts[other] != right:
            continue
        texts[at], texts[other] = left + right, ""
        following[at] = after = following[other]
        if after >= 0:
            before[after] = at
        offer(before[at], at)
        offer(at, after)
    return [text for text in texts if text]
