"""What a real llama-server shows: its start, getting to one that runs, and its prompt cache."""

from __future__ import annotations

import functools
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

from benchmarks.measuring import Tell, interleaved
from benchmarks.process import ROOT
from benchmarks.section import Section
from benchmarks.size import Size
from rocm_core import GenerateConfig, LoadConfig, Server, load_model, resolve_ref
from rocm_core.engine.command_line import Address, Build, arguments
from rocm_core.engine.locate import Engine
from rocm_core.errors import EngineNotFound
from rocm_core.server import find_engine
from rocm_core.shared.admin import find_servers, stop_server

MODEL = "demo"
BARE, AGAIN, FIRST = "llama-server itself", "Server.start()", "load_model(…).load(), new program"
SHARED = "load_model(…, keep_alive=60).load(), new program"
_LISTENING = b"listening on"
_NEW_PROGRAM = """
import time
from rocm_core import load_model
b = time.perf_counter()
with load_model({model!r}, **{options!r}) as model:
    model.load()
    print(1000 * (time.perf_counter() - b))
"""


def _binary(tell: Tell) -> Engine | None:
    try:
        return find_engine("binary")
    except EngineNotFound as error:
        tell(f"left out: {error}")
        return None


# ---------------------------------------------------------------------------
# Start
# ---------------------------------------------------------------------------


def start(size: Size, tell: Tell) -> Section:
    """From nothing to ready, beside the moment when the bare program says that it listens."""
    engine = _binary(tell)
    runs: dict[str, Callable[[], float]] = {}
    if engine is not None:
        runs = {
            BARE: functools.partial(_bare, engine),
            AGAIN: _ours,
            FIRST: functools.partial(_new_program, engine="binary"),
        }
    found = interleaved(runs, size.starts, lambda line: tell(f"start: {line}"))
    rows = [
        {
            "name": name,
            "ms": median(times),
            "over": median(a - b for a, b in zip(times, found[BARE], strict=True)),
        }
        for name, times in found.items()
    ]
    columns = {"ms": "ms", "over": "ms over the bare server"}
    return Section("start", "Cold start of a tiny model, ms", columns, rows, "ms")


def _bare(engine: Engine) -> float:
    with tempfile.TemporaryDirectory() as folder:
        address = Address(socket=Path(folder) / "s.sock")
        args = arguments(resolve_ref(MODEL), LoadConfig(), address, Build(engine.flags()), 1)
        env = {n: v for n, v in os.environ.items() if not n.startswith("LLAMA_")}
        begun = time.perf_counter()
        child = subprocess.Popen(
            [*engine.argv, *args],
            env={**env, "XDG_CONFIG_HOME": folder},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            assert child.stdout is not None
            for line in child.stdout:
                if _LISTENING in line:
                    return 1000 * (time.perf_counter() - begun)
            raise RuntimeError("the bare server never said that it listens")
        finally:
            child.kill()
            child.communicate()


def _ours() -> float:
    server = Server(resolve_ref(MODEL), LoadConfig(engine="binary"))
    begun = time.perf_counter()
    try:
        server.start()
        return 1000 * (time.perf_counter() - begun)
    finally:
        server.stop()


def _new_program(**options: Any) -> float:
    argv = [sys.executable, "-c", _NEW_PROGRAM.format(model=MODEL, options=options)]
    done = subprocess.run(argv, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout)


# ---------------------------------------------------------------------------
# Attach
# ---------------------------------------------------------------------------


def attach(size: Size, tell: Tell) -> Section:
    """Getting to a server that runs: its facts are read, nothing is started."""
    with running_server(LoadConfig(port=_free_port())) as server, _shared_server():
        url, key = server.url or "", server.api_key
        runs = {
            "GET /props": lambda: _asked(server),
            "load_model(url).load()": lambda: _to(url, key),
            SHARED: lambda: _new_program(keep_alive=60),
        }
        found = interleaved(runs, 3 * size.starts, lambda line: None)
    rows = [{"name": name, "ms": median(times)} for name, times in found.items()]
    return Section("attach", "Attaching to a running server, ms", {"ms": "ms"}, rows, "ms")


def _asked(server: Server) -> float:
    begun = time.perf_counter()
    server.client.props()
    return 1000 * (time.perf_counter() - begun)


def _to(url: str, key: str | None) -> float:
    begun = time.perf_counter()
    with load_model(url, api_key=key) as model:
        model.load()
        return 1000 * (time.perf_counter() - begun)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def running_server(config: LoadConfig) -> Iterator[Server]:
    """A server of the demo model, stopped at the end."""
    server = Server(resolve_ref(MODEL), config)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextmanager
def _shared_server() -> Iterator[None]:
    """In a registry of its own: a user's shared servers are left alone."""
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.dict(os.environ, XDG_RUNTIME_DIR=folder),
        load_model(MODEL, keep_alive=60) as model,
    ):
        model.load()
        try:
            yield
        finally:
            stop_server(find_servers(MODEL)[0])


# ---------------------------------------------------------------------------
# The prompt cache
# ---------------------------------------------------------------------------

_SLOTS, _CONTEXT, _ANSWER = 4, 1024, 8
_SYSTEM = "You are asked about the places of a long journey, one after another. " * 4
LAYOUTS = {"slots of their own": _SLOTS, "one shared cache": None}


def cache(size: Size, tell: Tell) -> Section:
    """How much of what a conversation can reuse in its second turn comes from the cache."""
    rows = []
    for layout, parallel in LAYOUTS.items():
        for talks in size.conversations:
            tell(f"cache: {talks} conversations, {layout}")
            plain = _second_turns(talks, parallel, through_model=False)
            ours = _second_turns(talks, parallel, through_model=True)
            rows.append({"name": f"{talks} on {_SLOTS}, {layout}", "plain": plain, "ours": ours})
    title = (
        "Prompt cache: interleaved conversations that share their system prompt, second turn, "
        "cached share of what the first turn had"
    )
    columns = {"plain": "plain requests", "ours": "TextModel"}
    return Section("cache", title, columns, rows, "ours")


def _second_turns(talks: int, parallel: int | None, *, through_model: bool) -> float:
    options: dict[str, Any] = {"parallel": parallel, "context_len": _CONTEXT}
    config = GenerateConfig(max_tokens=_ANSWER)
    with load_model(MODEL, **options) as model:
        model.load()
        client = model.connection.client

        def ask(messages: list[dict[str, str]]) -> tuple[int, int]:
            source = model.chat_events if through_model else client.chat
            events = list(source(messages, config))
            usage = next(event.usage for event in reversed(events) if event.usage)
            text = "".join(event.text for event in events)
            messages += [{"role": "assistant", "content": text}, {"role": "user", "content": "Go"}]
            return usage.prompt_tokens, usage.cached_tokens

        all_messages = [
            [
                {"role": "system", "content": _SYSTEM},
                {"role": "user", "content": f"{number} is where journey {number} begins"},
            ]
            for number in range(talks)
        ]
        first = [ask(messages) for messages in all_messages]
        second = [ask(messages) for messages in all_messages]
    return sum(cached for _, cached in second) / sum(tokens for tokens, _ in first)
