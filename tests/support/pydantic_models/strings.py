"""Text with patterns, lengths and formats."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Annotated

from pydantic import AnyUrl, Base64Str, BaseModel, Field, SecretStr, StringConstraints


class Code(BaseModel):
    """An anchored pattern of plain classes."""

    code: str = Field(pattern=r"^[A-Z]{3}-[0-9]{2,4}$")


class Digits(BaseModel):
    r"""A pattern with ``\d``."""

    number: str = Field(pattern=r"^\d{3}$")


class Word(BaseModel):
    r"""A pattern with ``\w`` and an alternative."""

    word: str = Field(pattern=r"^(?:\w{2,5}|none)$")


class Searched(BaseModel):
    """A pattern that may match anywhere."""

    text: str = Field(pattern=r"[0-9]{2}", max_length=40)


class Prefixed(BaseModel):
    """A pattern with one anchor."""

    text: str = Field(pattern=r"^id_")


class Dots(BaseModel):
    """A pattern with a dot."""

    text: str = Field(pattern=r"^a.c$")


class NotX(BaseModel):
    """A pattern with a negated class."""

    text: str = Field(pattern=r"^[^x]{3}$")


class Spaces(BaseModel):
    r"""A pattern with ``\s`` and an escaped dot."""

    text: str = Field(pattern=r"^[a-z]+\s[a-z]+\.$", max_length=20)


class Email(BaseModel):
    """The pattern of an address."""

    address: str = Field(pattern=r"^[\w.+-]+@[\w-]+\.[a-z]{2,6}$")


class Plate(BaseModel):
    """Groups, alternatives, and repeats."""

    plate: str = Field(pattern=r"^(AB|CD)(-[0-9]){2}( [a-f]+)?$")


class PatternAndLength(BaseModel):
    """A pattern beside a length."""

    text: str = Field(pattern=r"^[a-z]+$", min_length=3, max_length=5)


class Length(BaseModel):
    """Both lengths."""

    text: str = Field(min_length=2, max_length=8)


class Fixed(BaseModel):
    """Text of one length."""

    text: str = Field(min_length=4, max_length=4)


class NotBlank(BaseModel):
    """A least length alone."""

    text: str = Field(min_length=1)


class Stripped(BaseModel):
    """Text whose white space pydantic removes before it counts."""

    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, to_lower=True)]


class Network(BaseModel):
    """Addresses."""

    v4: IPv4Address
    v6: IPv6Address


class Link(BaseModel):
    """A URL."""

    url: AnyUrl


class Place(BaseModel):
    """A path of a file."""

    path: Path


class Hidden(BaseModel):
    """A password."""

    password: SecretStr = Field(max_length=12)


class Encoded(BaseModel):
    """Text in base64."""

    data: Base64Str


class Formatted(BaseModel):
    """Formats of JSON schema that pydantic does not check."""

    mail: str = Field(max_length=30, json_schema_extra={"format": "email"})
    host: str = Field(max_length=30, json_schema_extra={"format": "hostname"})


MODELS = [
    Code,
    Digits,
    Word,
    Searched,
    Prefixed,
    Dots,
    NotX,
    Spaces,
    Email,
    Plate,
    PatternAndLength,
    Length,
    Fixed,
    NotBlank,
    Stripped,
    Network,
    Link,
    Place,
    Hidden,
    Encoded,
    Formatted,
]
