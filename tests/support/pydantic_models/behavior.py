"""Classes that do something: strict ones, validators, serializers, computed fields."""

from __future__ import annotations

from datetime import date
from enum import Enum
from typing import Annotated, Any
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    StrictInt,
    computed_field,
    field_validator,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema
from typing_extensions import Self


class Suit(Enum):
    HEARTS = "hearts"
    SPADES = "spades"


class Strict(BaseModel):
    """A strict class; from JSON, text is a date and a list is a tuple."""

    model_config = ConfigDict(strict=True)
    day: date
    id: UUID
    suit: Suit
    pair: tuple[int, bool]
    letters: set[str] = Field(max_length=2)


class StrictFields(BaseModel):
    """Strict fields in a class that is not."""

    whole: StrictInt
    day: Annotated[date, Field(strict=True)]


class FrozenModel(BaseModel):
    """A class whose objects do not change."""

    model_config = ConfigDict(frozen=True)
    name: str


class Computed(BaseModel):
    """A field that is computed."""

    width: int = Field(ge=1, le=9)
    height: int = Field(ge=1, le=9)

    @computed_field
    def area(self) -> int:
        return self.width * self.height


class Rounded(BaseModel):
    """A validator that changes the value."""

    value: int

    @field_validator("value")
    @classmethod
    def _round(cls, value: int) -> int:
        return value // 10 * 10


class Even(BaseModel):
    """A validator that refuses half of the values."""

    value: Annotated[int, Field(ge=0, le=99)]

    @field_validator("value")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("the value is odd")
        return value


class Ordered(BaseModel):
    """A validator of the whole object."""

    low: int = Field(ge=0, le=9)
    high: int = Field(ge=0, le=9)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


class Normalized(BaseModel):
    """Validators before and after pydantic's own."""

    name: Annotated[str, BeforeValidator(str.strip), AfterValidator(str.title)]


class Prepared(BaseModel):
    """A validator that sees the raw object."""

    value: int

    @model_validator(mode="before")
    @classmethod
    def _prepare(cls, data: Any) -> Any:
        return {**data, "value": abs(data["value"])} if isinstance(data, dict) else data


class Private(BaseModel):
    """A private attribute, and a field that the schema does not have."""

    name: str
    secret: SkipJsonSchema[int] = 3
    _count: int = PrivateAttr(default=0)


class Altered(BaseModel):
    """A schema that its class alters."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "x"}], "x-own": True})
    name: str = Field(json_schema_extra={"x-hint": "short", "maxLength": 4})


class Documented(BaseModel):
    """Docstrings as descriptions, and values of enums instead of members."""

    model_config = ConfigDict(use_attribute_docstrings=True, use_enum_values=True, title="The card")
    suit: Suit
    """The suit of the card."""


MODELS = [
    Strict,
    StrictFields,
    FrozenModel,
    Computed,
    Rounded,
    Even,
    Ordered,
    Normalized,
    Prepared,
    Private,
    Altered,
    Documented,
]
