"""The benchmarks run and compare like with like. What they measure is not tested."""

from __future__ import annotations

import json
import math
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from benchmarks import __main__ as command
from benchmarks import memory, startup
from benchmarks.agents import script, tools
from benchmarks.contenders import Contender, Take
from benchmarks.contenders.base import HTTPX
from benchmarks.latency import Rung, climb, lateness
from benchmarks.measuring import WrongAnswer, cost_of
from benchmarks.process import ScriptedServer
from benchmarks.script import capture, pieces, writes
from benchmarks.section import Section, markdown
from benchmarks.streaming import Result, rows
from benchmarks.targets import judged
from tests.support.engines import HAS_BINARY
from tests.support.recorded_streams import read

ROUNDS, CHUNKS = 2, 50
OURS = {
    "StreamDecoder, in memory", "Client.chat", "AsyncClient.chat", "TextModel.chat_events",
    "ChatRocm.stream", "ChatRocm.astream", "ChatRocm.v3 events",
    "RocmLLM.stream_chat", "RocmLLM.astream_chat",
}  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


@pytest.mark.parametrize("mode", ["burst", "paced"])
def test_every_contender_delivers_the_same_text(
    mode: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # cost_of() raises for any other text
    file = tmp_path / "results.json"
    options = ["--rounds", str(ROUNDS), "--chunks", str(CHUNKS), "--only", mode]
    assert command.main([*options, "--json", str(file)]) == 0

    record = json.loads(file.read_text(encoding="utf-8"))
    assert (record["size"]["rounds"], record["size"]["chunks"]) == (ROUNDS, CHUNKS)
    [section] = record["sections"]
    assert section["name"] == mode
    names = [row["name"] for row in section["rows"]]
    assert {HTTPX, *OURS} <= set(names)
    for row in section["rows"]:
        assert len(row["rounds"]) == ROUNDS
        assert min(row["rounds"]) <= row["median"] <= max(row["rounds"])
        assert row["to_httpx"] > 0
    judgments = {row["what"]: row for row in record["targets"]}
    assert judgments[f"Client.chat / httpx, {mode}"]["measured"] > 0

    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert [line.split("|")[1].strip() for line in lines[2 : 2 + len(names)]] == names


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.timeout(600)
def test_every_measure_runs_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # each of these is an interpreter of its own
    monkeypatch.setattr(startup, "IMPORTS", startup.IMPORTS[:2])
    monkeypatch.setattr(startup, "CONSTRUCTORS", dict([*startup.CONSTRUCTORS.items()][:1]))
    monkeypatch.setattr(memory, "_CONTENDERS", {"Client.chat": "rocm_core"})
    file = tmp_path / "results.json"
    others = [name for name in command.MEASURES if name not in ("burst", "paced")]
    assert command.main(["--tiny", "--only", *others, "--json", str(file)]) == 0
    sections = {s["name"]: s for s in json.loads(file.read_text(encoding="utf-8"))["sections"]}
    assert list(sections) == others
    for name, section in sections.items():
        if name != "start" or HAS_BINARY:
            assert section["rows"], name
        for row in section["rows"]:
            assert row[section["plotted"]] is not None, (name, row)


def test_who_is_not_installed_is_left_out_with_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "langchain_openai", None)
    assert command.main(["--rounds", "1", "--chunks", "2", "--only", "burst"]) == 0
    printed = capsys.readouterr()
    assert "left out: ChatOpenAI (langchain_openai is not installed)" in printed.err
    assert "ChatRocm.stream" in printed.out
    assert "ChatOpenAI" not in printed.out


@pytest.mark.parametrize(("carries", "found"), [(500, 500), (300, 295), (2000, 1000), (0, 0)])
def test_the_ladder_finds_how_many_streams_keep_up(carries: int, found: int) -> None:
    def rung(streams: int) -> Rung:
        return Rung(streams, 0.001 if streams <= carries else 0.1, streams / 1000)

    best, last = climb(rung, 1000, lambda line: None)
    assert best.streams == found
    assert last.streams <= 1000


def test_only_late_tokens_of_streams_that_ran_at_once_count() -> None:
    steady = [0.02 * n for n in range(100)]
    held_up = [moment if moment < 1 else max(moment, 1.05) for moment in steady]
    assert lateness([steady, steady]) == pytest.approx(0, abs=1e-9)
    assert lateness([held_up]) == pytest.approx(0.05)  # 1.05 - 0.98, less the period
    assert lateness([steady, [moment + 10 for moment in steady]]) == math.inf


def test_targets_are_judged_where_there_are_numbers() -> None:
    rows_ = [{"name": "a", "ratio": 1.05}, {"name": "b", "ratio": 1.2}]
    [judgment] = judged([Section("growth", "Growth", {"ratio": "ratio"}, rows_)])
    assert (judgment["measured"], judgment["kept"]) == (1.2, False)


def test_a_contender_that_loses_text_is_refused(server: ScriptedServer) -> None:
    def short(take: Take) -> None:
        for piece in pieces(CHUNKS)[1:]:
            take(piece)

    with pytest.raises(WrongAnswer, match="short"):
        cost_of(Contender("short", short), server.taken, CHUNKS)


def test_ratios_compare_within_a_round() -> None:
    # the clock halves its speed in the second round
    results = [
        Result(HTTPX, None, [10.0, 20.0, 10.0]),
        Result("floor", None, [5.0, 10.0, 5.0]),
        Result("path", "floor", [15.0, 30.0, 15.0]),
    ]
    path = list(rows(results))[2]
    assert (path["to_httpx"], path["to_floor"], path["median"]) == (1.5, 3.0, 15.0)
    columns = {"median": "µs", "spread": "min-max", "to_httpx": "x", "to_floor": "x"}
    shown = markdown(Section("burst", "Cost", columns, [path]))
    assert "| path | 15.0 | 15.0-30.0 | 1.50 | 3.00 |" in shown


# ---------------------------------------------------------------------------
# The scripted server
# ---------------------------------------------------------------------------


def test_the_script_is_the_captured_stream() -> None:
    real = capture("chat_stream")
    assert b"".join(writes(real.count(b'"content":"'))) == real
    assert pieces(8)[0] == pieces(8)[7] == "Hello!"


def test_facts_are_those_of_a_real_server(server: ScriptedServer) -> None:
    url = server.url("burst", CHUNKS)
    assert httpx.get(f"{url}/health", trust_env=False).json() == {"status": "ok"}
    assert httpx.get(f"{url}/props", trust_env=False).content == capture("props")


def test_a_burst_comes_without_waiting_for_the_consumer(server: ScriptedServer) -> None:
    server.taken[0] = 0
    answer = httpx.post(f"{server.url('burst', CHUNKS)}/v1/chat/completions", trust_env=False)
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.content == b"".join(writes(CHUNKS))


def test_a_paced_event_comes_when_the_one_before_was_taken(server: ScriptedServer) -> None:
    server.taken[0] = 0
    url = httpx.URL(server.url("paced", 3))
    with socket.create_connection((url.host, url.port or 0), timeout=10) as connection:
        connection.sendall(b"POST %b/v1/chat/completions HTTP/1.1\r\n\r\n" % url.raw_path)
        _read_until(connection, b'"Hello!"')
        for taken in (1, 2):
            connection.settimeout(0.1)
            with pytest.raises(TimeoutError):
                connection.recv(1)
            connection.settimeout(10)
            server.taken[0] = taken
            assert connection.recv(65536).count(b"data: ") == 1
        server.taken[0] = 3
        _read_until(connection, b"[DONE]")


def test_a_ticking_answer_waits_for_a_slot(server: ScriptedServer) -> None:
    url = httpx.URL(server.url("tick-1000-1", 3))
    ask = b"POST %b/v1/chat/completions HTTP/1.1\r\n\r\n" % url.raw_path
    address = (url.host, url.port or 0)
    slow = httpx.URL(server.url("tick-60000000-1", 3))
    with socket.create_connection(address, timeout=10) as holder:
        holder.sendall(b"POST %b/v1/chat/completions HTTP/1.1\r\n\r\n" % slow.raw_path)
        _read_until(holder, b'"Hello!"')
        with socket.create_connection(address, timeout=0.1) as waiting:
            waiting.sendall(ask)
            with pytest.raises(TimeoutError):
                waiting.recv(1)
    with socket.create_connection(address, timeout=10) as other:
        other.sendall(ask.replace(b"-1/", b"-2/"))
        _read_until(other, b"[DONE]")


def _read_until(connection: socket.socket, mark: bytes) -> None:
    data = b""
    while mark not in data:
        received = connection.recv(65536)
        assert received
        data += received


# ---------------------------------------------------------------------------
# Agents
# ---------------------------------------------------------------------------


def test_every_agent_calls_both_tools_and_says_the_answer(
    capsys: pytest.CaptureFixture[str],
) -> None:
    # cost_of() raises for any other text, tools.check() for any other call
    options = ["--only", "agents", "--rounds", "1", "--chunks", "20"]
    assert command.main(options) == 0
    names = {
        line.split("|")[1].strip() for line in capsys.readouterr().out.splitlines() if "|" in line
    }
    agents = {"LangChain's floor", "ChatRocm", "ChatOpenAI", "LlamaIndex's floor", "RocmLLM"}
    assert {f"{name}, agent" for name in agents} <= names


def test_an_agent_that_skips_a_tool_is_refused() -> None:
    tools.get_weather("Oslo", 3)
    with pytest.raises(WrongAnswer, match="lazy"):
        tools.check("lazy", 1)
    tools.check("lazy", 0)


def test_each_step_of_the_task_is_what_a_server_writes() -> None:
    steps = [list(read(script.step_writes(step, 5))[0]) for step in range(script.STEPS)]
    calls = [[call for event in events for call in event.tool_calls] for events in steps]
    said = [(each[0].name, "".join(call.arguments for call in each)) for each in calls[:-1]]
    assert said == [*script.CALLS]
    assert [event.text for event in steps[-1] if event.text] == pieces(5)
