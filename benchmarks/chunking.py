"""Chunking with the model's own tokenizer: 150 documents, 1 MB of text, chunks of 256 tokens.

LlamaIndex's ``SentenceSplitter`` asks its tokenizer for the length of every piece that it makes.
The peer is LlamaIndex's own default, tiktoken, whose vocabulary it brings along. The model is
``demo``, on a real server. The first pass includes building the tokenizer.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measuring import Tell
from benchmarks.process import ROOT
from benchmarks.section import Row, Section
from benchmarks.size import Size

NAME = "chunking"
TIKTOKEN = "tiktoken"
HERE, WARM, SERVER = "RocmTokenizer", "RocmTokenizer, second pass", "RocmTokenizer, local=False"
_CHUNK, _OVERLAP, _CHARACTERS = 256, 20, 6700


def chunking(size: Size, tell: Tell) -> Section:
    """CPU time of this process in the tokenizer and in the whole split, for each tokenizer."""
    from llama_index.core import Document
    from llama_index.core.utils import get_tokenizer

    from llama_index_rocm import RocmLLM, RocmTokenizer

    documents = [Document(text=text) for text in texts(size.documents)]
    llm = RocmLLM(model="demo")
    rows: dict[str, list[Row]] = {}

    def one(name: str, tokenizer: Callable[[str], list[Any]]) -> None:
        before = _cpu_of(llm.text_model.connection.pid)
        row = _split(documents, tokenizer)
        row["server"] = _cpu_of(llm.text_model.connection.pid) - before
        rows.setdefault(name, []).append(row)

    try:
        llm.text_model.load()
        for number in range(size.rounds + 1):
            tell(f"{NAME}: round {number}")
            one(TIKTOKEN, get_tokenizer())
            another = RocmLLM(model="demo")  # builds its tokenizer again
            tokenizer = RocmTokenizer(another)
            one(HERE, tokenizer)
            one(WARM, tokenizer)
            another.close()
            if number <= 1:
                one(SERVER, RocmTokenizer(llm, local=False))
    finally:
        llm.close()
    found = [_summary(name, taken[1:] or taken) for name, taken in rows.items()]
    peer = next(row["call"] for row in found if row["name"] == TIKTOKEN)
    for row in found:
        row["peer"] = row["call"] / peer
    columns = {
        "seconds": "s in the tokenizer",
        "call": "µs per call",
        "peer": "x tiktoken",
        "calls": "calls",
        "requests": "requests",
        "whole": "s in all",
        "server": "server's s",
        "wall": "wall s in all",
    }
    title = f"Chunking {size.documents} documents, CPU time"
    return Section(NAME, title, columns, found, "call")


def texts(count: int) -> list[str]:
    """Return documents of 6,700 characters each: sentences of this repository's, shuffled."""
    files = sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("docs/**/*.md"))
    source = "\n".join(file.read_text(encoding="utf-8") for file in files)
    sentences = re.split(r"(?<=[.:;])\s+", source)
    chance = random.Random(1)
    found = []
    for _ in range(count):
        text = ""
        while len(text) < _CHARACTERS:
            text += chance.choice(sentences) + chance.choice((" ", " ", " ", "\n\n"))
        found.append(text[:_CHARACTERS])
    return found


def _cpu_of(pid: int | None) -> float:
    """Return the seconds of CPU time that a process has taken; 0 where that cannot be read."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _split(documents: list[Any], tokenizer: Callable[[str], list[Any]]) -> Row:
    from llama_index.core.node_parser import SentenceSplitter

    seconds, calls = 0.0, 0

    def timed(text: str) -> list[Any]:
        nonlocal seconds, calls
        begun = time.process_time()
        ids = tokenizer(text)
        seconds += time.process_time() - begun
        calls += 1
        return ids

    requests = getattr(tokenizer, "requests", 0)
    begun, clock = time.process_time(), time.perf_counter()
    splitter = SentenceSplitter(chunk_size=_CHUNK, chunk_overlap=_OVERLAP, tokenizer=timed)
    splitter.get_nodes_from_documents(documents)
    whole = time.process_time() - begun
    return {
        "seconds": seconds,
        "calls": calls,
        "requests": getattr(tokenizer, "requests", 0) - requests,
        "whole": whole,
        "wall": time.perf_counter() - clock,
    }


def _summary(name: str, rows: list[Row]) -> Row:
    seconds = median(row["seconds"] for row in rows)
    return {
        "name": name,
        "seconds": seconds,
        "call": 1e6 * seconds / rows[0]["calls"],
        "calls": rows[0]["calls"],
        "requests": rows[-1]["requests"],
        "whole": median(row["whole"] for row in rows),
        "server": median(row["server"] for row in rows),
        "wall": median(row["wall"] for row in rows),
    }
