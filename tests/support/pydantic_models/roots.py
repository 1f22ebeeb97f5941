"""RootModels: classes whose JSON is no object of fields."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, RootModel

from tests.support.pydantic_models.unions import Cat, Dog


class Words(RootModel[list[str]]):
    """A list."""

    root: list[str] = Field(min_length=1, max_length=3)


class Prices(RootModel[dict[str, float]]):
    """A map."""

    root: dict[str, float] = Field(max_length=2)


class Verdict(RootModel[Literal["good", "bad"]]):
    """One of two texts."""


class Grade(RootModel[int]):
    """A number with bounds."""

    root: int = Field(ge=1, le=6)


class Pet(RootModel[Cat | Dog]):
    """A union of classes."""

    root: Annotated[Cat | Dog, Field(discriminator="kind")]


class Cats(RootModel[list[Cat]]):
    """A list of objects."""

    root: list[Cat] = Field(max_length=2)


class Perhaps(RootModel[Cat | None]):
    """An object or null."""


class Json(RootModel["dict[str, Json] | list[Json] | int | None"]):
    """Any JSON, recursively."""

    root: (
        Annotated[dict[str, Json], Field(max_length=2)]
        | Annotated[list[Json], Field(max_length=2)]
        | int
        | None
    )


class Team(BaseModel):
    """A class that contains RootModels."""

    words: Words
    verdict: Verdict
    grades: dict[str, Grade] = Field(max_length=2)


MODELS = [Words, Prices, Verdict, Grade, Pet, Cats, Perhaps, Json, Team]
