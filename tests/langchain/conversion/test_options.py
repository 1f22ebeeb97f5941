"""Options and inputs: what is on the wire, and what is refused before."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.rate_limiters import InMemoryRateLimiter

from langchain_rocm import ChatRocm, RocmLLM, errors
from rocm_core.config import SAMPLING_FIELDS
from tests.support.models.reciter import ANSWER, FIRST_PIECE_ID, PIECES, RECITER
from tests.support.models.vision import ONE_PIXEL
from tests.support.servers.fake_server import FakeServer, answer, stream
from tests.support.servers.scripts import authored, sent

VALUES: dict[str, Any] = {
    "grammar": 'root ::= "x"',
    "dry_sequence_breakers": ["\n"],
    "samplers": ["top_k", "temperature"],
    "logit_bias": {"5": -1.0},
    "ignore_eos": False,
    "cache_prompt": True,
}
OF_THE_CALL = ("json_schema", "n")


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with authored(lambda body: {"content": "x"}) as server:
        yield server


@pytest.mark.parametrize("name", [name for name in SAMPLING_FIELDS if name not in OF_THE_CALL])
def test_zero_is_sent_and_unset_is_not(server: FakeServer, name: str) -> None:
    value = VALUES.get(name, 0)
    ChatRocm(base_url=server.url, **{name: value}).invoke("Hi")
    ChatRocm(base_url=server.url).invoke("Hi", **{name: value})
    ChatRocm(base_url=server.url).invoke("Hi")
    of_instance, of_call, unset = sent(server)
    assert of_instance[name] == of_call[name] == value
    assert name not in unset


def test_every_other_field_goes_through_extra_body(server: FakeServer) -> None:
    chat = ChatRocm(base_url=server.url, extra_body={"t_max_predict_ms": 5, "n_probs": 1})
    chat.invoke("Hi", extra_body={"n_probs": 2}, id_slot=1, lora=[{"id": 0, "scale": 0.5}])
    body = sent(server)[0]
    assert (body["t_max_predict_ms"], body["n_probs"], body["id_slot"]) == (5, 2, 1)
    assert body["lora"] == [{"id": 0, "scale": 0.5}]
    assert "extra_body" not in body and "n" not in body


def test_the_real_servers_take_every_sampler(chat: ChatRocm) -> None:
    options: dict[str, Any] = {
        **{"top_n_sigma": -1.0, "xtc_probability": 0.0, "xtc_threshold": 0.1, "mirostat": 0},
        **{"dynatemp_range": 0.0, "dry_multiplier": 0.0, "dry_sequence_breakers": ["\n"]},
        **{"samplers": ["top_k", "temperature"], "min_keep": 0, "n_keep": 0, "id_slot": 0},
    }
    answer = chat.invoke("Hi", **options)
    assert answer.text == ANSWER


async def test_a_call_may_have_a_time_limit_of_its_own(endless: ChatRocm) -> None:
    with pytest.raises(errors.RequestTimeout):
        [endless.invoke("Hi", timeout=0.1) for _ in range(50)]
    with pytest.raises(errors.RequestTimeout):
        [await endless.ainvoke("Hi", timeout=0.1) for _ in range(50)]
    assert endless.invoke("Hi", max_tokens=3).text


def test_usage_is_always_asked_for(server: FakeServer) -> None:
    ChatRocm(base_url=server.url).invoke("Hi")
    assert sent(server)[0]["stream"] is True
    assert sent(server)[0]["stream_options"] == {"include_usage": True}


def test_stop_token_ids_are_honored(chat: ChatRocm) -> None:
    am = FIRST_PIECE_ID + PIECES.index(" am")
    assert chat.invoke("Hi", stop_token_ids=[am]).text == "Hello! I"


def test_a_rate_limiter_is_asked(chat: ChatRocm) -> None:
    class Counting(InMemoryRateLimiter):
        asked = 0

        def acquire(self, *, blocking: bool = True) -> bool:
            Counting.asked += 1
            return True

    limited = chat.model_copy(update={"rate_limiter": Counting()})
    limited.invoke("Hi", max_tokens=1)
    list(limited.stream("Hi", max_tokens=1))
    assert Counting.asked == 2
    limited.close()


# ---------------------------------------------------------------------------
# Inputs
# ---------------------------------------------------------------------------

IMAGE = {"type": "image", "base64": "AAAA", "mime_type": "image/png"}
AUDIO = {"type": "audio", "base64": "AAAA", "mime_type": "audio/mpeg"}


@pytest.mark.parametrize(("part", "words"), [(IMAGE, "see images"), (AUDIO, "hear audio")])
async def test_what_the_model_cannot_take_is_said_before(
    chat: ChatRocm, part: dict[str, Any], words: str
) -> None:
    with pytest.raises(errors.ConfigError, match=rf"cannot {words}.*mmproj"):
        chat.invoke([HumanMessage([part])])
    with pytest.raises(errors.ConfigError, match=words):
        await chat.ainvoke([HumanMessage([part])])


def test_images_and_audio_reach_a_model_that_can(tmp_path: Path) -> None:
    file = tmp_path / "a pixel.png"
    file.write_bytes(ONE_PIXEL)
    with authored(
        lambda body: {"content": "a dot"}, {"modalities": {"vision": True, "audio": True}}
    ) as server:
        image = {"type": "image", "url": file.as_uri()}
        chat = ChatRocm(base_url=server.url, media_root=str(tmp_path))
        chat.invoke([HumanMessage(["What?", image, IMAGE, AUDIO])])
        parts = sent(server)[0]["messages"][0]["content"]
    data = base64.b64encode(ONE_PIXEL).decode()
    assert parts[1]["image_url"]["url"] == f"data:image/png;base64,{data}"
    assert parts[2]["image_url"]["url"] == "data:image/png;base64,AAAA"
    assert parts[3]["input_audio"] == {"data": "AAAA", "format": "mp3"}


async def test_no_message_opens_a_file_by_itself(tmp_path: Path) -> None:
    (tmp_path / "dot.png").write_bytes(ONE_PIXEL)
    there, gone = ((tmp_path / name).as_uri() for name in ("dot.png", "nothing.png"))
    part = {"type": "image_url", "image_url": {"url": there}}
    lost = {"type": "image_url", "image_url": {"url": gone}}
    with authored(lambda body: {"content": "x"}, {"modalities": {"vision": True}}) as server:
        chat = ChatRocm(base_url=server.url)
        with pytest.raises(errors.ConfigError, match="no message opens one.*media_root=DIR"):
            chat.invoke([HumanMessage([part])])
        with pytest.raises(errors.ConfigError, match="media_root=DIR"):
            await chat.ainvoke([HumanMessage([{"type": "image", "url": there}])])
        with pytest.raises(errors.ConfigError, match="media_root=DIR"):
            chat.get_num_tokens_from_messages([HumanMessage([part])])
        allowed = ChatRocm(base_url=server.url, media_root=str(tmp_path))
        with pytest.raises(errors.ConfigError, match="cannot read .*nothing.png"):
            allowed.invoke([HumanMessage([lost])])
        with pytest.raises(errors.ConfigError, match="role 'tool' names a file"):
            allowed.invoke([HumanMessage("?"), ToolMessage([part], tool_call_id="c")])
        assert sent(server) == []


def test_system_messages_anywhere(chat: ChatRocm) -> None:
    conversation = [
        SystemMessage("a"),
        SystemMessage("b"),
        HumanMessage("Hi", name="ada"),
        SystemMessage("c"),
        HumanMessage("Ho"),
    ]
    assert chat.invoke(conversation).text == ANSWER


# ---------------------------------------------------------------------------
# Raw text
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_infill(asynchronous: bool) -> None:
    with FakeServer() as server:
        server.script("/props", answer("props.b11434"))
        server.script("/infill", stream("completion_stream.b11434"))
        llm = RocmLLM(base_url=server.url, max_tokens=4)
        extra = [{"filename": "a.py", "text": "x = 1"}]
        options: dict[str, Any] = {"suffix": "\n    return y", "input_extra": extra}
        prompt = "def f():\n"
        text = (
            await llm.ainvoke(prompt, **options) if asynchronous else llm.invoke(prompt, **options)
        )
        assert text
        body = server.requests[-1].body
    assert (body["input_prefix"], body["input_suffix"]) == (prompt, "\n    return y")
    assert (body["input_extra"], body["n_predict"]) == (extra, 4)
    assert "suffix" not in body


def test_a_model_that_cannot_fill_says_so(chat: ChatRocm) -> None:
    llm = RocmLLM(model=RECITER, engine=chat.engine)
    with pytest.raises(errors.NotSupported, match="Infill is not supported"):
        llm.invoke("a", suffix="b")
    llm.close()
