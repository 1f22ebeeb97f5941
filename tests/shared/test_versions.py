"""Two versions of this package beside each other: older and newer clients, daemons and entries."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

import rocm_core
from rocm_core import Server
from rocm_core.cli import main
from rocm_core.config import Engine
from rocm_core.errors import RocmError, ServerStalled, ServerStartError
from rocm_core.shared import lease
from rocm_core.shared.admin import list_servers
from rocm_core.shared.protocol import VERSION, Channel, error_from_line, error_to_line
from rocm_core.shared.registry import Registry
from tests.support.models.reciter import RECITER
from tests.support.programs import PATIENCE, Program, runs
from tests.support.sharing import NOTEBOOK, say_hello, shared, shared_key

NEWER, OLDER = {"protocol": VERSION + 1}, {"protocol": VERSION - 1}
OTHERS = pytest.mark.parametrize("stated", [NEWER, OLDER, {}], ids=["newer", "older", "none"])


# -- a client of another version, and a daemon of this one ------------------------------------


@contextmanager
def connection(registry: Registry) -> Iterator[Channel]:
    """To the daemon of the only server."""
    channel = Channel.connect(next(registry.directory.glob("*.sock")), PATIENCE)
    try:
        yield channel
    finally:
        channel.close()


@pytest.fixture
def running(engine: Engine) -> Iterator[Server]:
    server = shared(engine)
    server.start()
    yield server
    server.stop()


@OTHERS
def test_a_client_of_another_version_gets_no_lease_and_is_told_why(
    running: Server, registry: Registry, stated: dict[str, Any]
) -> None:
    with connection(registry) as client:
        client.send(op="acquire", keep_alive=1.0, **stated)
        assert client.receive(PATIENCE) == {"is": "welcome", "protocol": VERSION}
        failed = client.receive(PATIENCE)
        assert failed and failed["is"] == "failed"
        assert client.receive(PATIENCE) is None
    error = error_from_line(failed["error"])
    assert isinstance(error, ServerStartError)
    assert f"protocol {stated.get('protocol', 0)}). End it with: llama-rocm stop" in str(error)
    facts = list_servers(registry)[0].facts
    assert (facts["clients"], facts["keep_alive"]) == (1, 60)
    assert say_hello(running) == "Hello! I am"


def test_a_client_with_another_word_for_acquire_is_told_why(
    running: Server, registry: Registry
) -> None:
    """Before there was a version, the word was ``attach``."""
    with connection(registry) as client:
        client.send(op="attach", keep_alive=60.0)
        failed = client.receive(PATIENCE)
        assert failed and "another version" in str(error_from_line(failed["error"]))
        assert client.receive(PATIENCE) is None


def test_a_daemon_ignores_fields_and_messages_that_it_does_not_know(
    running: Server, registry: Registry
) -> None:
    with connection(registry) as client:
        client.send(op="acquire", protocol=VERSION, keep_alive=50.0, priority={"level": 3})
        for line in client.lines():
            if line.get("is") == "ready":
                break
        client.send(mood="fine")
        client.send(idle=0.5, streams=[1, 2])
        facts = list_servers(registry)[0].facts
        assert (facts["clients"], facts["keep_alive"]) == (2, 50)
    with connection(registry) as client:
        client.send(op="status", verbose=True)
        status = client.receive(PATIENCE)
        assert status and status["state"] == "ready"
        # Packages without a version stop a server by this name of the daemon.
        assert status["keeper_pid"] == status["daemon_pid"]


# -- a daemon of another version, and a client of this one ------------------------------------


class ScriptedDaemon:
    """Listens where the daemon of ``server`` would, and sends what a test says."""

    def __init__(self, server: Server, registry: Registry) -> None:
        self.key = shared_key(server)
        self._path = registry.path(self.key, "sock")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._path))
        self._listener.listen()
        self.outcome: BaseException | None = None
        self.progress: list[float] = []
        self._client = threading.Thread(target=self._start, args=(server,))
        self._client.start()

    def _start(self, server: Server) -> None:
        try:
            server.start(self.progress.append)
        except RocmError as error:
            self.outcome = error

    def accept(self) -> Channel:
        return Channel(self._listener.accept()[0])

    def close(self) -> None:
        self._client.join(PATIENCE)
        assert not self._client.is_alive()
        self._listener.close()
        self._path.unlink()


@pytest.fixture
def scripted_daemon(registry: Registry) -> Iterator[ScriptedDaemon]:
    server = shared("embedded")
    daemon = ScriptedDaemon(server, registry)
    yield daemon
    server.stop()


@OTHERS
def test_a_server_of_another_version_is_not_used_and_the_error_says_what_to_do(
    scripted_daemon: ScriptedDaemon, stated: dict[str, Any]
) -> None:
    channel = scripted_daemon.accept()
    assert channel.receive(PATIENCE) == {"op": "acquire", "protocol": VERSION, "keep_alive": 60}
    channel.send(**{"is": "welcome", "motto": "be brief", **stated})
    assert channel.receive(PATIENCE) is None
    scripted_daemon.close()
    channel.close()
    assert isinstance(scripted_daemon.outcome, ServerStartError)
    assert f"llama-rocm stop {scripted_daemon.key}; or use keep_alive=0" in str(
        scripted_daemon.outcome
    )


def test_a_client_ignores_fields_and_messages_that_it_does_not_know(
    scripted_daemon: ScriptedDaemon,
) -> None:
    channel = scripted_daemon.accept()
    channel.receive(PATIENCE)
    channel.send(**{"is": "welcome", "protocol": VERSION, "motto": "be brief"})
    channel.send(weather="fine")
    channel.send(**{"is": "queued", "position": 4})
    channel.send(**{"is": "progress", "share": 0.5, "seconds_left": 3})
    error = error_to_line(ServerStartError("enough"))
    channel.send(**{"is": "failed", "error": {**error, "type": "QuotaExceeded", "url": "x"}})
    scripted_daemon.close()
    channel.close()
    assert type(scripted_daemon.outcome) is RocmError
    assert "enough" in str(scripted_daemon.outcome)
    assert scripted_daemon.progress == [0.5]


@pytest.fixture
def short_changeover(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "_CHANGEOVER_TIMEOUT", 0.2)


def test_a_daemon_that_closes_every_connection_is_given_up(
    short_changeover: None, scripted_daemon: ScriptedDaemon
) -> None:
    """As one did that had another word for ``acquire``, before there was a version."""
    while scripted_daemon.outcome is None:
        scripted_daemon._listener.settimeout(0.1)
        try:
            scripted_daemon.accept().close()
        except TimeoutError:
            continue
    scripted_daemon.close()
    assert isinstance(scripted_daemon.outcome, ServerStalled)


def test_a_package_that_was_replaced_under_a_running_program_is_told(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program's modules are the old ones; the daemon that it starts imports the new ones."""
    monkeypatch.setattr(lease, "VERSION", VERSION - 1)
    server = shared(engine)
    with pytest.raises(ServerStartError, match="Restart this program"):
        server.start()


# -- registry entries -------------------------------------------------------------------------


def test_an_entry_of_another_version_is_read(running: Server, registry: Registry) -> None:
    path = next(registry.directory.glob("*.json"))
    entry = registry.read(path.stem)
    assert entry
    data = orjson.loads(path.read_bytes())
    data |= {"started": 12.5, "labels": {"team": "a"}, "gpu": None, "server_version": ["b", 1]}
    path.write_bytes(orjson.dumps(data))
    assert registry.read(path.stem) == entry
    data["keeper"] = data.pop("daemon")  # its name before there was a version
    path.write_bytes(orjson.dumps(data))
    assert registry.read(path.stem) == entry


def test_files_that_only_a_newer_version_knows_are_swept_too(registry: Registry) -> None:
    key = "d" * 16
    for suffix in ("json", "gpu", "log.7"):
        registry.path(key, suffix).touch()
    registry.sweep()
    assert list(registry.directory.iterdir()) == []


def test_a_status_with_other_facts_is_listed(
    registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a version whose daemon says less, and says one thing more."""
    key = "b" * 16
    lock = registry.lock(key)
    assert lock is not None
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(registry.path(key, "sock")))
        listener.listen()

        def reply() -> None:
            channel = Channel(listener.accept()[0])
            assert channel.receive(PATIENCE) == {"op": "status"}
            facts = {"key": key, "model": "m", "state": "ready", "pid": None}
            channel.send(**facts, protocol=9, temperature=61, keeper_pid=7, attached=2)
            channel.close()

        daemon = threading.Thread(target=reply)
        daemon.start()
        assert main(["ps", "--json"]) == 0
        daemon.join(PATIENCE)
    (facts,) = json.loads(capsys.readouterr().out)
    assert (facts["model"], facts["protocol"], facts["n_ctx"]) == ("m", 9, None)
    # Without a version two facts had other names.
    assert (facts["daemon_pid"], facts["clients"]) == (7, 2)
    assert not {"keeper_pid", "attached"} & set(facts)
    assert facts["log"] == str(registry.path(key, "log"))
    registry.remove(key)
    os.close(lock)


# -- two whole packages -----------------------------------------------------------------------


def newer_package(directory: Path) -> None:
    """This package with the next protocol version: links to its files, but for one."""
    package = Path(rocm_core.__file__).parent
    changed = package / "shared" / "protocol.py"
    for source, target in (
        (package, directory / "rocm_core"),
        (package / "shared", directory / "rocm_core" / "shared"),
    ):
        target.mkdir()
        for path in source.iterdir():
            if path not in (package / "shared", changed, source / "__pycache__"):
                (target / path.name).symlink_to(path)
    text, version = changed.read_text(), f"\nVERSION = {VERSION}\n"
    assert version in text
    copy = directory / "rocm_core" / "shared" / "protocol.py"
    copy.write_text(text.replace(version, f"\nVERSION = {VERSION + 1}\n"))


def test_two_versions_start_a_server_each_and_both_can_stop_both(
    engine: Engine,
    registry: Registry,
    start: Callable[..., Program],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    newer_package(tmp_path)
    in_newer = f"import os; os.chdir({str(tmp_path)!r})\n"
    ours = start(NOTEBOOK, engine, "60s", RECITER)
    pid = int(ours.line())
    other = int(start(in_newer + NOTEBOOK, engine, "60s", RECITER).line())
    assert other != pid
    assert main(["ps", "--json"]) == 0
    listed = {facts["pid"]: facts for facts in json.loads(capsys.readouterr().out)}
    assert listed[pid]["protocol"] == VERSION
    assert listed[other]["protocol"] == VERSION + 1
    assert {facts["state"] for facts in listed.values()} == {"ready"}
    assert main(["logs", str(other)]) == 0
    assert "listening on" in capsys.readouterr().out
    assert main(["stop", str(other)]) == 0
    assert not runs(other)
    ours.say("stream")
    assert ours.line() == "streaming"
    commands = "from rocm_core.cli import main; main(['ps']); main(['stop', 'reciter'])"
    newer = start(in_newer + commands)
    assert newer.line().startswith("MODEL")
    assert str(pid) in newer.line()
    assert newer.line() == f"stopped reciter (pid {pid})"
    assert list_servers(registry) == []
