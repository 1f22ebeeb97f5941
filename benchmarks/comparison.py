"""An earlier run beside this one: which of our ratios got worse. Pure.

Compared are ratios only: times differ between machines and between hours of one machine, what is
measured side by side does so much less. Of the tables these are the rows of our own packages, of
the targets those that are quotients.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.section import table

TOLERANCE = 0.05
OURS = ("StreamDecoder", "Client.", "AsyncClient.", "TextModel.", "ChatRocm", "Rocm")
"""How the names of the rows begin that stand for our code."""

# Columns that are ratios, by measure; in each of them less is better.
_RATIOS: Mapping[str, Mapping[str, str]] = {
    "burst": {"to_httpx": "x httpx", "to_floor": "x floor"},
    "paced": {"to_httpx": "x httpx", "to_floor": "x floor"},
    "growth": {"ratio": "long / short"},
    "history": {"ratio": "long / short"},
    "agents": {"token_to_floor": "token x floor", "step_to_floor": "step x floor"},
    "chunking": {"peer": "x tiktoken"},
}
_Record = Mapping[str, Any]


class NotComparable(Exception):
    """The earlier file has nothing that this run measured."""


@dataclass(frozen=True)
class Change:
    """One ratio in both runs.

    Attributes:
        what: the measure, the row and the column.
        old, new: the ratio then and now.
        less_is_better: whether a regression is a larger or a smaller ratio.
    """

    what: str
    old: float
    new: float
    less_is_better: bool = True

    @property
    def worse(self) -> float:
        """By what share it is worse now; negative if it is better."""
        one, other = (self.new, self.old) if self.less_is_better else (self.old, self.new)
        return one / other - 1

    @property
    def regressed(self) -> bool:
        """Whether it is worse by more than ``TOLERANCE``."""
        return self.worse > TOLERANCE


@dataclass(frozen=True)
class Comparison:
    """What two runs have in common, and what they do not.

    Attributes:
        changes: every ratio that both have.
        missing: ratios of the measures of this run that only the earlier one has.
        notes: what else differs and may be the reason: sizes, versions, machine.
    """

    changes: Sequence[Change]
    missing: Sequence[str]
    notes: Sequence[str]

    @property
    def regressions(self) -> list[Change]:
        """The changes for the worse."""
        return [change for change in self.changes if change.regressed]


def compared(old: _Record, new: _Record) -> Comparison:
    """Compare two records as ``--json`` writes them.

    Raises:
        NotComparable: they have no ratio in common.
    """
    measured = {section["name"] for section in new["sections"]}
    before, now = dict(_ratios(old, measured)), dict(_ratios(new, measured))
    changes = [
        Change(what, value, now[what][0], less) for what, (value, less) in before.items()
        if what in now
    ]  # fmt: skip
    if not changes:
        raise NotComparable(
            f"no ratio of {', '.join(sorted(measured)) or 'no measure'} is in the earlier file: "
            "compare with a file of the same measures (--only)"
        )
    rest = {section["name"] for section in old["sections"]} - measured
    missing = [
        what for what in before if what not in now and not (rest and what.startswith("target: "))
    ]
    return Comparison(changes, missing, list(_notes(old, new)))


def markdown(comparison: Comparison) -> str:
    """The table of changes, the worst first, and what was not compared."""
    changes = sorted(comparison.changes, key=lambda change: -change.worse)
    rows = [
        [
            change.what,
            f"{change.old:.3f}",
            f"{change.new:.3f}",
            f"{100 * change.worse:+.1f} %",
            "**worse**" if change.regressed else "",
        ]
        for change in changes
    ]
    head = ["ratio", "earlier", "now", "worse by", f"over {100 * TOLERANCE:.0f} %"]
    lines = [f"- {note}" for note in comparison.notes]
    lines += [f"- not measured this time: {what}" for what in comparison.missing]
    found = len(comparison.regressions)
    verdict = f"{found} of {len(changes)} ratios worse by more than {100 * TOLERANCE:.0f} %"
    parts = ["### Compared with the earlier run", table(head, rows), "\n".join(lines), verdict]
    return "\n\n".join(part for part in parts if part)


def _ratios(record: _Record, measured: set[str]) -> Iterator[tuple[str, tuple[float, bool]]]:
    """What is compared → its value, and whether less is better."""
    for section in record["sections"]:
        columns = _RATIOS.get(section["name"], {})
        if section["name"] not in measured:
            continue
        for row in section["rows"]:
            for key, words in columns.items():
                value = row.get(key)
                if row["name"].startswith(OURS) and _is_ratio(value):
                    yield f"{section['name']}: {row['name']}, {words}", (value, True)
    for target in record.get("targets", ()):
        if target.get("ratio") and _is_ratio(target["measured"]):
            less = target["promise"].startswith("<=")
            yield f"target: {target['what']}", (target["measured"], less)


def _is_ratio(value: object) -> bool:
    return isinstance(value, float) and value > 0


def _notes(old: _Record, new: _Record) -> Iterator[str]:
    for name in ("machine", "load"):
        if old.get(name) != new.get(name):
            yield f"{name}: {old.get(name)} → {new.get(name)}"
    for kind in ("size", "versions"):
        before, now = old.get(kind) or {}, new.get(kind) or {}
        for name in sorted({*before, *now}):
            if _plain(before.get(name)) != _plain(now.get(name)):
                yield f"{name}: {before.get(name, 'absent')} → {now.get(name, 'absent')}"


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
