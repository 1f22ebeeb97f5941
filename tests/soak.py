"""Faults of every kind at once, for minutes: ``python -m tests.soak --seconds 120 --seed 4``.

Three groups of clients stream the same answer over and over: 16 threads on a private server, 4 on
a shared one (beside other programs that come and are killed), and 4 through a proxy that spoils
bytes. Every answer is compared with the right one, and every call with its time limit. No part of
the test run; prints a report.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import gc
import json
import os
import random
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from rocm_core import GenerateConfig, LoadConfig, RocmError, Server, TextModel, load_model
from rocm_core.discover.refs import resolve_ref
from rocm_core.shared.admin import SharedServerInfo, list_servers, stop_server
from rocm_core.shared.rotating_log import tail
from tests.support.leftovers import described, lives, processes_of
from tests.support.models.reciter import RECITER
from tests.support.programs import Program, wait_for

HELLO = [{"role": "user", "content": "Hello"}]
# Seconds for each call, and by how much it may be late.
LIMIT, SLACK = 30.0, 3.0
# Seconds after the last client: the keep-alive time, and what a busy machine adds.
GONE_WITHIN = 40.0
ANSWER = GenerateConfig(max_tokens=150, ignore_eos=True, temperature=0.0, timeout=LIMIT)
SHARED_PROGRAM = """
import sys
from rocm_core import load_model
model = load_model(sys.argv[2], engine=sys.argv[1], keep_alive=5, context_len=1024)
while True:
    try:
        for token in model.chat([{"role": "user", "content": "Hello"}], max_tokens=50):
            pass
        print("answered", flush=True)
    except Exception as error:
        print(type(error).__name__, flush=True)
"""


class Proxy:
    """Passes bytes on to a server on loopback, and spoils what comes back now and then."""

    def __init__(self, port: int, chance: random.Random, count: Callable[[str], None]) -> None:
        self._target = ("127.0.0.1", port)
        self._chance, self._count = chance, count
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        ways = contextlib.ExitStack()
        with ways, contextlib.suppress(OSError):
            ways.enter_context(client)
            server = ways.enter_context(socket.create_connection(self._target))
            up = threading.Thread(target=self._pass, args=(client, server), daemon=True)
            up.start()
            with contextlib.suppress(OSError):
                self._spoil(server, client)
            for side in (client, server):
                with contextlib.suppress(OSError):
                    side.shutdown(socket.SHUT_RDWR)
            up.join()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def _spoil(self, source: socket.socket, target: socket.socket) -> None:
        while data := source.recv(65536):
            if self._chance.random() < 0.01:
                kind = self._chance.choice(["cut", "delay", "duplicate", "garble"])
                self._count(f"proxy: {kind}")
                at = self._chance.randrange(len(data))
                if kind == "cut":
                    target.sendall(data[:at])
                    return
                if kind == "delay":
                    time.sleep(self._chance.uniform(0.05, 0.5))
                if kind == "duplicate":
                    data = data[: at + 1] + data[at:]
                if kind == "garble":
                    data = data[:at] + b"\xff\x00" + data[at + 2 :]
            target.sendall(data)


class Soak:
    """The run and its counts."""

    def __init__(self, engine: str, seed: int) -> None:
        self.engine: Any = engine
        self.chance = random.Random(seed)
        self.faults: collections.Counter[str] = collections.Counter()
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.errors: collections.Counter[str] = collections.Counter()
        self.wrong: list[str] = []
        self.late: list[str] = []
        self.longest = 0.0
        self._lock = threading.Lock()
        self.over = threading.Event()
        self.processes: set[psutil.Process] = set()
        self.right = ""

    def fault(self, kind: str) -> None:
        with self._lock:
            self.faults[kind] += 1

    def ask(self, group: str, model: Callable[[], TextModel]) -> None:
        while not self.over.is_set():
            begun = time.monotonic()
            try:
                text = "".join(token.text for token in model().chat(HELLO, ANSWER))
                outcome, right = "answered", text == self.right
            except RocmError as error:
                outcome, right = "failed with a typed error", True
                with self._lock:
                    self.errors[f"{group}: {type(error).__name__}"] += 1
            except Exception as error:
                outcome, right = "failed with an untyped error", False
                text = repr(error)
            took = time.monotonic() - begun
            with self._lock:
                self.longest = max(self.longest, took)
                if took > LIMIT + SLACK:
                    self.late.append(f"{group}: {took:.1f} s")
                self.outcomes[f"{group}: {outcome}"] += 1
                if not right:
                    self.wrong.append(f"{group}: {text[:2000]!r}")
            if outcome != "answered":
                self.over.wait(0.02)

    def in_a_thread(self, failed: threading.ExceptHookArgs) -> None:
        """Take note of an exception that ended one of the package's threads."""
        with self._lock:
            self.wrong.append(
                f"thread {failed.thread and failed.thread.name}: {failed.exc_value!r}"
            )

    # -- faults -----------------------------------------------------------------------------

    def remember(self, pid: int | None) -> None:
        """Take note of a process that has to be gone at the end."""
        with contextlib.suppress(psutil.NoSuchProcess):
            if pid:
                self.processes.add(psutil.Process(pid))

    def signal_server(self, server: Server, kind: str) -> None:
        pid = server.pid
        if pid is None:
            return
        self.remember(pid)
        with contextlib.suppress(ProcessLookupError):
            if kind == "SIGKILL":
                os.kill(pid, signal.SIGKILL)
            else:
                os.kill(pid, signal.SIGSTOP)
                time.sleep(self.chance.uniform(0.05, 0.5))
                os.kill(pid, signal.SIGCONT)
        self.fault(f"{kind} of a server")

    def hurt_shared(self, kind: str) -> None:
        for listed in list_servers():
            for pid in (listed.facts["pid"], listed.facts["daemon_pid"]):
                self.remember(pid)
            if kind == "daemon" and listed.facts["daemon_pid"]:
                os.kill(listed.facts["daemon_pid"], signal.SIGKILL)
                self.fault("SIGKILL of a daemon")
            if kind == "entry":
                path = Path(listed.facts["log"]).with_suffix(".json")
                with contextlib.suppress(OSError):
                    path.write_bytes(self.chance.randbytes(self.chance.randrange(300)))
                self.fault("registry entry garbled")


def run(engine: str, seconds: float, seed: int) -> Soak:
    """All faults, all clients, for so many seconds."""
    soak = Soak(engine, seed)
    threading.excepthook = soak.in_a_thread
    models: dict[str, TextModel] = {}

    def load(name: str, **options: Any) -> None:
        old = models.get(name)
        models[name] = load_model(RECITER, engine=soak.engine, **options)
        if old is not None:
            old.close()

    def reload_private() -> None:
        load("private", context_len=1024 + soak.chance.randrange(64), parallel=4)

    reload_private()
    load("shared", keep_alive=5, context_len=1024)
    soak.right = "".join(token.text for token in models["private"].chat(HELLO, ANSWER))
    behind = Server(resolve_ref(RECITER), LoadConfig(engine=soak.engine, port=0))
    behind.start()
    proxy = Proxy(int((behind.url or "").rpartition(":")[2]), random.Random(seed + 1), soak.fault)
    models["proxy"] = load_model(proxy.url, api_key=behind.api_key)
    guests: list[Program] = []
    groups = ["private"] * 16 + ["shared"] * 4 + ["proxy"] * 4
    workers = [
        threading.Thread(target=soak.ask, args=(name, lambda name=name: models[name]))
        for name in groups
    ]
    for worker in workers:
        worker.start()
    end, kills = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        soak.over.wait(soak.chance.uniform(0.3, 1.5))
        name = soak.chance.choice(["private", "shared"])
        kind = soak.chance.choice(["SIGKILL", "SIGSTOP", "SIGSTOP", "daemon", "entry", "guest"])
        server = models[name].connection.server  # type: ignore[attr-defined]
        if kind in ("SIGKILL", "SIGSTOP"):
            soak.signal_server(server, kind)
        elif kind == "guest":
            guests.append(Program(SHARED_PROGRAM, engine, RECITER))
            if len(guests) > 2:
                guests.pop(soak.chance.randrange(len(guests))).kill()
                soak.fault("SIGKILL of a program that shares")
        else:
            soak.hurt_shared(kind)
        kills += kind in ("SIGKILL", "daemon")
        if kills == 3:  # before the crash limit: what its error message advises
            kills = 0
            models["shared"].close()
            load("shared", keep_alive=5, context_len=1024)
            reload_private()
            for listed in list_servers():
                stop_server(listed)
    soak.over.set()
    for worker in workers:
        worker.join(2 * LIMIT)
    for guest in guests:
        guest.kill()
        guest.close()
    for model in models.values():
        model.close()
    behind.stop()
    proxy.close()
    return soak


def report(soak: Soak, orphans: list[str], leaked: int) -> dict[str, Any]:
    """What the run showed."""
    return {
        "faults": dict(sorted(soak.faults.items())),
        "requests": dict(sorted(soak.outcomes.items())),
        "typed errors": dict(sorted(soak.errors.items())),
        "wrong or silently short answers": len(soak.wrong),
        "late calls": soak.late,
        "longest call, s": round(soak.longest, 1),
        "orphans": orphans,
        "leaked descriptors": leaked,
    }


def left_behind(soak: Soak, directory: str) -> list[str]:
    """What should not be there any more, each in words: processes, then servers of the registry."""
    processes = processes_of(directory) | set(filter(lives, soak.processes))
    processes |= set(filter(lives, psutil.Process().children(recursive=True)))
    return sorted(map(described, processes)) + [_listed(server) for server in list_servers()]


def _listed(server: SharedServerInfo) -> str:
    facts = {name: server.facts[name] for name in ("state", "pid", "daemon_pid", "clients", "idle")}
    last = [line for line in tail(server.log)[-5:] if line]
    return f"registry: server {server.key}: {facts}; its log ends with {last}"


def main() -> int:
    """Run, report, and tell by the exit code whether all was well."""
    parser = argparse.ArgumentParser(prog="tests.soak")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--engine", choices=("binary", "embedded"), default="binary")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        os.environ["XDG_RUNTIME_DIR"] = directory
        with load_model(RECITER, engine=options.engine) as model:
            model.load()  # what a program opens once and keeps
        before = psutil.Process().num_fds()
        soak = run(options.engine, options.seconds, options.seed)
        with contextlib.suppress(AssertionError):
            wait_for(lambda: not left_behind(soak, directory), GONE_WITHIN)
        gc.collect()
        orphans = left_behind(soak, directory)
        leaked = psutil.Process().num_fds() - before
    print(json.dumps(report(soak, orphans, leaked), indent=2))
    for text in soak.wrong[:10]:
        print(f"wrong, instead of {soak.right[:60]!r}…: {text}", file=sys.stderr)
    return 1 if soak.wrong or soak.late or orphans or leaked > 0 else 0


if __name__ == "__main__":
    raise SystemExit(main())
