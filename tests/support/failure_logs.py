"""The corpus of failure logs: its blocks, and which half a thread belongs to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

CORPUS = Path(__file__).parents[1] / "diagnosis" / "corpus"


@dataclass(frozen=True)
class FailureLog:
    """One block of a corpus file.

    Attributes:
        name: the row that should win; of a healthy run, a word for it.
        source: the thread, ``owner/repository#number``, or what printed it here.
        version: the version that printed it, as far as the thread says.
        returncode: exit code or minus the signal number, if known.
        lines: of the log, oldest first.
        environment: variables of the process.
        kernel_log: lines of the kernel.
        file: stem of the corpus file.
    """

    name: str
    source: str
    version: str
    returncode: int | None
    lines: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    kernel_log: list[str] = field(default_factory=list)
    file: str = ""

    @property
    def half(self) -> Literal["rules", "kept"]:
        """The half of the corpus that the thread belongs to."""
        return half_of(self.source)


def half_of(thread: str) -> Literal["rules", "kept"]:
    """Return the half that a thread belongs to, by its name alone."""
    digit = hashlib.sha256(thread.lower().encode()).hexdigest()[0]
    return "rules" if int(digit, 16) % 2 == 0 else "kept"


def read_logs(path: Path) -> Iterator[FailureLog]:
    """Yield the blocks of a corpus file."""
    for block in path.read_text().split("\n## ")[0:]:
        head, _, body = block.removeprefix("## ").partition("\n")
        if not block.strip() or head.startswith("# "):
            continue
        name, source, version, code = (part.strip() for part in head.split("|"))
        lines = body.strip("\n").split("\n")
        env = dict(line[5:].split("=", 1) for line in lines if line.startswith("@env "))
        kernel = [line[8:] for line in lines if line.startswith("@kernel ")]
        said = [line for line in lines if not line.startswith(("@env ", "@kernel "))]
        yield FailureLog(
            name, source, version, int(code) if code else None, said, env, kernel, path.stem
        )


def failure_logs() -> list[FailureLog]:
    """Return the failures of all corpus files."""
    return [log for path in sorted(CORPUS.glob("*.txt")) for log in read_logs(path)]


def healthy_logs() -> list[FailureLog]:
    """Return the runs that went well."""
    return [log for path in sorted(CORPUS.glob("healthy/*.txt")) for log in read_logs(path)]
