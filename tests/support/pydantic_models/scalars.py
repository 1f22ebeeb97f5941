"""One value of a simple type per field: booleans, text, enums, literals, dates, identifiers."""

from __future__ import annotations

import enum
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field


class Switch(BaseModel):
    """A switch."""

    on: bool


class Label(BaseModel):
    """Text without bounds."""

    text: str


class Mixed(BaseModel):
    """One field of each JSON type."""

    text: str
    count: int
    share: float
    done: bool
    nothing: None


class Maybe(BaseModel):
    """Values that may be null or missing."""

    name: str | None
    age: int | None = None
    note: str | None = Field(default=None, max_length=10)


class Defaults(BaseModel):
    """Every field has a default."""

    size: int = 3
    color: str = "red"
    tags: list[str] = Field(default_factory=list, max_length=2)


class Empty(BaseModel):
    """A class without fields."""


class Color(str, enum.Enum):
    RED = "red"
    DARK_BLUE = "dark blue"
    QUOTED = 'so "called"'


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 10


class Answer(enum.Enum):
    YES = "yes"
    COUNT = 3
    NONE = None


class Paint(BaseModel):
    """Enums of text and of numbers."""

    color: Color
    level: Level
    other: Color | None = None


class MixedEnum(BaseModel):
    """An enum whose values have different types."""

    answer: Answer


class Choice(BaseModel):
    """Literals of several types."""

    kind: Literal["brig", "sloop", 'a "b"', "back\\slash", "é ü"]
    version: Literal[1]
    either: Literal["x", 2, True, None]


class Days(BaseModel):
    """Dates and times."""

    day: date
    at: datetime
    clock: time


class Lasting(BaseModel):
    """A duration."""

    lasts: timedelta


class Identified(BaseModel):
    """A UUID."""

    id: UUID


class Price(BaseModel):
    """A decimal number; JSON has it as a number or as text."""

    amount: Decimal


class Bytes(BaseModel):
    """Binary data, as text."""

    data: bytes = Field(max_length=12)


class Anything(BaseModel):
    """A value of any type."""

    value: Any


class Described(BaseModel):
    """Fields with descriptions, examples and titles."""

    title: str = Field(title="The title", description='The "title" of it', examples=["A", "B"])
    description: int = Field(description="How many\nlines")
    default: bool = Field(default=True, deprecated=True)


MODELS = [
    Switch,
    Label,
    Mixed,
    Maybe,
    Defaults,
    Empty,
    Paint,
    MixedEnum,
    Choice,
    Days,
    Lasting,
    Identified,
    Price,
    Bytes,
    Anything,
    Described,
]
