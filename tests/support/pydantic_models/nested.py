"""Classes in classes, generic ones, and inheritance."""

from __future__ import annotations

from typing import Generic, TypeVar

from pydantic import BaseModel, Field

T = TypeVar("T")


class Street(BaseModel):
    name: str = Field(max_length=8)
    number: int = Field(ge=1, le=999)


class City(BaseModel):
    name: str = Field(max_length=8)
    main: Street


class Person(BaseModel):
    """Three classes deep, one of them twice."""

    city: City
    home: Street
    work: Street | None = None


class Envelope(BaseModel, Generic[T]):
    """A generic class."""

    content: T
    copies: list[T] = Field(max_length=2)


class Parcel(Envelope[Street]):
    """A class made of a generic one."""

    weight: float


class Base(BaseModel):
    id: int


class Timed(Base):
    seconds: float = Field(ge=0, le=60)


class Job(Timed):
    """Fields of three classes."""

    name: str = Field(max_length=8)


class Outer(BaseModel):
    """A class within a class."""

    class Inner(BaseModel):
        flag: bool

    inner: Inner
    inners: list[Inner] = Field(max_length=2)


class Wide(BaseModel):
    """Many fields, some of them optional."""

    a: int
    b: bool
    c: str = Field(max_length=3)
    d: float | None = None
    e: int | None = None
    f: bool = True
    g: str = Field(default="x", max_length=3)
    h: list[int] = Field(default_factory=list, max_length=1)
    i: int
    j: bool | None = None


class DefaultObject(BaseModel):
    """A default that is an object."""

    street: Street = Street(name="Main", number=1)


class DescribedRef(BaseModel):
    """A description beside a reference."""

    home: Street = Field(description="Where they live", title="Home")


MODELS = [
    Person,
    Envelope[int],
    Envelope[Street],
    Parcel,
    Job,
    Outer,
    Wide,
    DefaultObject,
    DescribedRef,
]
