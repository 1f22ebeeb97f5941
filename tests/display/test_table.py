"""Tables of what somebody else said: escaped for HTML, spelled out for a terminal."""

from __future__ import annotations

from typing import Any

from IPython.lib import pretty as ipython

from rocm_core.display.report import Report
from rocm_core.display.table import html_table, size, text_table
from rocm_core.types import Check, Checks


def pretty(shown: Any) -> str:
    """What IPython shows in a terminal."""
    return str(ipython.pretty(shown))  # type: ignore[no-untyped-call]


def test_html_is_escaped_and_control_characters_are_spelled_out() -> None:
    shown = html_table("a<b", ("name",), [("<script>\x1b[2J",)])
    assert "<script>" not in shown and "&lt;script&gt;\\x1b[2J" in shown and "a&lt;b" in shown
    assert "\\x1b" in text_table(("name",), [("\x1b[2J",)])


def test_a_table_without_headings_has_them_in_its_first_column() -> None:
    shown = html_table("", (), [("state", "ready")])
    assert shown.count("<th") == 1 and shown.count("<td") == 1


def test_what_is_unknown_is_a_dash() -> None:
    assert text_table(("a", "b"), [(None, 0)]) == "a  b\n-  0"
    assert [size(None), size(0), size(3 << 20), size(3 << 29)] == ["-", "0 MiB", "3 MiB", "1.5 GiB"]


def test_a_report_is_a_list() -> None:
    class Names(Report[str]):
        heads = ("name",)
        nothing = "nobody"

        def row(self, item: str) -> tuple[str]:
            return (item,)

    assert Names(["a"]) == ["a"] and isinstance(Names(), list)
    assert pretty(Names()) == "nobody" and "nobody" in Names()._repr_html_()
    assert pretty(Names(["a", "b"])) == "name\na\nb"


def test_findings_name_the_remedy_of_what_fails_alone() -> None:
    found = Checks(
        [
            Check("kfd", "failed", "cannot be opened", "join the group render"),
            Check("gpus", "ok", "one", "nothing to do"),
        ]
    )
    assert "join the group" in pretty(found) and "nothing to do" not in pretty(found)
    assert "join the group" in found._repr_html_() and "nothing to do" not in found._repr_html_()
    assert "failed" in found._repr_html_()  # said in words, not by color alone
