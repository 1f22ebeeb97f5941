"""TypedDicts, dataclasses and enums, which are no pydantic classes."""

from __future__ import annotations

import dataclasses
import enum
from datetime import date
from typing import Annotated, Optional

from pydantic import Field
from pydantic.dataclasses import dataclass as pydantic_dataclass
from typing_extensions import NotRequired, Required, TypedDict

TAGS = Annotated[list[str], Field(max_length=2)]


class Harbor(TypedDict):
    """A harbor."""

    piers: int
    open: bool


class Sparse(TypedDict):
    """Keys that may be missing or null."""

    name: str
    owner: Optional[str]  # noqa: UP045
    depth: NotRequired[int]
    note: NotRequired[str | None]


class Partial(TypedDict, total=False):
    """All keys but one may be missing."""

    id: Required[int]
    name: str


class Joke(TypedDict):
    """LangChain's way to write defaults and descriptions."""

    setup: Annotated[str, ..., "The first line"]
    rating: Annotated[int | None, None, "How funny it is"]


class Voyage(TypedDict):
    """TypedDicts and dates in a TypedDict."""

    begin: Harbor
    stops: Annotated[list[Harbor], Field(max_length=2)]
    day: date


class Branch(TypedDict):
    """A TypedDict that contains itself."""

    leaves: int
    branches: Annotated[list[Branch], Field(max_length=2)]


@dataclasses.dataclass
class Ship:
    """A dataclass."""

    name: str
    masts: int = 3
    tags: TAGS = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Fleet:
    """A dataclass of dataclasses."""

    flagship: Ship
    founded: date
    admiral: str | None = None


@pydantic_dataclass
class Crew:
    """A dataclass of pydantic's, with bounds."""

    size: int = Field(ge=1, le=20)
    names: list[str] = Field(default_factory=list, max_length=2)


@dataclasses.dataclass
class Knot:
    """A dataclass that contains itself."""

    size: int
    inner: Knot | None = None


class Wind(enum.Enum):
    """An enum as the whole answer."""

    NORTH = "north"
    SOUTH = "south"


class Force(enum.IntEnum):
    """An enum of numbers."""

    CALM = 0
    STORM = 10


MODELS = [
    Harbor,
    Sparse,
    Partial,
    Joke,
    Voyage,
    Branch,
    Ship,
    Fleet,
    Crew,
    Knot,
    Wind,
    Force,
]
