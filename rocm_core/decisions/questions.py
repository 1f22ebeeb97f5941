"""The questions of a decision. Plain data.

The names of the fields are those of ``POST /v1/systemone`` (llama.cpp ``tools/server/README.md``),
which follows the TypeSafe API.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Choice:
    """Which one of several options holds?

    Attributes:
        instructions: the question: text, or a JSON object or array.
        criteria: each option's label and its description (any JSON value; ``None`` for none), or
            the labels alone as a list.
    """

    instructions: Any
    criteria: Mapping[str, Any] | Sequence[str]

    def options(self) -> dict[str, Any]:
        """Return the description of each option by its label, in their order."""
        if isinstance(self.criteria, Mapping):
            return dict(self.criteria)
        return dict.fromkeys(self.criteria)


@dataclass(frozen=True, slots=True)
class Score:
    """Which level of an ordered scale?

    Attributes:
        instructions: the question, as in ``Choice``.
        criteria: a description of each level, the lowest (level 0) first; a decision model takes
            2 to 10.
    """

    instructions: Any
    criteria: Sequence[Any]

    def options(self) -> dict[str, Any]:
        """Return the description of each level by its number."""
        return {str(level): what for level, what in enumerate(self.criteria)}


@dataclass(frozen=True, slots=True)
class YesNo:
    """Yes or no?

    Attributes:
        instructions: the question, as in ``Choice``.
        yes: what counts as yes; ``None``: what the question says.
        no: what counts as no.
    """

    instructions: Any
    yes: Any = None
    no: Any = None

    def options(self) -> dict[str, Any]:
        """Return the descriptions of ``yes`` and ``no``."""
        return {"yes": self.yes, "no": self.no}


@dataclass(frozen=True, slots=True)
class Box:
    """Where in the image is it?

    No build of llama-server up to b11549 answers this one; it is sent to a decision model as it is,
    and the error of a server that does not know it says so.

    Attributes:
        instructions: what to locate, as in ``Choice``.
    """

    instructions: Any


Question = Choice | Score | YesNo | Box
