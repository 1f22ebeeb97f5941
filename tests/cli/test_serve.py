"""``llama-rocm serve``: on which addresses, with which key, and for how long."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from rocm_core import LoadConfig, Server, resolve_ref
from rocm_core.cli import main
from rocm_core.config import Engine
from rocm_core.engine.command_line import Address
from rocm_core.errors import ConfigError
from rocm_core.shared.admin import list_servers, stop_server
from rocm_core.shared.registry import Registry
from tests.support.models.reciter import RECITER

COMMAND = [sys.executable, "-c", "from rocm_core.cli import main; raise SystemExit(main())"]
KEY = "sk-of-my-choice"
# Linux answers on all of 127.0.0.0/8, so this one stands for another interface.
EVERYWHERE = "0.0.0.0"


def status(url: str, key: str) -> int:
    request = urllib.request.Request(f"{url}/v1/models", headers={"Authorization": f"Bearer {key}"})
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code


@contextmanager
def serving(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running ``serve`` and what it said; ended by SIGINT unless the block did that."""
    program = subprocess.Popen(
        [*COMMAND, "serve", "-m", RECITER, "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with program:
        assert program.stdout
        said = ""
        for line in program.stdout:
            said += line
            if line.startswith("Ctrl-C"):
                break
        try:
            assert said, program.stderr and program.stderr.read()
            yield program, said
        finally:
            if program.poll() is None:
                program.send_signal(signal.SIGINT)


def url_in(said: str) -> str:
    return next(line.partition("=")[2] for line in said.splitlines() if "base_url=" in line)[:-3]


def test_other_machines_are_let_in_with_a_key_of_ones_choice(
    engine: Engine, tmp_path: Path
) -> None:
    file = tmp_path / "a key"
    file.write_text(f"{KEY}\n")
    options = ("--engine", engine, "--host", EVERYWHERE, "--api-key-file", str(file))
    with serving(*options) as (program, said):
        assert KEY not in said
        assert f"$(cat '{file}')" in said
        assert "without TLS" in said
        url = url_in(said)
        assert status(url, KEY) == 200
        assert status(url.replace("127.0.0.1", "127.0.0.2"), KEY) == 200
        assert status(url, "another") == 401
        family = psutil.Process(program.pid).children(recursive=True)
        assert not any(KEY in part for process in family for part in process.cmdline())


def test_by_default_nobody_else_is_let_in(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    with serving("--engine", engine, "--api-key-env", "MY_KEY") as (_, said):
        assert "api_key=$MY_KEY" in said
        url = url_in(said)
        assert status(url, KEY) == 200
        with pytest.raises(urllib.error.URLError):
            status(url.replace("127.0.0.1", "127.0.0.2"), KEY)


@pytest.mark.parametrize("host", [EVERYWHERE, "192.0.2.1", "::", "my-machine"])
def test_another_address_needs_a_key_of_ones_choice(
    host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "-m", RECITER, "--host", host]) == 1
    said = capsys.readouterr().err
    assert "lets other machines in: give an API key of your choice" in said
    assert "--api-key-file" in said


@pytest.mark.parametrize("key", ["", "a,b", "a\nb"])
def test_a_key_that_the_server_would_read_otherwise_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match="one line of text without commas"):
        Server(resolve_ref(RECITER), LoadConfig(), api_key=key)


@pytest.mark.parametrize("access", [{"host": "127.0.0.2"}, {"api_key": KEY}])
def test_a_server_that_is_shared_has_an_access_of_its_own(access: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="leave out host and api_key, or keep_alive"):
        Server(resolve_ref(RECITER), LoadConfig(keep_alive=5), **access)  # type: ignore[arg-type]


def test_an_address_of_another_machine_is_refused(engine: Engine) -> None:
    config = LoadConfig(engine=engine, port=0)
    server = Server(resolve_ref(RECITER), config, host="192.0.2.1", api_key=KEY)
    with pytest.raises(ConfigError, match=r"host='192\.0\.2\.1' is no address of this machine"):
        server.start()


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("192.0.2.1", "http://192.0.2.1:80"),
        ("2001:db8::1", "http://[2001:db8::1]:80"),
    ],
)
def test_where_a_client_on_this_machine_finds_it(host: str, url: str) -> None:
    assert Address(port=80, host=host).url == url


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_ipv6(engine: Engine) -> None:
    config = LoadConfig(engine=engine, port=0)
    server = Server(resolve_ref(RECITER), config, host="::1", api_key=KEY)
    server.start()
    assert server.url and server.url.startswith("http://[::1]:")
    assert server.client.health() == "ok"
    server.stop()


def test_with_keep_alive_the_server_outlives_the_command(
    engine: Engine, registry: Registry
) -> None:
    with serving("--engine", engine, "--keep-alive", "30s") as (program, said):
        assert "the server goes on until nobody has used it for 30 s" in said
        assert "ends it." not in said
        program.send_signal(signal.SIGINT)
        assert program.wait(30) == 0
        assert program.stderr
        assert program.stderr.read() == "the server goes on\n"
    (server,) = list_servers()
    assert server.facts["state"] == "ready"
    assert status(url_in(said), key_in(said)) == 200
    stop_server(server)


def key_in(said: str) -> str:
    return next(line.partition("=")[2] for line in said.splitlines() if "api_key=" in line)
