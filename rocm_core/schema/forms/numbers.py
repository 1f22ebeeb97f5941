"""Bounds of numbers in the form that llama.cpp's grammar keeps. Pure.

Of one-sided bounds the grammar keeps those that have a single digit; of others it compares the
leading digits only (``build_min_max_int`` in ``common/json-schema-to-grammar.cpp``). It keeps every
range with two bounds. It reads ``exclusiveMinimum`` only without ``minimum``, and a fraction as
the integer before it. So an exclusive or fractional bound becomes an inclusive integer, and the
other bound is added where it is needed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any

from rocm_core.schema.limits import DIGITS, LARGEST, MULTIPLES

LOWER = ("minimum", "exclusiveMinimum")
UPPER = ("maximum", "exclusiveMaximum")


@dataclass(slots=True)
class Numbers:
    """What becomes of a number's bounds.

    Attributes:
        sent: keywords for the engine.
        values: all allowed values, if they are few; else ``None``.
        unenforced: keywords that the engine does not keep, each with the reason.
        narrowed: keywords that the sent form tightens, each with the reason.
        empty: whether no number is allowed.
    """

    sent: dict[str, Any] = field(default_factory=dict)
    values: list[int] | None = None
    unenforced: dict[str, str] = field(default_factory=dict)
    narrowed: dict[str, str] = field(default_factory=dict)
    empty: bool = False


def integer_bounds(schema: Mapping[str, Any]) -> Numbers:
    """Return the bounds of an integer as the engine keeps them, at most 12 digits each."""
    found = Numbers()
    low, low_keyword = _tightest(schema, LOWER)
    high, high_keyword = _tightest(schema, UPPER)
    if low is not None and high is not None and low > high:
        found.empty = True
        return found
    step = _step(schema)
    if step and low is not None and high is not None and high // step - (low - 1) // step == 0:
        found.empty = True
        return found
    if step and low is not None and high is not None and _few(low, high, step):
        found.values = list(range(-(-low // step) * step, high + 1, step))
        return found
    if "multipleOf" in schema and step != 1:
        _steps(schema, found)
    low = _within(low, low_keyword, found)
    high = _within(high, high_keyword, found)
    if low is not None and low > 9 and high is None:
        high = LARGEST
        found.narrowed[low_keyword] = f"at most {LARGEST} is written: a lower bound needs an upper"
    if high is not None and high < 0 and low is None:
        low = -LARGEST
        found.narrowed[high_keyword] = f"at least {low} is written: an upper bound needs a lower"
    bounds = {"minimum": low, "maximum": high}
    found.sent |= {name: value for name, value in bounds.items() if value is not None}
    return found


def float_bounds(schema: Mapping[str, Any]) -> Numbers:
    """Return the bounds of a number that may have a fraction; llama.cpp's grammar ignores them."""
    found = Numbers()
    low, high = _edge(schema, LOWER, max), _edge(schema, UPPER, min)
    if low and high:
        found.empty = low[0] > high[0] or (low[0] == high[0] and (low[1] or high[1]))
    for keyword in (*LOWER, *UPPER):
        if keyword in schema:
            found.unenforced[keyword] = "the grammar of a number with a fraction has no bounds"
            if _is_short(schema[keyword]):
                found.sent[keyword] = schema[keyword]
    if "multipleOf" in schema:
        _steps(schema, found)
    return found


def _steps(schema: Mapping[str, Any], found: Numbers) -> None:
    """Send the steps: llama.cpp ignores them, and LLGuidance keeps them."""
    found.unenforced["multipleOf"] = "llama.cpp's grammar cannot count in steps"
    if _is_short(schema["multipleOf"]):
        found.sent["multipleOf"] = schema["multipleOf"]


def _is_short(number: float) -> bool:
    """Return whether a number has at most 12 digits on either side of its point."""
    exponent = Decimal(repr(number)).as_tuple().exponent
    return abs(number) <= LARGEST and isinstance(exponent, int) and exponent >= -DIGITS


def _edge(schema: Mapping[str, Any], keywords: tuple[str, str], pick: Any) -> Any:
    """Return the tightest bound and whether it is exclusive; ``None`` without one."""
    given = [schema[keyword] for keyword in keywords if keyword in schema]
    if not given:
        return None
    tightest = pick(given)
    return tightest, schema.get(keywords[1]) == tightest


def _tightest(schema: Mapping[str, Any], keywords: tuple[str, str]) -> tuple[int | None, str]:
    """Return the tighter one of an inclusive and an exclusive bound, as an inclusive integer."""
    inclusive, exclusive = keywords
    lower = keywords is LOWER
    whole = math.ceil if lower else math.floor
    found: list[tuple[int, str]] = []
    if inclusive in schema:
        found.append((whole(schema[inclusive]), inclusive))
    if exclusive in schema:
        other = math.floor if lower else math.ceil
        found.append((other(schema[exclusive]) + (1 if lower else -1), exclusive))
    if not found:
        return None, ""
    return max(found) if lower else min(found)


def _within(bound: int | None, keyword: str, found: Numbers) -> int | None:
    if bound is None or abs(bound) <= LARGEST:
        return bound
    found.unenforced[keyword] = f"a bound of more than {DIGITS} digits is not sent"
    return None


def _step(schema: Mapping[str, Any]) -> int:
    """Return the integer step of ``multipleOf``; 0 without one.

    Integers that are multiples of p/q in lowest terms are the multiples of p.
    """
    return abs(Fraction(str(schema["multipleOf"])).numerator) if "multipleOf" in schema else 0


def _few(low: int, high: int, step: int) -> bool:
    return step > 1 and high // step - (low - 1) // step <= MULTIPLES
