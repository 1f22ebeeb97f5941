"""Field names in JSON that differ from Python's, or that mean something in JSON schema."""

from __future__ import annotations

from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Camel(BaseModel):
    """Names made by a function."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)
    first_name: str
    postal_code: int


class Aliased(BaseModel):
    """An alias for both directions, and one for each."""

    from_: str = Field(alias="from")
    to_: str = Field(validation_alias="to", serialization_alias="target")


class Several(BaseModel):
    """Several names for one field."""

    name: str = Field(validation_alias=AliasChoices("name", "label"))


class Deep(BaseModel):
    """A field that is read from inside another value."""

    first: str = Field(validation_alias=AliasPath("names", 0))


class Refs(BaseModel):
    """Names that are keywords of JSON schema."""

    ref: str = Field(alias="$ref", max_length=10)
    defs: int = Field(alias="$defs")


class Keywords(BaseModel):
    """More of them."""

    type: str = Field(max_length=5)
    properties: int
    required: bool
    items: list[int] = Field(max_length=2)
    title: str = Field(max_length=5)
    description: str = Field(max_length=5)
    enum: bool
    const: int = 3


class Brackets(BaseModel):
    """Names with brackets, and further fields."""

    model_config = ConfigDict(extra="allow")
    tags: list[str] = Field(alias="tags[]", max_length=2)


class Odd(BaseModel):
    """Names with quotes, spaces, slashes, and letters beyond ASCII."""

    quoted: int = Field(alias='a "b"')
    spaced: int = Field(alias="two words")
    slashed: int = Field(alias="a/b~c")
    backslashed: int = Field(alias="a\\b")
    accented: int = Field(alias="größe")
    dotted: int = Field(alias="a.b")
    empty: int = Field(alias="")


class Dashed(BaseModel):
    """Names that differ only in signs."""

    one: int = Field(alias="a-b")
    two: int = Field(alias="a_b")
    three: int = Field(alias="a b")


MODELS = [Camel, Aliased, Several, Deep, Refs, Keywords, Brackets, Odd, Dashed]
