"""Values of one type or another, with and without a discriminator."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Discriminator, Field, Tag


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = Field(ge=1, le=9)


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str] = Field(max_length=2)


class Bird(BaseModel):
    kind: Literal["bird", "parrot"]
    wings: bool


class Plain(BaseModel):
    """A union of simple types."""

    value: int | str | bool | None


class Nullable(BaseModel):
    """An object or null."""

    pet: Cat | None


class Discriminated(BaseModel):
    """A union told apart by a field."""

    pet: Annotated[Cat | Dog | Bird, Field(discriminator="kind")]


class Undiscriminated(BaseModel):
    """A union of classes that pydantic tries in turn."""

    pet: Cat | Dog


class Zoo(BaseModel):
    """A list of a union."""

    pets: list[Annotated[Cat | Dog, Field(discriminator="kind")]] = Field(max_length=3)


class NumberOrList(BaseModel):
    """A value or a list of them."""

    value: int | list[int]


class Overlap(BaseModel):
    """Numbers of both types; the first one that fits counts."""

    value: int | float


class Bounded(BaseModel):
    """A union with bounds in its parts."""

    value: Annotated[int, Field(ge=0, le=9)] | Annotated[str, Field(max_length=3)]


class Number(BaseModel):
    number: int


class Named(BaseModel):
    name: str


def _tag(value: object) -> str:
    fields = value if isinstance(value, dict) else vars(value)
    return "number" if "number" in fields else "named"


class Callable(BaseModel):
    """A union told apart by a function."""

    value: Annotated[
        Annotated[Number, Tag("number")] | Annotated[Named, Tag("named")], Discriminator(_tag)
    ]


class LeftToRight(BaseModel):
    """A union whose parts are tried in order."""

    value: Annotated[int | str, Field(union_mode="left_to_right")]


class Nested(BaseModel):
    """Unions in unions."""

    value: (
        Annotated[dict[str, int | None], Field(max_length=2)]
        | Annotated[list[str | bool], Field(max_length=2)]
        | None
    )


MODELS = [
    Plain,
    Nullable,
    Discriminated,
    Undiscriminated,
    Zoo,
    NumberOrList,
    Overlap,
    Bounded,
    Callable,
    LeftToRight,
    Nested,
]
