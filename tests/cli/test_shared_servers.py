"""``llama-rocm ps``, ``top``, ``stop`` and ``logs`` of servers that outlive their program."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rocm_core import GenerateConfig
from rocm_core.cli import main
from rocm_core.config import Engine
from rocm_core.shared.admin import find_servers, list_servers, stop_server
from rocm_core.shared.registry import Registry
from tests.support.programs import PATIENCE, wait_for
from tests.support.sharing import say_hello, shared


def test_ps_tells_the_facts(
    engine: Engine, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    server = shared(engine, context_len=512, parallel=2, prompt_cache="96M")
    server.start()
    stream = server.client.completion("x", GenerateConfig(max_tokens=400, ignore_eos=True))
    next(stream)
    assert main(["ps", "--json"]) == 0
    (facts,) = json.loads(capsys.readouterr().out)
    assert facts["model"] == "reciter"
    assert facts["pid"] == server.pid
    assert (facts["slots_total"], facts["n_ctx"], facts["vram"]) == (2, 512, None)
    assert (facts["prompt_cache"], facts["rss"] > 1 << 20) == (96 << 20, True)
    assert facts["address"] == server.client.address
    assert (facts["state"], facts["clients"]) == ("ready", 1)
    assert facts["keep_alive_left"] <= 60
    assert Path(facts["log"]).read_text()
    stream.close()
    assert main(["ps"]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split()[:2] == ["MODEL", "PID"]
    assert facts["log"] in row
    assert "PROMPT CACHE" in head and "96.0 MiB" in row
    server.stop()


def test_top_shows_the_shared_servers(
    engine: Engine, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    server = shared(engine, prompt_cache="96M")
    server.start()
    assert main(["top", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["servers"]
    assert told["slots"] >= 1
    assert told["rss"] > 0
    assert told["prompt_cache"] == 96 << 20
    assert main(["top"]) == 0
    assert "at most 96.0 MiB" in capsys.readouterr().out
    server.stop()


def test_idle_is_since_the_last_request_of_anybody(engine: Engine, registry: Registry) -> None:
    first, second = shared(engine), shared(engine)
    first.start()
    second.start()
    wait_for(lambda: list_servers(registry)[0].facts["idle"] > 0.5)
    asked = time.monotonic()
    say_hello(first)
    idle = list_servers(registry)[0].facts["idle"]
    assert idle <= time.monotonic() - asked
    first.stop()
    second.stop()


def test_stop_and_logs_by_name_and_pid(
    engine: Engine, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    server = shared(engine)
    server.start()
    assert main(["logs", "reciter"]) == 0
    assert "listening on" in capsys.readouterr().out
    assert main(["stop", "no-such-model"]) == 1
    assert f"reciter (pid {server.pid})" in capsys.readouterr().err
    assert main(["stop"]) == 1
    assert main(["stop", str(server.pid)]) == 0
    assert capsys.readouterr().out == f"stopped reciter (pid {server.pid})\n" or server.pid is None
    assert list_servers(registry) == []
    assert main(["stop", "--all"]) == 0
    server.stop()


def test_logs_follow_until_the_server_ends(engine: Engine, registry: Registry) -> None:
    server = shared(engine)
    server.start()
    command = [sys.executable, "-c", "import sys; from rocm_core.cli import main; sys.exit(main())"]
    following = subprocess.Popen(
        [*command, "logs", "reciter", "-f", "-n", "1"], stdout=subprocess.PIPE, text=True
    )
    with following:
        assert following.stdout
        assert following.stdout.readline()
        say_hello(server)
        for line in following.stdout:
            if "stop processing" in line or "release" in line:
                break
        stop_server(find_servers("reciter", registry)[0], registry)
        assert following.wait(PATIENCE) == 0
    server.stop()
