"""Serialization and tracing: everything comes back, except the key."""

from __future__ import annotations

import json
import pickle
import warnings
from typing import Any

import pytest
from langchain_core.load import dumps, loads
from langchain_core.messages import HumanMessage
from langchain_core.runnables import ConfigurableField
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run

from langchain_rocm import ChatRocm, RocmLLM
from tests.support.models.reciter import ANSWER, RECITER
from tests.support.servers.scripts import authored, sent

KEY = "sk-very-secret"
OPTIONS: dict[str, Any] = {
    "base_url": "http://127.0.0.1:9",
    "api_key": KEY,
    "temperature": 0.25,
    "stop": ["x"],
    "extra_body": {"x": 1},
}


def revived(text: str, cls: type[Any], **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LangChain calls its loading a beta
        return loads(text, allowed_objects=[cls], valid_namespaces=["langchain_rocm"], **options)


@pytest.mark.parametrize("cls", [ChatRocm, RocmLLM])
def test_a_round_trip_without_the_key(cls: type[Any]) -> None:
    model = cls(**OPTIONS)
    text = dumps(model)
    assert KEY not in text
    bare = revived(text, cls)
    assert bare.api_key is None
    assert bare.asdict() == model.asdict()
    full = revived(text, cls, secrets_map={"LLAMA_ROCM_API_KEY": KEY})
    assert full.api_key.get_secret_value() == KEY


def test_the_key_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_ROCM_API_KEY", KEY)
    chat = ChatRocm(base_url="http://127.0.0.1:9")
    assert chat.api_key is not None and chat.api_key.get_secret_value() == KEY
    assert ChatRocm(model=RECITER).api_key is None  # our own servers make their keys
    assert KEY not in f"{chat!r}{chat.asdict()}{dumps(chat)}"


class Tracer(BaseTracer):
    """Keeps what a tracing service would be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[Run] = []

    def _persist_run(self, run: Run) -> None:
        self.runs.append(run)


def test_traces_show_the_model_of_the_call_and_no_key() -> None:
    with authored(lambda body: {"content": "Hello"}) as server:
        chat = ChatRocm(base_url=server.url, api_key=KEY)  # type: ignore[arg-type]
        tracer = Tracer()
        message = chat.invoke("Hi", config={"callbacks": [tracer]}, model="other", temperature=0)
        list(chat.stream("Hi", config={"callbacks": [tracer]}))
    for run in tracer.runs:
        assert KEY not in json.dumps(run.model_dump(mode="json"), default=str)
    metadata = (tracer.runs[0].extra or {})["metadata"]
    assert metadata["ls_model_name"] == "other"
    assert metadata["ls_temperature"] == 0
    assert metadata["ls_provider"] == message.response_metadata["model_provider"] == "rocm"
    assert sent(server)[0]["model"] == message.response_metadata["model_name"] == "other"
    assert tracer.runs[1].outputs is not None


def test_a_pickled_chat_attaches_to_the_server_again(chat: ChatRocm) -> None:
    twin = pickle.loads(pickle.dumps(chat))
    assert twin._text_model is None
    assert twin.invoke("Hi").text == ANSWER
    twin.close()


def test_configurable_fields_and_alternatives(chat: ChatRocm) -> None:
    shortened = chat.configurable_fields(max_tokens=ConfigurableField(id="length"))
    assert shortened.with_config(configurable={"length": 1}).invoke("Hi").text == "Hello!"
    assert shortened.invoke("Hi").text == ANSWER
    choice = chat.configurable_alternatives(ConfigurableField(id="which"), default_key="demo")
    assert choice.invoke([HumanMessage("Hi")]).text == ANSWER


def test_fallbacks(chat: ChatRocm) -> None:
    nobody = ChatRocm(base_url="http://127.0.0.1:9", max_retries=0)
    assert nobody.with_fallbacks([chat]).invoke("Hi").text == ANSWER
    schema = {
        "title": "A",
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
    }
    with authored(lambda body: {"content": "no JSON"}) as server:
        stubborn = ChatRocm(base_url=server.url).with_structured_output(schema)
        assert "a" in stubborn.with_fallbacks([chat.with_structured_output(schema)]).invoke("Hi")
