"""No key anywhere that others can see: a scan of everything that is printed, sent or kept."""

from __future__ import annotations

import copy
import json
import logging
import os
import pickle
import traceback
from pathlib import Path
from typing import Any

import psutil
import pytest
from langchain_core.load import dumpd

from langchain_rocm import ChatRocm, RocmLLM
from llama_index_rocm import RocmLLM as LlamaIndexLLM
from rocm_core import Client, LoadConfig, RemoteConfig, Server, TextModel, load_model, resolve_ref
from rocm_core.cli import main
from rocm_core.config import Engine
from rocm_core.doctor.endpoint import preflight_url
from rocm_core.errors import RocmError
from rocm_core.settings import current_settings
from tests.support.models.reciter import RECITER
from tests.support.servers.fake_server import FakeServer, answer, stream

KEY = "sk-very-secret-0123456789"
HEADER = "Bearer-proxy-secret-987654"
SECRETS = (KEY, HEADER)
HELLO = [{"role": "user", "content": "Hello"}]


def assert_clean(seen: object, secrets: tuple[str, ...] = SECRETS) -> None:
    text = seen.decode("latin-1") if isinstance(seen, bytes) else str(seen)
    for secret in secrets:
        assert secret not in text


def faces(made: Any) -> list[object]:
    """Every way in which an object is shown or kept."""
    shown: list[object] = [repr(made), str(made)]
    for name in ("model_dump", "model_dump_json", "to_json", "to_dict", "to_payload"):
        if hasattr(made, name):
            shown.append(getattr(made, name)())
    for name in ("_identifying_params", "lc_attributes", "metadata"):
        if hasattr(made, name):
            shown.append(getattr(made, name))
    return shown


@pytest.mark.parametrize("kind", [ChatRocm, RocmLLM, LlamaIndexLLM])
def test_adapters_show_and_keep_no_secret(kind: Any) -> None:
    made = kind(
        base_url="http://127.0.0.1:9",
        api_key=KEY,
        headers={"Authorization": HEADER},
        environment={"SOME_TOKEN": KEY},
    )
    for face in faces(made):
        assert_clean(face)
    assert_clean(pickle.dumps(made))
    if kind is not LlamaIndexLLM:
        assert_clean(json.dumps(dumpd(made)))
    assert copy.copy(made).api_key == copy.deepcopy(made).api_key == made.api_key
    with pytest.raises(Exception) as caught:
        kind(base_url="http://h", api_key=KEY, headers={"A": HEADER}, temperatur=1)
    assert_clean("".join(traceback.format_exception(caught.value)))


def test_an_unpickled_adapter_takes_the_key_of_where_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with FakeServer() as fake:
        fake.script("/props", answer("props.b11434"))
        fake.script("/v1/chat/completions", stream("chat_stream.b11434"))
        there = pickle.loads(pickle.dumps(ChatRocm(base_url=fake.url, api_key=KEY)))  # type: ignore[arg-type]
        monkeypatch.setenv("LLAMA_ROCM_API_KEY", "sk-of-the-other-machine")
        there.invoke("Hello")
        assert fake.requests[-1].headers["authorization"] == "Bearer sk-of-the-other-machine"
        there.close()


def test_configuration_and_clients_show_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    remote = RemoteConfig(api_key=KEY, headers={"Authorization": HEADER})
    model = load_model("http://127.0.0.1:9", api_key=KEY, headers={"Authorization": HEADER})
    client = Client("http://127.0.0.1:9", api_key=KEY, headers={"Authorization": HEADER})
    monkeypatch.setenv("LLAMA_ROCM_API_KEY", KEY)
    monkeypatch.setenv("LLAMA_ROCM_HEADERS", json.dumps({"Authorization": HEADER}))
    for made in (remote, model, model.connection, client, current_settings()):
        assert_clean(f"{made!r} {made}")
    client.close()


def test_failures_of_every_kind_show_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    scripts = [
        {"/props": answer("error_401.b11434", 401)},
        {"/props": answer("error_404.b11434", 404), "/v1/models": answer(b"<html>")},
        {"/props": answer("props.b11434")},  # no chat endpoint
        {"/props": answer("props.b11434"), "/v1/chat/completions": stream(b"data: {\n\n")},
    ]
    with FakeServer() as fake:
        urls = [fake.url, "http://127.0.0.1:9", fake.url.replace("//", f"//me:{KEY}@")]
        for script in scripts:
            for path, reply in script.items():
                fake.script(path, reply)
            for url in urls:
                with load_model(url, api_key=KEY, headers={"X-Proxy": HEADER}) as model:
                    with pytest.raises(RocmError) as caught:
                        list(model.chat(HELLO))
                    assert_clean("".join(traceback.format_exception(caught.value)))
                    assert_clean(f"{caught.value!r} {vars(caught.value)}")
                    assert_clean(pickle.dumps(caught.value))
                    assert_clean(f"{model.err()!r} {model!r} {model.connection.client!r}")
                assert_clean(preflight_url(url, KEY, {"X-Proxy": HEADER}, "m", dry_run=True))
    assert_clean(caplog.text)


def test_the_command_line_takes_no_key_and_shows_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    for arguments in (["config"], ["chat", "x", "-m", "http://127.0.0.1:9", "-v"]):
        main([*arguments, "--api-key-env", "MY_KEY"])
    with pytest.raises(SystemExit):
        main(["chat", "--help"])
    shown = capsys.readouterr()
    assert_clean(shown.out + shown.err)
    assert "--api-key " not in shown.out


def test_a_server_of_our_own_keeps_its_key_to_itself(
    engine: Engine, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    server = Server(resolve_ref(RECITER), LoadConfig(engine=engine))
    server.start()
    secret = (server.api_key or "",)
    assert len(secret[0]) > 20
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    for process in family:
        assert_clean(process.cmdline(), secret)
    assert_clean(f"{server!r} {server.client!r} {server.aclient!r}", secret)
    list(server.client.completion("x"))
    directory = Path(server.client.uds or "").parent
    for file in directory.iterdir():
        if file.is_file():
            assert_clean(file.read_bytes(), secret)
    os.kill(server.pid or 0, 9)
    with pytest.raises(RocmError) as caught:
        for _ in range(100):
            server.client.props()
    assert_clean("".join(traceback.format_exception(caught.value)), secret)
    assert_clean(pickle.dumps(caught.value), secret)
    assert_clean("\n".join(server.log_tail()), secret)
    server.stop()
    assert_clean(caplog.text, secret)


def test_the_pickle_of_a_model_has_no_key_of_its_server(model: TextModel) -> None:
    model.load()
    key = model.connection.client._headers["authorization"].removeprefix("Bearer ")
    assert key and key.encode() not in pickle.dumps(model)
