"""The console of ``rich`` for tables and colors; see ``screen``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from rocm_core.terminal import visible


class _Visible(Console):
    """A console whose own escape sequences are the only ones."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield the segments of ``renderable`` with their texts made visible."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control or text.isprintable() else Segment(visible(text), style)


def make_console(*, aside: bool = False, **options: Any) -> Console:
    """Return a console for stdout, or with ``aside`` for stderr.

    Args:
        aside: on stderr, which a pipe does not take along.
        options: of ``rich.console.Console``.
    """
    return _Visible(stderr=aside, **options)
