"""Lists, tuples, sets and maps."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field


class Point(BaseModel):
    x: int
    y: int


class Tags(BaseModel):
    """A list with bounds."""

    tags: list[str] = Field(min_length=1, max_length=3)


class Numbers(BaseModel):
    """A list without bounds."""

    numbers: list[int]


class Grid(BaseModel):
    """A list of lists."""

    rows: list[list[bool]] = Field(max_length=3)


class Path(BaseModel):
    """A list of objects."""

    points: list[Point] = Field(min_length=2, max_length=3)


class Pair(BaseModel):
    """A tuple of two types."""

    pair: tuple[str, int]


class Triple(BaseModel):
    """A tuple of any length and one type."""

    values: tuple[float, ...] = Field(max_length=4)


class Coordinates(NamedTuple):
    north: float
    east: float


class Town(BaseModel):
    """A named tuple."""

    at: Coordinates


class Unique(BaseModel):
    """A set: no item twice."""

    letters: set[Literal["a", "b", "c", "d"]] = Field(min_length=1, max_length=3)


class Frozen(BaseModel):
    """A frozen set of numbers."""

    numbers: frozenset[int] = Field(max_length=3)


class Fixed(BaseModel):
    """A list of one length."""

    bits: list[Annotated[int, Field(ge=0, le=1)]] = Field(min_length=3, max_length=3)


class Scores(BaseModel):
    """A map from text to numbers."""

    scores: dict[str, int] = Field(max_length=2)


class ByKind(BaseModel):
    """A map whose keys are literals."""

    counts: dict[Literal["in", "out"], int]


class ByNumber(BaseModel):
    """A map whose keys are numbers."""

    names: dict[int, str] = Field(max_length=2)


class AtLeastOne(BaseModel):
    """A map that must have an entry."""

    names: dict[str, bool] = Field(min_length=1, max_length=2)


class Points(BaseModel):
    """A map of objects."""

    points: dict[str, Point] = Field(max_length=2)


class Loose(BaseModel):
    """A map of anything."""

    data: dict[str, Any] = Field(max_length=2)


class Extra(BaseModel):
    """A class that keeps further fields."""

    model_config = ConfigDict(extra="allow")
    name: str


class TypedExtra(BaseModel):
    """A class whose further fields have a type."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, int] = Field(init=False)
    name: str


class Closed(BaseModel):
    """A class that refuses further fields."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(max_length=10)
    size: int


MODELS = [
    Tags,
    Numbers,
    Grid,
    Path,
    Pair,
    Triple,
    Town,
    Unique,
    Frozen,
    Fixed,
    Scores,
    ByKind,
    ByNumber,
    AtLeastOne,
    Points,
    Loose,
    Extra,
    TypedExtra,
    Closed,
]
