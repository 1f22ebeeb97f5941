"""Write lists in the forms that both engines enforce. Pure.

llama.cpp reads ``items`` or ``prefixItems``, takes the latter for a list of exactly that length,
and reads lengths only beside ``items`` (``visit`` in ``common/json-schema-to-grammar.cpp``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rocm_core.schema.keywords import TYPES
from rocm_core.schema.limits import REPEATS, TUPLE_LENGTHS
from rocm_core.schema.merge import Flat

if TYPE_CHECKING:
    from rocm_core.schema.normalize import Normalizer, Sent

_TOO_MANY = f"the engines refuse more than {REPEATS} repetitions"
_EMPTY = {"type": "array", "items": {"type": list(TYPES)}, "maxItems": 0}


def piece(run: Normalizer, flat: Flat, path: str) -> Sent | None:
    """Return what is sent for a list; ``None`` if it allows no value."""
    low, high = int(flat.get("minItems", 0)), flat.get("maxItems")
    high = None if high is None else int(high)
    if high is not None and low > high:
        return run.never(path, "minItems", "is more than maxItems")
    if flat.get("prefixItems"):
        return _with_prefix(run, flat, path, low, high)
    if "items" not in flat and not low and high is None:
        return {"type": "array"}
    if high == 0:
        return dict(_EMPTY)
    item = run.node(flat.get("items", True), f"{path}/items")
    if item is None:
        return None if low else dict(_EMPTY)
    return {"type": "array", "items": item, **_lengths(run, path, low, high)}


def _lengths(run: Normalizer, path: str, low: int, high: int | None) -> dict[str, int]:
    sent: dict[str, int] = {}
    if low > REPEATS:
        run.note(path, "minItems", _TOO_MANY)
        low = REPEATS
    if high is not None and high > REPEATS:
        run.note(path, "maxItems", _TOO_MANY)
        high = None
    if not run.spend(max(low, high or 0)):
        for keyword in ("minItems", "maxItems"):
            run.note(path, keyword, "the whole schema repeats too much for one grammar")
        return sent
    if low:
        sent["minItems"] = low
    if high is not None:
        sent["maxItems"] = high
    return sent


def _with_prefix(run: Normalizer, flat: Flat, path: str, low: int, high: int | None) -> Sent | None:
    prefix: list[Sent] = []
    for index, schema in enumerate(flat["prefixItems"]):
        item = run.node(schema, f"{path}/prefixItems/{index}")
        if item is None:
            high = index if high is None else min(high, index)
            break
        prefix.append(item)
    rest = flat.get("items", True)
    last = len(prefix)
    if high is None and rest is True:
        high = max(low, last)
        run.narrow(path, "prefixItems", f"lists of at most {high} items are written")
    tail = run.node(rest, f"{path}/items") if high is None or high > last else None
    if tail is None and (high is None or high > last):
        high = last
    if high is not None and low > high:
        return run.never(path, "minItems", f"is {low}, and only {high} items are possible")
    if "minItems" not in flat and high is not None and min(last, high) > 0:
        low = min(last, high)
        run.narrow(path, "prefixItems", f"lists of at least {low} items are written")
    if high is None or high - low >= TUPLE_LENGTHS or high > REPEATS:
        run.note(path, "prefixItems", "a grammar has positions only in lists of a known length")
        items = [*prefix, *([tail] if tail else [])]
        either: Any = {"anyOf": [item for at, item in enumerate(items) if item not in items[:at]]}
        if len(either["anyOf"]) == 1:
            either = either["anyOf"][0]
        return {"type": "array", "items": either, **_lengths(run, path, low, high)}
    lists = [_of_length(prefix, tail, length) for length in range(low, high + 1)]
    return lists[0] if len(lists) == 1 else {"anyOf": lists}


def _of_length(prefix: list[Sent], tail: Sent | None, length: int) -> Sent:
    if not length:
        return dict(_EMPTY)
    items = [*prefix[:length], *([tail] * (length - len(prefix)) if tail else [])]
    return {"type": "array", "prefixItems": items, "minItems": length, "maxItems": length}
