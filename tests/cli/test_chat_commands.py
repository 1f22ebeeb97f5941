"""What begins with a slash, and the files of conversations."""

from __future__ import annotations

import base64
import io
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from rocm_core.cli import main
from rocm_core.config import Engine
from tests.support.models.reciter import RECITER
from tests.support.servers.fake_server import FakeServer, answer, capture
from tests.support.servers.scripts import chat, say, script, sent

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


@pytest.fixture
def talker(scripted: FakeServer) -> FakeServer:
    script(scripted, *(chat(say(f"answer {number}")) for number in range(1, 6)))
    return scripted


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Hold a conversation of the given lines; return what stdout and stderr showed."""

    def hold(model: str, *lines: str, options: tuple[str, ...] = ()) -> tuple[str, str]:
        given = iter(lines)

        def next_line(_prompt: str) -> str:
            try:
                return next(given)
            except StopIteration:
                raise EOFError from None

        monkeypatch.setattr("builtins.input", next_line)
        assert main(["chat", "-m", model, *options]) == 0
        return capsys.readouterr()

    return hold


def roles(request: dict[str, Any]) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in request["messages"]]


@pytest.mark.parametrize("end", ["/bye", "/exit", "/quit"])
def test_every_word_for_the_end_ends(talker: FakeServer, typed: Any, end: str) -> None:
    typed(talker.url, end, "never sent")
    assert sent(talker) == []


def test_help_names_every_command(talker: FakeServer, typed: Any) -> None:
    for word in ("/help", "/?"):
        out, _ = typed(talker.url, word)
        listed = ("/system", "/model", "/save", "/load", "/stats", "/set", "/clear", "/bye", '"""')
        assert all(name in out for name in listed)


@pytest.mark.parametrize(
    ("line", "near"), [("/sytem x", "/system"), ("/hep", "/help"), ("/staats", "/stats")]
)
def test_an_unknown_command_names_the_nearest_and_is_not_sent(
    talker: FakeServer, typed: Any, line: str, near: str
) -> None:
    _, err = typed(talker.url, line, "/frobnicate")
    assert f"there is no command {line.split(maxsplit=1)[0]}. Did you mean {near}?" in err
    assert "there is no command /frobnicate. /help lists them all" in err
    assert sent(talker) == []


@pytest.mark.parametrize("text", ["/usr/bin/env is what?", " /help", "/ is a slash"])
def test_a_path_is_a_message(talker: FakeServer, typed: Any, text: str) -> None:
    typed(talker.url, text)
    assert roles(sent(talker)[0]) == [("user", text)]


def test_the_system_prompt_is_set_shown_and_stays_after_clear(
    talker: FakeServer, typed: Any
) -> None:
    out, _ = typed(
        talker.url, "/system", "/system Be brief", "Hello", "/clear", "/system", "Again",
        '/set system """Be', 'long"""', "Third",
    )  # fmt: skip
    assert out.startswith("no system prompt\n")
    assert "\nBe brief\n" in out
    first, second, third = map(roles, sent(talker))
    assert first == [("system", "Be brief"), ("user", "Hello")]
    assert second == [("system", "Be brief"), ("user", "Again")]
    assert third[0] == ("system", "Be\nlong")
    assert third[1:] == [("user", "Again"), ("assistant", "answer 2"), ("user", "Third")]


def test_options_are_set_by_our_names_and_by_those_of_ollama(
    talker: FakeServer, typed: Any
) -> None:
    out, err = typed(
        talker.url, "/set temperature 0.25", "/set parameter num_predict 7", "Hello", "/set",
        "/set temperature hot", "/set num_ctx many", "/set temprature 1", "/set quiet", "Again",
    )  # fmt: skip
    first, second = sent(talker)
    assert (first["temperature"], first["max_tokens"]) == (0.25, 7)
    assert second["temperature"] == 0.25
    assert "temperature = 0.25" in out
    assert "temperature takes" in err
    assert "context_len takes" in err
    assert "Did you mean temperature?" in err
    assert err.count("answer tokens") == 1


def test_stats_of_the_last_answer_and_of_all(talker: FakeServer, typed: Any) -> None:
    out, _ = typed(talker.url, "/stats", "Hello", "Again", "/stats")
    assert out.startswith("no answer yet\n")
    assert "conversation   2 answers, 14 answer tokens" in out
    assert "context        28 of " in out


def test_a_conversation_is_saved_and_taken_up(
    talker: FakeServer, typed: Any, tmp_path: Path
) -> None:
    file = tmp_path / "talk"
    _, err = typed(talker.url, "Hello", f"/save {file}", options=("--system", "Be brief"))
    kept = tmp_path / "talk.json"
    assert f"saved 2 messages in {kept}" in err
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    _, err = typed(talker.url, f"/load {file}", "Again", f"/save {kept}")
    assert "2 messages with " in err
    assert roles(sent(talker)[1]) == [
        ("system", "Be brief"),
        ("user", "Hello"),
        ("assistant", "answer 1"),
        ("user", "Again"),
    ]
    assert len(json.loads(kept.read_text())["messages"]) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["talk.json"]


def named(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


GOOD = {"format": "llama-rocm chat", "version": 1, "model": "m", "system": "", "messages": []}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "not json",
        json.dumps(GOOD | {"format": "other"}),
        json.dumps(GOOD | {"messages": [{"role": "tool", "content": "x"}]}),
        json.dumps(GOOD | {"messages": [{"role": "user", "content": 3}]}),
        json.dumps(GOOD | {"messages": [{"role": "user", "content": [{"type": "text"}]}]}),
        json.dumps(GOOD | {"messages": [{"role": "user", "content": [named("file:///x.png")]}]}),
        json.dumps(GOOD | {"messages": [{"role": "user", "content": [named("http://x/y")]}]}),
        json.dumps(GOOD | {"system": None}),
        json.dumps(GOOD | {"version": 2}),
    ],
)
def test_what_is_no_saved_conversation_is_neither_read_nor_replaced(
    talker: FakeServer, typed: Any, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "talk.json"
    file.write_text(content)
    _, err = typed(talker.url, f"/load {file}", "Hello", f"/save {file}")
    assert err.count(f"{file} ") == 2
    assert file.read_text() == content
    assert roles(sent(talker)[0]) == [("user", "Hello")]


def test_an_image_goes_with_one_message_and_is_saved_with_it(
    talker: FakeServer, typed: Any, tmp_path: Path
) -> None:
    image, kept = tmp_path / "dot.png", tmp_path / "talk.json"
    image.write_bytes(PNG)
    props = json.loads(capture("props.b11434"))
    props["modalities"] = {"vision": True, "audio": False}
    talker.script("/props", answer(json.dumps(props).encode()))
    _, err = typed(
        talker.url, f"/image {image}", "What is it?", "And now?", f"/save {kept}",
        "/image ~nobody-has-it/x.png",
        f"/load {kept}", f"/image {kept}", "/image", "/image gone.png",
    )  # fmt: skip
    first, second = (request["messages"] for request in sent(talker))
    data = "data:image/png;base64," + base64.b64encode(PNG).decode()
    parts = [{"type": "text", "text": "What is it?"}, named(data)]
    assert first[-1]["content"] == second[0]["content"] == parts
    assert second[-1]["content"] == "And now?"
    assert json.loads(kept.read_text())["messages"][0]["content"] == parts
    assert "by its first bytes it is not an image" in err
    assert "cannot read" in err and "gone.png" in err


def test_files_that_are_not_there_are_told(talker: FakeServer, typed: Any, tmp_path: Path) -> None:
    _, err = typed(
        talker.url, f"/load {tmp_path}/gone", f"/save {tmp_path}/no/talk", "/load", "/save"
    )
    assert f"there is no file {tmp_path}/gone.json; another model: /model {tmp_path}/gone" in err
    assert f"{tmp_path}/no/talk.json cannot be written" in err
    assert "/load FILE; another model: /model REF" in err


def test_a_saved_conversation_commands_no_terminal(
    talker: FakeServer, typed: Any, tmp_path: Path
) -> None:
    file = tmp_path / "talk.json"
    file.write_text(json.dumps(GOOD | {"model": "\x1b[31mred", "system": "\x1b]0;title\x07"}))
    out, err = typed(talker.url, f"/load {file}", "/system")
    assert "\x1b" not in out + err
    assert r"\x1b[31mred" in err and r"\x1b]0;title\x07" in out


def test_another_model_goes_on_with_the_conversation(
    talker: FakeServer, typed: Any, engine: Engine
) -> None:
    options = ("--engine", engine, "--max-tokens", "3")
    lines = ("Hello", f"/model {talker.url}", "Again", "/model ./gone.gguf", "Third", "/model")
    out, err = typed(RECITER, *lines, options=options)
    assert "goes on with the conversation" in err
    assert "no model './gone.gguf'" in err
    first, second = map(roles, sent(talker))
    assert first == [("user", "Hello"), ("assistant", "Hello! I am"), ("user", "Again")]
    assert second[-1] == ("user", "Third")
    assert "context: " in out


def test_an_option_of_the_load_loads_again_and_keeps_the_conversation(
    typed: Any, engine: Engine
) -> None:
    lines = ("Hello", "/set num_ctx 1024", "/model", "/set quiet", "Again", "/stats")
    out, err = typed(RECITER, *lines, options=("--engine", engine, "--max-tokens", "3"))
    assert "loaded again with context_len = 1024" in err
    assert "context: 1024 tokens" in out
    assert "conversation   2 answers" in out
    assert out.count("Hello! I am\n") == 2


def test_stdin_is_a_part_of_the_prompt_if_it_is_asked_for(
    talker: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("the notes\n"))
    assert main(["chat", "Summarize:", "--stdin", "-m", talker.url]) == 0
    monkeypatch.setattr("sys.stdin", io.StringIO("all of it"))
    assert main(["chat", "--stdin", "-m", talker.url]) == 0
    assert [roles(request)[0][1] for request in sent(talker)] == [
        "Summarize:\n\nthe notes\n",
        "all of it",
    ]


def test_a_model_that_cannot_be_loaded_leaves_the_one_before(
    typed: Any, engine: Engine, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF")
    options = ("--engine", engine, "--max-tokens", "3")
    out, err = typed(RECITER, "Hello", f"/model {broken}", "Again", options=options)
    assert "goes on" in err and "broken.gguf" in err
    assert out == "Hello! I am\n" * 2 + "\n"


def test_a_conversation_that_is_too_long_names_the_command_that_forgets(
    scripted: FakeServer, typed: Any
) -> None:
    body = {
        "error": {
            "code": 400,
            "message": "the request exceeds the available context size, try increasing it",
            "type": "exceed_context_size_error",
            "n_prompt_tokens": 9000,
            "n_ctx": 4096,
        }
    }
    scripted.script("/v1/chat/completions", answer(json.dumps(body).encode(), 400))
    _, err = typed(scripted.url, "Hello")
    assert "/clear forgets the conversation" in err
