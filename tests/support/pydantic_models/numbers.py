"""Numbers with bounds: of either sign, of one or two sides, whole and fractional."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, Field, NonNegativeInt, PositiveFloat, confloat, conint


class FromZero(BaseModel):
    """A lower bound of zero."""

    count: NonNegativeInt


class Percent(BaseModel):
    """Both bounds."""

    value: int = Field(ge=0, le=100)


class Year(BaseModel):
    """A lower bound with trailing zeros and an upper one."""

    year: int = Field(ge=2000, le=2100)


class AtLeast(BaseModel):
    """A lower bound alone, with trailing zeros."""

    meters: int = Field(ge=2000)


class Depth(BaseModel):
    """A negative upper bound alone."""

    meters: int = Field(le=-5)


class Celsius(BaseModel):
    """Bounds of both signs."""

    degrees: int = Field(ge=-40, le=50)


class Open(BaseModel):
    """Bounds that are no part of the range."""

    value: int = Field(gt=0, lt=10)


class OpenBelow(BaseModel):
    """One bound of each kind."""

    value: int = Field(gt=99, le=1000)


class TwoLower(BaseModel):
    """Two lower bounds."""

    value: Annotated[int, Field(ge=3), Field(gt=7)]


class OneValue(BaseModel):
    """A range of one number."""

    value: int = Field(ge=7, le=7)


class Dozens(BaseModel):
    """A multiple."""

    eggs: int = Field(multiple_of=12, ge=0, le=144)


class Ratio(BaseModel):
    """A fraction with both bounds."""

    share: float = Field(ge=0.0, le=1.0)


class Positive(BaseModel):
    """A fraction above zero."""

    weight: PositiveFloat


class Small(BaseModel):
    """A range between two whole numbers."""

    value: float = Field(gt=0.25, lt=0.75)


class Halves(BaseModel):
    """Multiples of a fraction."""

    value: float = Field(multiple_of=0.5, ge=0, le=10)


class Money(BaseModel):
    """A decimal number with digits and bounds."""

    price: Decimal = Field(max_digits=6, decimal_places=2, ge=0, le=1000)


class Finite(BaseModel):
    """A float that is neither infinite nor no number."""

    value: float = Field(allow_inf_nan=False)


class Constrained(BaseModel):
    """Bounds by pydantic's functions."""

    whole: conint(ge=1, le=6)  # type: ignore[valid-type]
    part: confloat(ge=-1, le=1)  # type: ignore[valid-type]


class Dice(BaseModel):
    """Bounds on the items of a list."""

    rolls: list[Annotated[int, Field(ge=1, le=6)]] = Field(min_length=2, max_length=4)


MODELS = [
    FromZero,
    Percent,
    Year,
    AtLeast,
    Depth,
    Celsius,
    Open,
    OpenBelow,
    TwoLower,
    OneValue,
    Dozens,
    Ratio,
    Positive,
    Small,
    Halves,
    Money,
    Finite,
    Constrained,
    Dice,
]
