"""Rows, or facts of one object, as text and as HTML. Pure.

What is shown may come from a server, a file or a log: HTML is escaped, and control characters are
spelled out (``rocm_core.terminal``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rocm_core.terminal import visible

_GIB = 1 << 30
_LEFT = "text-align:left;vertical-align:top"
# Words that are also marked by color, never by color alone.
_COLORS = {"ok": "#2e7d32", "warning": "#b26a00", "failed": "#c62828", "skipped": "#757575"}


def size(count: int | None) -> str:
    """Return ``count`` bytes for people; ``-`` if unknown."""
    if count is None:
        return "-"
    return f"{count / _GIB:.1f} GiB" if count >= _GIB else f"{count / (1 << 20):.0f} MiB"


def html_table(title: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table with a line of headings; with no headings, the first column is one."""
    lines = [f"<b>{escape(title)}</b>"] if title else []
    lines.append("<table>")
    if heads:
        lines.append(f"<tr>{''.join(_cell('th', head) for head in heads)}</tr>")
    for row in rows:
        kinds = ["td"] * len(row) if heads else ["th"] + ["td"] * (len(row) - 1)
        lines.append(f"<tr>{''.join(map(_cell, kinds, row))}</tr>")
    return "\n".join([*lines, "</table>"])


def text_table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return the same as lines of text, in columns."""
    cells = [[visible(_text(cell)) for cell in row] for row in (heads, *rows) if row]
    if not cells:
        return ""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


def escape(text: object) -> str:
    """Return ``text`` for HTML, line breaks kept."""
    import html  # its table of entities is for a program that shows something

    return html.escape(visible(_text(text))).replace("\n", "<br>")


def _text(value: object) -> str:
    return "-" if value is None else str(value)


def _cell(kind: str, value: object) -> str:
    color = _COLORS.get(value) if isinstance(value, str) else None
    style = f"{_LEFT};color:{color};font-weight:bold" if color else _LEFT
    return f'<{kind} style="{style}">{escape(value)}</{kind}>'
