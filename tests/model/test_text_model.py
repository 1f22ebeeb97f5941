"""TextModel: the whole contract, on both real engines."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from rocm_core import GenerateConfig, LoadConfig, Message, TextModel, Token, load_model
from rocm_core.config import Engine
from rocm_core.errors import (
    ConfigError,
    ContextOverflow,
    InvalidRequest,
    ModelNotFound,
    RequestTimeout,
    ServerDied,
    ServerStopped,
)
from tests.support.leftovers import assert_afreed, assert_freed
from tests.support.models.reciter import ANSWER, PIECE_IDS, PIECES, RECITER
from tests.support.programs import PATIENCE, wait_for
from tests.support.scripted_model import PROPS, scripted_model

HELLO = [Message("user", "Hello")]
LONG: dict[str, Any] = {"max_tokens": 6000, "ignore_eos": True}


def text(tokens: list[Token]) -> str:
    return "".join(token.text for token in tokens)


# -- what it answers --------------------------------------------------------------------------


def test_generate_yields_real_token_ids(model: TextModel) -> None:
    tokens = list(model.generate("x", max_tokens=6))
    assert [token.text for token in tokens] == list(PIECES[:6])
    assert [token.id for token in tokens] == list(PIECE_IDS[:6])


def test_chat_goes_through_the_template_and_ends_its_turn(model: TextModel) -> None:
    assert text(list(model.chat(HELLO))) == ANSWER
    assert text(list(model.chat([{"role": "user", "content": "你好"}]))) == ANSWER


async def test_the_async_twins_answer_the_same(model: TextModel) -> None:
    assert text([t async for t in model.agenerate("x", max_tokens=6)]) == "".join(PIECES[:6])
    assert text([t async for t in model.achat(HELLO)]) == ANSWER


def test_the_defaults_are_256_tokens_and_greedy(model: TextModel) -> None:
    assert len(list(model.generate("x", ignore_eos=True))) == 256
    events = list(model.completion_events("x", GenerateConfig()))
    settings = events[-1].raw["generation_settings"]
    assert settings["temperature"] == 0.0
    assert settings["n_predict"] == 256


def test_zeros_are_sent_and_unset_is_not(model: TextModel) -> None:
    config = GenerateConfig(max_tokens=1, temperature=None, seed=0, top_k=0)
    settings = list(model.completion_events("x", config))[-1].raw["generation_settings"]
    assert (settings["seed"], settings["top_k"]) == (0, 0)
    assert settings["temperature"] == pytest.approx(0.8)


def test_stop_strings_end_the_answer_and_are_not_part_of_it(model: TextModel) -> None:
    assert text(list(model.chat(HELLO, stop=" llama-rocm"))).endswith("bundled with")
    assert text(list(model.generate("x", stop=["never", " demo model"]))) == "Hello! I am the small"


def test_stop_token_ids_really_stop(model: TextModel) -> None:
    fourth = PIECE_IDS[4]
    assert text(list(model.generate("x", stop_token_ids=[fourth]))) == "".join(PIECES[:4])
    assert text(list(model.chat(HELLO, stop_token_ids=[fourth]))) == "".join(PIECES[:4])
    assert_freed(model, 1)


async def test_stop_token_ids_really_stop_async(model: TextModel) -> None:
    tokens = [t async for t in model.achat(HELLO, stop_token_ids=[PIECE_IDS[4]])]
    assert text(tokens) == "".join(PIECES[:4])


def test_a_stop_id_is_seen_while_text_is_held_back_for_a_stop_string(model: TextModel) -> None:
    tokens = list(model.generate("x", stop=[" small demo dog"], stop_token_ids=[PIECE_IDS[5]]))
    assert text(tokens) == "".join(PIECES[:4])


def test_a_stop_id_that_streams_hide_is_refused(model: TextModel) -> None:
    with pytest.raises(ConfigError, match="parts of multi-byte characters"):
        list(model.generate("x", stop_token_ids=[0xE4]))


def test_pieces_of_several_tokens_have_no_id(model: TextModel) -> None:
    tokens = list(model.generate("x", stop=[" small demo dog"], max_tokens=8))
    joined = next(t for t in tokens if t.text.startswith(" small"))
    assert joined.text == "".join(PIECES[4:7])
    assert joined.id is None
    assert all(t.id is not None for t in tokens if t is not joined)


def test_events_carry_usage_and_timings(model: TextModel) -> None:
    last = list(model.chat_events(HELLO, GenerateConfig(max_tokens=5)))
    usage = next(e.usage for e in last if e.usage)
    timings = next(e.timings for e in last if e.timings)
    assert usage.completion_tokens == 5
    assert usage.prompt_tokens > 5
    assert timings.predicted_n == 5
    assert timings.predicted_per_second > 0
    assert [e.finish_reason for e in last if e.finish_reason] == ["length"]


def test_tokenize_and_back(model: TextModel) -> None:
    ids = model.tokenize("naïve ✓")
    assert model.detokenize(ids) == "naïve ✓"


# -- facts ------------------------------------------------------------------------------------


def test_info_names_what_is_known(model: TextModel) -> None:
    info = model.info
    assert (info.name, info.architecture) == ("reciter", "llama")
    assert (info.n_ctx, info.n_ctx_train, info.total_slots) == (8192, 8192, 4)
    assert info.chat_template_caps["supports_tools"] is True
    assert info.modalities["vision"] is False


def test_model_type_of_a_download_is_in_the_file_that_the_server_told(
    tmp_path: Path,
) -> None:
    for path, found in (
        (RECITER, "llama"),
        (tmp_path / "gone.gguf", None),
        (tmp_path, None),
        ("reciter.gguf", None),
        ("", None),
    ):
        model = scripted_model([[]], replace(PROPS, model_path=str(path)))
        assert model.model_type is None, "nothing was asked yet"
        assert model.load().architecture == found
        assert model.model_type == found
    (tmp_path / "bad.gguf").write_bytes(b"GGUF rubbish")
    model = scripted_model([[]], replace(PROPS, model_path=str(tmp_path / "bad.gguf")))
    assert model.load().architecture is None


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("http://127.0.0.1:1", True),
        ("http://localhost:1/v1", True),
        ("http://[::1]:1", True),
        ("http://gpubox:1", False),
        ("https://10.0.0.7", False),
    ],
)
def test_paths_of_another_machine_are_not_looked_for(host: str, here: bool) -> None:
    with load_model(host) as model:
        model.connection.props = replace(PROPS, model_path=str(RECITER))
        assert (model.model_type == "llama") is here


def test_model_type_needs_no_server(engine: Engine) -> None:
    with load_model(RECITER, engine=engine) as model:
        assert model.model_type == "llama"
        assert model.props is None


def test_metrics_count_tokens(model: TextModel) -> None:
    before = model.metrics()["tokens_predicted_total"]
    list(model.generate("x", max_tokens=7))
    assert model.metrics()["tokens_predicted_total"] == before + 7


def test_loading_is_lazy_and_context_len_is_per_slot(engine: Engine) -> None:
    with load_model(RECITER, engine=engine, context_len=512, parallel=2) as model:
        assert model.props is None
        assert (model.info.n_ctx, model.info.total_slots) == (512, 2)


# -- faults -----------------------------------------------------------------------------------


def test_options_are_checked_at_once(model: TextModel) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'temperature'"):
        model.generate("x", temprature=1)
    with pytest.raises(ConfigError, match="Did you mean 'context_len'"):
        load_model(RECITER, context_length=1)


@pytest.mark.parametrize(
    "bad",
    [{"max_tokens": -2}, {"stop": [3]}, {"stop_token_ids": ["x"]},
     {"grammar": "root ::= x", "json_schema": {}}],
)  # fmt: skip
def test_impossible_generation_options_are_refused(model: TextModel, bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        model.generate("x", **bad)


def test_a_missing_model_is_reported_at_once() -> None:
    with pytest.raises(ModelNotFound, match=r"gone\.gguf"):
        load_model("gone.gguf")


def test_a_prompt_longer_than_the_context_says_both_numbers(model: TextModel) -> None:
    with pytest.raises(ContextOverflow, match="context_len") as caught:
        list(model.generate("x" * 9000))
    assert (caught.value.n_prompt_tokens, caught.value.n_ctx) == (9000, 8192)
    assert model.err() is caught.value


def test_a_bad_field_is_the_servers_word(model: TextModel) -> None:
    with pytest.raises(InvalidRequest, match="grammar"):
        list(model.generate("x", grammar="root ::= nothing"))


def test_a_server_reaped_by_somebody_else_is_known_to_be_gone(engine: Engine) -> None:
    with load_model(RECITER, engine=engine, context_len=896) as model:
        model.load()
        server = model.connection.server  # type: ignore[attr-defined]
        os.kill(server.pid, signal.SIGKILL)
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(server.pid).wait(PATIENCE)  # it reaps children of this process
        wait_for(lambda: not server.is_running, 5)
        assert text(list(model.generate("x", max_tokens=3))) == "Hello! I am"


def test_a_total_limit_ends_a_long_answer_and_frees_the_slot(engine: Engine) -> None:
    from rocm_core import Timeouts

    with load_model(RECITER, engine=engine, timeouts=Timeouts(total=0.2)) as model:
        model.load()
        with pytest.raises(RequestTimeout) as caught:
            for _ in range(50):
                list(model.generate("x", **LONG))
        assert caught.value.phase == "total"
        assert_freed(model, 1)


def test_a_call_may_have_a_limit_of_its_own(engine: Engine, model: TextModel) -> None:
    with pytest.raises(RequestTimeout, match="timeout=") as caught:
        for _ in range(50):
            list(model.generate("x", **LONG, timeout=0.2))
    assert caught.value.phase == "total"
    assert text(list(model.generate("x", max_tokens=3))) == "Hello! I am"


def test_a_server_killed_between_requests_is_replaced(engine: Engine) -> None:
    with load_model(RECITER, engine=engine, context_len=832) as model:
        model.load()
        server = model.connection.server  # type: ignore[attr-defined]
        first = server.pid
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: not server.is_running, 5)
        assert text(list(model.generate("x", max_tokens=3))) == "Hello! I am"
        assert server.pid != first


def test_a_server_killed_in_mid_answer_raises_and_keeps_the_error(engine: Engine) -> None:
    with load_model(RECITER, engine=engine, parallel=1) as model:
        stream = model.generate("x", **LONG)
        next(stream)
        os.kill(model.connection.server.pid, signal.SIGKILL)  # type: ignore[attr-defined]
        with pytest.raises(ServerDied, match="SIGKILL"):
            list(stream)
        assert isinstance(model.err(), ServerDied)


def test_a_closed_model_says_so(engine: Engine) -> None:
    model = load_model(RECITER, engine=engine)
    model.close()
    model.close()
    with pytest.raises(ServerStopped, match="closed"):
        list(model.generate("x"))


# -- letting go -------------------------------------------------------------------------------


def test_closing_a_stream_frees_the_slot_within_100_ms(model: TextModel) -> None:
    stream = model.generate("x", **LONG)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert_freed(model)


def test_dropping_a_stream_frees_the_slot(model: TextModel) -> None:
    stream = model.chat(HELLO, **LONG)
    next(stream)
    del stream
    gc.collect()
    assert_freed(model)


def test_breaking_out_of_a_loop_frees_the_slot(model: TextModel) -> None:
    for _ in model.chat(HELLO, **LONG):
        break
    assert_freed(model)


async def test_cancelling_a_task_frees_the_slot(model: TextModel) -> None:
    begun = asyncio.Event()

    async def read() -> None:
        async for _ in model.achat(HELLO, **LONG):
            begun.set()

    task = asyncio.create_task(read())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await assert_afreed(model)


async def test_cancelling_a_reader_between_two_pieces_frees_the_slot(model: TextModel) -> None:
    """Somebody holds the cancelled task, so nothing is garbage-collected."""
    begun = asyncio.Event()

    async def read() -> None:
        async for _ in model.achat(HELLO, **LONG):
            begun.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(read())
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])
    await assert_afreed(model)
    assert task.cancelled()


def test_the_end_of_a_loop_closes_a_stream_that_is_still_held(model: TextModel) -> None:
    complaints: list[dict[str, Any]] = []
    stream = model.achat(HELLO, **LONG)

    async def read() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
        await anext(stream)

    asyncio.run(read())
    assert_freed(model)
    assert complaints == []


async def test_dropping_an_async_stream_frees_the_slot(model: TextModel) -> None:
    stream = model.achat(HELLO, **LONG)
    await anext(stream)
    del stream
    gc.collect()
    await asyncio.sleep(0)
    await assert_afreed(model)


def test_keyboard_interrupt_frees_the_slot_and_spares_the_server(model: TextModel) -> None:
    main = threading.main_thread().ident
    assert main
    stream = model.generate("x", **LONG)
    next(stream)
    timer = threading.Timer(0.05, signal.pthread_kill, (main, signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        timer.start()
        for _ in range(1000):
            list(stream)
            stream = model.generate("x", **LONG)
    del stream
    gc.collect()
    assert_freed(model)
    assert text(list(model.generate("x", max_tokens=3))) == "Hello! I am"


# -- many at once -----------------------------------------------------------------------------


def test_64_streams_from_threads(model: TextModel) -> None:
    with ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(lambda _: text(list(model.chat(HELLO))), range(64)))
    assert answers == [ANSWER] * 64


async def test_64_streams_from_one_event_loop(model: TextModel) -> None:
    async def answer() -> str:
        return text([token async for token in model.achat(HELLO)])

    assert await asyncio.gather(*(answer() for _ in range(64))) == [ANSWER] * 64


def test_two_event_loops_one_after_another_and_at_once(model: TextModel) -> None:
    async def answer() -> str:
        return text([token async for token in model.achat(HELLO)])

    assert asyncio.run(answer()) == asyncio.run(answer()) == ANSWER
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda _: asyncio.run(answer()), range(2))) == [ANSWER] * 2


# -- sharing ----------------------------------------------------------------------------------


def pid_of(model: TextModel) -> int:
    model.load()
    pid: int = model.connection.server.pid  # type: ignore[attr-defined]
    return pid


def test_equal_options_share_a_server_and_the_last_close_stops_it(engine: Engine) -> None:
    first, second = (load_model(RECITER, engine=engine, context_len=640) for _ in range(2))
    other = load_model(RECITER, LoadConfig(engine=engine, context_len=704))
    pid = pid_of(first)
    assert pid_of(second) == pid
    assert pid_of(other) != pid
    first.close()
    assert text(list(second.generate("x", max_tokens=3))) == "Hello! I am"
    second.close()
    assert not psutil.pid_exists(pid)
    other.close()


def test_a_dropped_model_lets_go_of_its_server(engine: Engine) -> None:
    model = load_model(RECITER, engine=engine, context_len=768)
    pid = pid_of(model)
    del model
    gc.collect()
    wait_for(lambda: not psutil.pid_exists(pid), 5)
