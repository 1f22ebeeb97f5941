"""Objects that a notebook shows as a table. Small, for what derives from it is made at every start.

IPython calls ``_repr_html_`` and ``_repr_pretty_``; JupyterLab and VS Code show the former, IPython
in a terminal the latter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, TypeVar

T = TypeVar("T")
Table = tuple[str, Sequence[str], Iterable[Sequence[object]]]
"""Title, headings (none: the first column has them) and rows."""


class Shown:
    """An object whose facts are a table."""

    __slots__ = ()

    def _table(self) -> Table:
        """Return what is shown; no I/O."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        from rocm_core.display.table import html_table

        return html_table(*self._table())


class ShownAsTable(Shown):
    """An object that is a table in a terminal, too, and the table's title in a line of text."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{self._table()[0]}>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        from rocm_core.display.table import text_table

        title, heads, rows = self._table()
        printer.text(f"{title}\n{text_table(heads, rows)}")


class Report(list[T]):
    """A list that is shown as a table, one row for each item. Else it is the list that it is."""

    title: ClassVar[str] = ""
    heads: ClassVar[tuple[str, ...]] = ()
    nothing: ClassVar[str] = "none"

    def row(self, item: T) -> Sequence[object]:
        """Return the cells of one item."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        from rocm_core.display.table import escape, html_table

        if not self:
            return f"<i>{escape(self.nothing)}</i>"
        return html_table(self.title, self.heads, map(self.row, self))

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        from rocm_core.display.table import text_table

        printer.text(text_table(self.heads, map(self.row, self)) if self else self.nothing)
