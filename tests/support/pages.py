"""The pages for people, as data: their blocks of code, and what the lines above one install."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PAGES = tuple(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md")))
)
_BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<why>[^\n]+) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_PIP = re.compile(r"pip install (?P<words>[^`\n]*)")
_OURS = re.compile(r"(?:llama-rocm|\.)\[([\w,-]+)\]")
# An engine is an engine: where a page installs another, its blocks run on the embedded one.
_ENGINES = {"vulkan", "server"}


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: path of the page from the root.
        line: number of its first line of text.
        language: what stands behind the fence.
        text: the block.
        why_not: why it is not run; empty if it is.
    """

    page: str
    line: int
    language: str
    text: str
    why_not: str = ""

    @property
    def place(self) -> str:
        """The page and the line, as compilers write them."""
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """The lines of a shell block, without comments."""
        joined = self.text.replace("\\\n", " ")
        lines = (re.sub(r"\s+#\s.*", "", line).strip() for line in joined.splitlines())
        return [line for line in lines if line and not line.startswith("#")]


@cache
def text_of(page: str) -> str:
    """Return the text of a page."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page, in their order."""
    text = text_of(page)
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("text")) + 1
        yield Block(page, line, found["language"], found["text"], found["why"] or "")


def installed_above(block: Block) -> set[str]:
    """Return the distributions that the pip lines above a block install, with all they need.

    The README's second shell block, which runs the tests, is none of them. A page without pip lines
    is for people who have everything.
    """
    above = "\n".join(text_of(block.page).splitlines()[: block.line - 1])
    lines = [found["words"] for found in _PIP.finditer(above) if ".[dev" not in found["words"]]
    extras = {
        extra for line in lines for found in _OURS.findall(line) for extra in found.split(",")
    }
    if not extras:
        extras = {"all"}
    others = {
        re.split(r"[<>=]", word.strip("\"'"))[0]
        for line in lines
        for word in line.partition("#")[0].partition("&&")[0].split()
        if not _OURS.search(word) and not word.startswith("-")
    }
    wanted = [
        f"llama-rocm[{','.join(sorted(extras | {'embedded'} if extras & _ENGINES else extras))}]"
    ]
    return _closure((*wanted, *sorted(others)))


def hidden_from(block: Block) -> list[str]:
    """Return the top-level modules of this environment that a reader does not have."""
    has = installed_above(block)
    return sorted(
        module
        for module, owners in _owners().items()
        if module not in ("rocm_core", "langchain_rocm", "llama_index_rocm")
        and not {_canonical(owner) for owner in owners} & has
    )


@cache
def _owners() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


@cache
def _closure(wanted: tuple[str, ...]) -> set[str]:
    todo = [Requirement(text) for text in wanted]
    seen: set[tuple[str, str]] = set()
    while todo:
        requirement = todo.pop()
        name = _canonical(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            try:
                needs = importlib.metadata.requires(name) or ()
            except importlib.metadata.PackageNotFoundError:
                continue
            todo += [r for r in map(Requirement, needs) if _applies(r, extra)]
    return {name for name, _ in seen}


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
