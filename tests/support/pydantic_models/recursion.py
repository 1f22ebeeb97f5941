"""Classes that contain themselves."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field


class Node(BaseModel):
    """A tree."""

    name: str = Field(max_length=5)
    children: list[Node] = Field(default_factory=list, max_length=2)


class Link(BaseModel):
    """A chain."""

    value: int
    next: Link | None


class Husband(BaseModel):
    """Two classes that contain each other."""

    name: str = Field(max_length=5)
    wife: Wife | None = None


class Wife(BaseModel):
    name: str = Field(max_length=5)
    husband: Husband | None = None


class Folder(BaseModel):
    """A map of itself."""

    size: int
    folders: dict[str, Folder] = Field(default_factory=dict, max_length=1)


class Sum(BaseModel):
    kind: Literal["sum"]
    left: Constant
    right: Expression


class Constant(BaseModel):
    kind: Literal["constant"]
    value: int


class Expression(BaseModel):
    """A tree whose nodes are of several classes."""

    root: Annotated[Sum | Constant, Field(discriminator="kind")]


class Owner(BaseModel):
    """A class that contains a tree, and does not contain itself."""

    tree: Node
    label: str = Field(max_length=5)


class Chapter(BaseModel):
    """A tree with bounds in it."""

    pages: int = Field(ge=1, le=50)
    sections: tuple[Chapter, ...] | None = Field(default=None, max_length=2)


MODELS = [Node, Link, Husband, Folder, Expression, Owner, Chapter]
