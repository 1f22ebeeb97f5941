"""What a long stream leaves in memory, each contender in an interpreter of its own.

The peak of the resident memory while the stream is read and its pieces are dropped, over what
was resident before (``VmHWM`` and ``VmRSS`` of ``/proc/self/status``). Linux only.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from benchmarks.contenders import Contender, Setting, build
from benchmarks.measuring import Tell, WrongAnswer, event_loop
from benchmarks.process import ROOT, ScriptedServer
from benchmarks.section import Section
from benchmarks.size import Size

_CONTENDERS = {
    "raw socket + json": "raw",
    "Client.chat": "rocm_core",
    "TextModel.chat_events": "rocm_core",
    "LangChain's floor, stream": "LangChain's floor",
    "ChatRocm.stream": "ChatRocm",
    "ChatRocm.v3 events": "ChatRocm",
    "ChatOllama.stream": "ChatOllama",
    "LlamaIndex's floor, stream_chat": "LlamaIndex's floor",
    "RocmLLM.stream_chat": "RocmLLM",
}
_WARM_UP = 20


def memory(size: Size, tell: Tell) -> Section:
    """MiB that one long answer takes at its peak."""
    rows = []
    with ScriptedServer() as server:
        for name, group in _CONTENDERS.items():
            tell(f"memory: {name}")
            urls = [server.url("burst", chunks) for chunks in (_WARM_UP, size.memory)]
            argv = [sys.executable, "-m", "benchmarks.memory", group, name, str(size.memory), *urls]
            done = subprocess.run(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
            if grown := json.loads(done.stdout):
                mib = grown["grown"] / 1024
                per_chunk = 1024 * grown["grown"] / size.memory
                rows.append({"name": name, "grown": mib, "bytes": per_chunk})
            else:
                tell(f"left out: {name}")
    title = f"Memory of a stream of {size.memory:,} chunks that are dropped as they come"
    return Section("memory", title, {"grown": "MiB", "bytes": "bytes/chunk"}, rows, "grown")


def main(group: str, name: str, chunks: str, warm: str, url: str) -> None:
    """Print ``{"grown": KiB}``, or ``null`` if the contender is not installed."""
    with ExitStack() as stack:
        loop = stack.enter_context(event_loop())
        found = [
            _named(build(Setting(each, "burst", length, loop), stack, [group])[0], name)
            for each, length in ((warm, _WARM_UP), (url, int(chunks)))
        ]
        small, large = found
        if small is None or large is None:
            print("null")
            return
        small.run(lambda text: None)
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = _status("VmRSS")
        seen = 0

        def take(text: str) -> None:
            nonlocal seen
            seen += bool(text)

        large.run(take)
        if seen != int(chunks):
            raise WrongAnswer(f"{name} delivered {seen} pieces")
        print(json.dumps({"grown": max(0, _status("VmHWM") - before)}))


def _named(contenders: list[Contender], name: str) -> Contender | None:
    return next((each for each in contenders if each.name == name), None)


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise KeyError(field)


if __name__ == "__main__":
    main(*sys.argv[1:])
