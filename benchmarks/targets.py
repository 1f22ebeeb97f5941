"""What was promised, beside what was measured. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.chunking import HERE, SERVER
from benchmarks.contenders.base import HTTPX
from benchmarks.decisions import ENGINES, TOKEN
from benchmarks.engines import AGAIN
from benchmarks.section import Section, table

Sections = Mapping[str, Section]
_DIGITS = 2
_LANGCHAIN, _LLAMAINDEX = "LangChain's floor, {}", "LlamaIndex's floor, {}"


@dataclass(frozen=True)
class Target:
    """One promise: ``most`` is an upper limit, ``least`` a lower one.

    ``ratio``: our cost over another's, so that runs on other days can be compared.
    """

    what: str
    read: Callable[[Sections], float | None]
    most: float | None = None
    least: float | None = None
    ratio: bool = True

    @property
    def promise(self) -> str:
        """In words."""
        return f"<= {self.most:g}" if self.most is not None else f">= {self.least:g}"

    def kept(self, value: float) -> bool:
        """Whether ``value`` is within, as precisely as it is printed."""
        printed = round(value, _DIGITS)
        return printed <= self.most if self.most is not None else printed >= (self.least or 0.0)


def _cost(name: str, base: str, mode: str) -> Callable[[Sections], float | None]:
    """CPU per chunk of one beside another, the rounds compared with each other."""

    def read(sections: Sections) -> float | None:
        section = sections.get(mode)
        return _over(section, name, base, "median") if section else None

    return read


def _over(section: Section, name: str, base: str, column: str) -> float | None:
    mine, other = section.of(name, column), section.of(base, column)
    return mine / other if mine and other else None


def _cell(section: str, name: str, column: str) -> Callable[[Sections], float | None]:
    return lambda sections: sections[section].of(name, column) if section in sections else None


def _chunking(sections: Sections) -> float | None:
    section = sections.get("chunking")
    if section is None:
        return None
    seconds = {
        name: (section.of(name, "seconds") or 0.0) + (section.of(name, "server") or 0.0)
        for name in (HERE, SERVER)
    }
    return seconds[SERVER] / seconds[HERE] if seconds[HERE] else None


def _import(sections: Sections) -> float | None:
    section = sections.get("imports")
    if section is None:
        return None
    mine = section.of("`from langchain_rocm import ChatRocm`", "ms")
    base = section.of("`from langchain_core.language_models import BaseChatModel`", "ms")
    return None if mine is None or base is None else mine - base


def _streams(sections: Sections) -> float | None:
    section = sections.get("streams")
    if section is None:
        return None
    return _over(section, "ChatRocm.astream", "ChatOpenAI.astream", "streams")


def _growth(sections: Sections) -> float | None:
    ratios = [row["ratio"] for row in sections["growth"].rows] if "growth" in sections else []
    return max(ratios, default=None)


def _cache(sections: Sections) -> float | None:
    """The worst of them, beside plain requests."""
    rows = sections["cache"].rows if "cache" in sections else []
    return min((row["ours"] / row["plain"] for row in rows if row["plain"]), default=None)


def _resident(sections: Sections) -> float | None:
    """The worst engine's, from the 50th prompt to the last one."""
    rows = sections["resident"].rows if "resident" in sections else []
    column = sections["resident"].plotted if rows else ""
    return max((row[column] / row["after_50"] for row in rows if "after_50" in row), default=None)


def targets() -> Iterator[Target]:
    """All of them, in the order of the table."""
    for mode in ("burst", "paced"):
        if mode == "burst":
            yield Target(
                "StreamDecoder / raw socket + json",
                _cost("StreamDecoder, in memory", "raw socket + json", mode),
                most=1.5,
            )
        yield Target(f"Client.chat / httpx, {mode}", _cost("Client.chat", HTTPX, mode), most=1.15)
        for ours, rival, times in (("stream", "stream", 6), ("astream", "astream", 7)):
            name = f"ChatRocm.{ours}"
            floor = _LANGCHAIN.format(ours)
            yield Target(f"{name} / floor, {mode}", _cost(name, floor, mode), most=1.5)
            yield Target(
                f"ChatOpenAI.{rival} / {name}, {mode}",
                _cost(f"ChatOpenAI.{rival}", name, mode),
                least=times,
            )
        events = _cost("ChatRocm.v3 events", "ChatRocm.stream", mode)
        yield Target(f"ChatRocm v3 events / stream, {mode}", events, most=0.5)
        name = "RocmLLM.stream_chat"
        floor_cost = _cost(name, _LLAMAINDEX.format("stream_chat"), mode)
        yield Target(f"{name} / floor, {mode}", floor_cost, most=1.05)
        rival_cost = _cost("OpenAILike.stream_chat", name, mode)
        yield Target(f"OpenAILike / {name}, {mode}", rival_cost, least=5)
        rival_cost = _cost("LlamaIndex Ollama.stream_chat", name, mode)
        yield Target(f"LlamaIndex Ollama / {name}, {mode}", rival_cost, least=1.5)
    yield Target(
        "added TTFT, Client.chat, ms", _cell("ttft", "Client.chat", "added"), 1, ratio=False
    )
    yield Target(
        "added TTFT, ChatRocm, ms", _cell("ttft", "ChatRocm.stream", "added"), 1, ratio=False
    )
    yield Target("streams per core / ChatOpenAI's", _streams, least=5)
    yield Target(
        "cold start over the bare server, ms", _cell("start", AGAIN, "over"), 30, ratio=False
    )
    yield Target("import of ChatRocm over BaseChatModel's, CPU ms", _import, 40, ratio=False)
    yield Target("growth of cost per chunk, the worst of all", _growth, 1.1, ratio=False)
    yield Target("second turn's cached share / plain requests', the worst", _cache, least=1)
    yield Target(
        "RocmTokenizer / tiktoken, CPU per call", _cell("chunking", HERE, "peer"), most=1.5
    )
    yield Target("chunking with the server's tokens / RocmTokenizer, CPU", _chunking, least=5)
    yield Target("resident memory after the last prompt / after 50", _resident, most=1.25)
    for engine in ENGINES:
        share = _cell("decide", TOKEN.format(engine), "share")
        yield Target(f"a choice by one token / structured output, {engine}", share, most=0.33)


def judged(sections: Sequence[Section]) -> list[dict[str, object]]:
    """Every target whose numbers are there."""
    by_name = {section.name: section for section in sections}
    found = []
    for target in targets():
        value = target.read(by_name)
        if value is not None:
            found.append(
                {
                    "what": target.what,
                    "promise": target.promise,
                    "measured": value,
                    "kept": target.kept(value),
                    "ratio": target.ratio,
                }
            )
    return found


def markdown(judgments: Sequence[Mapping[str, object]]) -> str:
    """The table of promises."""
    rows = [
        [
            str(row["what"]),
            str(row["promise"]),
            f"{row['measured']:.{_DIGITS}f}",
            "yes" if row["kept"] else "**no**",
        ]
        for row in judgments
    ]
    return "### Targets\n\n" + table(["measure", "target", "measured", "kept"], rows)
