"""One way down: one ``ready`` per request, retries in one place, and what a request holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rocm_core import Chat, Completion, GenerateConfig, Infill, TextModel, load_model
from rocm_core.config import Engine
from rocm_core.errors import (
    AuthenticationError,
    ConfigError,
    InvalidRequest,
    RocmError,
    ServerBusy,
    ServerDied,
    ServerLoading,
    ServerStopped,
    ServerUnreachable,
    StreamInterrupted,
)
from rocm_core.model.generation import Retries
from rocm_core.types import ServerProps, StreamEvent
from tests.support.models.reciter import ANSWER, CHAT_TEMPLATE, RECITER
from tests.support.scripted_model import PROPS, Script, ScriptedConnection, scripted_model
from tests.support.servers.fake_server import FakeServer, answer, stream

HELLO = [{"role": "user", "content": "Hello"}]
CONFIG = GenerateConfig(max_tokens=64)
EVENTS = [StreamEvent("a"), StreamEvent("b")]
DIED = ServerDied("killed")
BUSY, LOADING, AWAY = ServerBusy("full"), ServerLoading("soon"), ServerUnreachable("away")

Read = Callable[..., list[StreamEvent]]


def read(model: TextModel, request: Any, **options: Any) -> list[StreamEvent]:
    return list(model.events(request, **options))


def aread(model: TextModel, request: Any, **options: Any) -> list[StreamEvent]:
    async def events() -> list[StreamEvent]:
        return [event async for event in model.aevents(request, **options)]

    return asyncio.run(events())


@pytest.fixture(params=[read, aread], ids=["blocking", "asyncio"])
def reading(request: pytest.FixtureRequest) -> Read:
    found: Read = request.param
    return found


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Every pause, instead of waiting for it."""
    waited: list[float] = []

    async def asleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("rocm_core.client.steps.time.sleep", waited.append)
    monkeypatch.setattr("rocm_core.client.steps.asyncio.sleep", asleep)
    return waited


def on(script: Script, props: ServerProps = PROPS) -> tuple[TextModel, ScriptedConnection]:
    model = scripted_model(script, props)
    connection = model.connection
    assert isinstance(connection, ScriptedConnection)
    return model, connection


def text(events: list[StreamEvent]) -> str:
    return "".join(event.text for event in events)


# -- what can never be answered ---------------------------------------------------------------

CALL = {"id": "1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
UNANSWERED: list[dict[str, Any]] = [
    *HELLO,
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
]


def test_a_history_that_ends_in_tool_calls_is_refused_before_a_server_is_asked(
    reading: Read,
) -> None:
    model, connection = on([EVENTS])
    with pytest.raises(ConfigError, match=r"\(add\): answer the tools first"):
        reading(model, Chat(UNANSWERED, CONFIG))
    with pytest.raises(ConfigError, match="answer the tools first"):
        model.count_tokens(UNANSWERED)
    assert connection.ready_calls == 0
    for made in (lambda props: Chat(UNANSWERED, CONFIG), Chat(UNANSWERED, CONFIG)):
        with pytest.raises(ConfigError, match="answer the tools first"):
            reading(model, made)
    assert connection.requests == []


def test_a_client_says_it_in_the_servers_place(model: TextModel) -> None:
    client = model.connection.client
    for ask in (
        lambda: list(client.chat(UNANSWERED)),
        lambda: client.apply_template(UNANSWERED),
        lambda: client.count_tokens(UNANSWERED),
    ):
        with pytest.raises(InvalidRequest, match="answer the tools first"):
            ask()
    twice = [*HELLO, *({"role": "assistant", "content": text} for text in "ab")]
    with pytest.raises(InvalidRequest, match="Join the last messages of the assistant"):
        client.apply_template(twice)


# -- one ready() ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_",
    [
        Completion("x", CONFIG),
        Infill("x", "y", CONFIG),
        Chat(HELLO, CONFIG),
        Chat(HELLO, CONFIG, fit_template=True),
        lambda props: Chat(HELLO, CONFIG, fit_template=True),
    ],
    ids=["completion", "infill", "chat", "fitted chat", "function of the facts"],
)
def test_a_request_asks_once_whether_the_server_is_ready(reading: Read, request_: Any) -> None:
    model, connection = on([EVENTS, EVENTS])
    assert text(reading(model, request_)) == "ab"
    assert connection.ready_calls == 1
    reading(model, request_)
    assert connection.ready_calls == 2


def test_any_number_of_retries_may_be_allowed() -> None:
    retries = Retries(10**9)
    pauses = [retries.pause_after(BUSY) for _ in range(2000)]
    assert pauses[:6] == [0.5, 1, 2, 4, 8, 8]
    assert pauses[-1] == 8


def test_each_attempt_asks_again(reading: Read, pauses: list[float]) -> None:
    model, connection = on([[BUSY], [DIED], EVENTS])
    assert text(reading(model, Completion("x", CONFIG), max_retries=1)) == "ab"
    assert connection.ready_calls == 3


def test_counting_asks_once_too(scripted: FakeServer) -> None:
    scripted.script("/v1/chat/completions/input_tokens", answer(b'{"input_tokens": 7}'))
    with load_model(scripted.url) as model:
        calls = _spied(model)
        assert model.count_tokens(HELLO) == 7
        assert model.count_tokens(lambda props: [*HELLO, *HELLO], fit_template=True) == 7
        assert asyncio.run(model.acount_tokens([*HELLO] * 3, fit_template=True, tools=[])) == 7
        assert len(calls) == 3


def _spied(model: TextModel) -> list[str]:
    calls: list[str] = []
    connection = model.connection
    ready, aready = connection.ready, connection.aready

    def spied(*args: Any, **options: Any) -> ServerProps:
        calls.append("ready")
        return ready(*args, **options)

    async def aspied(*args: Any, **options: Any) -> ServerProps:
        calls.append("aready")
        return await aready(*args, **options)

    connection.ready, connection.aready = spied, aspied  # type: ignore[method-assign]
    return calls


# -- the request ------------------------------------------------------------------------------


def test_a_function_makes_the_request_of_the_facts(reading: Read) -> None:
    facts = ServerProps(0, 4, "", "alias", "", {}, {}, "", {})
    seen: list[ServerProps] = []

    def request(props: ServerProps) -> Completion:
        seen.append(props)
        return Completion(f"for {props.model_alias}", CONFIG)

    model, connection = on([EVENTS], facts)
    reading(model, request)
    assert seen == [facts]
    assert connection.requests == [Completion("for alias", CONFIG)]


def test_an_error_of_the_function_is_the_models_last_one(reading: Read) -> None:
    def refuse(props: ServerProps) -> Chat:
        raise ConfigError("no tools")

    model, connection = on([EVENTS])
    with pytest.raises(ConfigError, match="no tools"):
        reading(model, refuse, max_retries=3)
    assert (connection.requests, str(model.err())) == ([], "no tools")


def test_the_stop_ids_of_a_made_request_are_kept(scripted: FakeServer, reading: Read) -> None:
    scripted.script("/completion", stream("completion_stream.b11434"))
    scripted.script("/detokenize", answer(b'{"content": "x"}'))
    with load_model(scripted.url) as model:
        ids = [event.token_ids for event in reading(model, Completion("x", CONFIG))]
        config = GenerateConfig(stop_token_ids=list(ids[2]))
        events = reading(model, lambda props: Completion("x", config))
    assert [event.token_ids for event in events[:-1]] == ids[:2]
    assert events[-1].finish_reason == "stop"


def test_the_messages_are_fitted_where_the_request_says_so(scripted: FakeServer) -> None:
    scripted.script("/v1/chat/completions", stream("chat_stream.b11434"))
    scripted.script("/apply-template", answer(b'{"prompt": "shows nothing"}'))
    late = [*HELLO, {"role": "system", "content": "S"}]
    with load_model(scripted.url) as model:
        list(model.events(Chat(late, CONFIG)))
        list(model.events(Chat(late, CONFIG, fit_template=True)))
    sent = [r.body["messages"] for r in scripted.requests if r.path == "/v1/chat/completions"]
    assert [[m["role"] for m in messages] for messages in sent] == [
        ["user", "system"],
        ["system", "user"],
    ]


def test_a_strict_template_on_a_real_server(engine: Engine, reading: Read) -> None:
    strict = (
        "{%- for m in messages %}{%- if m.role == 'system' and not loop.first %}"
        "{{ raise_exception('System message must be at the beginning.') }}{%- endif %}"
        "{%- endfor %}" + CHAT_TEMPLATE
    )
    late = [*HELLO, {"role": "system", "content": "S"}]
    with load_model(RECITER, engine=engine, chat_template=strict) as model:
        assert text(reading(model, lambda props: Chat(late, CONFIG, fit_template=True))) == ANSWER
        counted = model.count_tokens(late, fit_template=True)
        [usage] = [
            e.usage for e in reading(model, Chat(late, CONFIG, fit_template=True)) if e.usage
        ]
        assert counted == usage.prompt_tokens


# -- retries ----------------------------------------------------------------------------------


def test_the_pauses_grow_up_to_eight_seconds() -> None:
    retries = Retries(7)
    assert [retries.pause_after(BUSY) for _ in range(8)] == [0.5, 1, 2, 4, 8, 8, 8, None]


def test_a_dead_server_is_replaced_once_and_does_not_count() -> None:
    retries = Retries(1)
    pauses = [retries.pause_after(error) for error in (DIED, BUSY, DIED, DIED)]
    assert pauses == [0.0, 0.5, 0.0, None]


def test_nothing_else_is_worth_another_attempt() -> None:
    for error in (StreamInterrupted("cut"), ServerStopped("closed"), ConfigError("no")):
        assert Retries(5).pause_after(error) is None


def test_what_no_slot_has_taken_is_sent_again(reading: Read, pauses: list[float]) -> None:
    model, connection = on([[BUSY], [LOADING], [AWAY], EVENTS])
    assert text(reading(model, Completion("x", CONFIG), max_retries=3)) == "ab"
    assert len(connection.requests) == 4
    assert pauses == [0.5, 1.0, 2.0]


@pytest.mark.parametrize("error", [BUSY, LOADING, AWAY])
def test_by_default_nothing_is_retried(
    reading: Read, pauses: list[float], error: RocmError
) -> None:
    model, connection = on([[error], EVENTS])
    with pytest.raises(type(error)):
        reading(model, Completion("x", CONFIG))
    assert (len(connection.requests), pauses) == (1, [])
    assert model.err() is error


def test_a_server_that_died_is_asked_once_more_at_once(reading: Read, pauses: list[float]) -> None:
    model, connection = on([[DIED], EVENTS])
    assert text(reading(model, Completion("x", CONFIG))) == "ab"
    assert (len(connection.requests), pauses) == (2, [])
    model, connection = on([[DIED], [DIED], EVENTS])
    with pytest.raises(ServerDied):
        reading(model, Completion("x", CONFIG), max_retries=3)
    assert len(connection.requests) == 2


@pytest.mark.parametrize("error", [BUSY, DIED])
def test_an_answer_that_has_begun_is_never_repeated(reading: Read, error: RocmError) -> None:
    model, connection = on([[StreamEvent("a"), error], EVENTS])
    with pytest.raises(type(error)):
        reading(model, Completion("x", CONFIG), max_retries=3)
    assert len(connection.requests) == 1


def test_a_model_closed_in_a_pause_sends_nothing_more(
    reading: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, connection = on([[BUSY], EVENTS])

    async def aclose(seconds: float) -> None:
        model.close()

    monkeypatch.setattr("rocm_core.client.steps.time.sleep", lambda seconds: model.close())
    monkeypatch.setattr("rocm_core.client.steps.asyncio.sleep", aclose)
    with pytest.raises(ServerStopped, match="closed"):
        reading(model, Completion("x", CONFIG), max_retries=1)
    assert len(connection.requests) == 1


# -- what a request holds ---------------------------------------------------------------------


@pytest.fixture
def one_place(pauses: list[float]) -> Iterator[tuple[TextModel, ScriptedConnection]]:
    """A server with one place, which is busy at first."""
    model, connection = on([[BUSY], EVENTS, EVENTS])
    connection.join_queue("one place", 1)
    yield model, connection
    assert connection.limiter.queue.in_flight == 0
    assert connection.limiter.queue.waiting == 0


def test_the_place_is_given_up_before_a_pause(
    one_place: tuple[TextModel, ScriptedConnection], monkeypatch: pytest.MonkeyPatch, reading: Read
) -> None:
    model, connection = one_place
    held: list[int] = []

    async def asleep(seconds: float) -> None:
        held.append(connection.limiter.queue.in_flight)

    monkeypatch.setattr(
        "rocm_core.client.steps.time.sleep",
        lambda seconds: held.append(connection.limiter.queue.in_flight),
    )
    monkeypatch.setattr("rocm_core.client.steps.asyncio.sleep", asleep)
    reading(model, Completion("x", CONFIG), max_retries=1)
    assert held == [0]


def test_the_place_is_held_while_the_answer_is_read(
    one_place: tuple[TextModel, ScriptedConnection],
) -> None:
    model, connection = one_place
    events = model.events(Completion("x", CONFIG), max_retries=1)
    next(events)
    assert connection.limiter.queue.in_flight == 1
    events.close()
    assert connection.limiter.queue.in_flight == 0


async def test_a_task_cancelled_in_the_queue_leaves_it(
    one_place: tuple[TextModel, ScriptedConnection],
) -> None:
    model, connection = one_place
    first = model.aevents(Completion("x", CONFIG), max_retries=1)
    await anext(first)

    async def second() -> None:
        async for _ in model.aevents(Completion("y", CONFIG)):
            pass

    task = asyncio.create_task(second())
    while not connection.limiter.queue.waiting:
        await asyncio.wait({task}, timeout=0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert connection.limiter.queue.waiting == 0
    await first.aclose()


# -- the last error ---------------------------------------------------------------------------


def test_the_last_error_is_gone_after_a_success(reading: Read) -> None:
    model, _ = on([[BUSY], EVENTS, [BUSY], EVENTS])
    for _ in range(2):
        with pytest.raises(ServerBusy):
            reading(model, Completion("x", CONFIG))
        assert isinstance(model.err(), ServerBusy)
        assert text(reading(model, Completion("x", CONFIG))) == "ab"
        assert model.err() is None


async def test_who_stops_early_has_succeeded_too() -> None:
    model, _ = on([[BUSY], EVENTS, [BUSY], EVENTS])
    with pytest.raises(ServerBusy):
        list(model.events(Completion("x", CONFIG)))
    events = model.events(Completion("x", CONFIG))
    next(events)
    assert model.err() is None
    with pytest.raises(ServerBusy):
        list(model.events(Completion("x", CONFIG)))
    events.close()
    assert isinstance(model.err(), ServerBusy), "an abandoned stream says nothing of later calls"
    aevents = model.aevents(Completion("x", CONFIG))
    await anext(aevents)
    await aevents.aclose()
    assert model.err() is None


async def test_other_verbs_count_too() -> None:
    with FakeServer() as server, load_model(server.url) as model:
        loading, props = answer("error_503_loading.b11434", 503), answer("props.b11434")
        server.script("/props", answer("error_401.b11434", 401), props)
        with pytest.raises(AuthenticationError):
            model.load()
        assert isinstance(model.err(), AuthenticationError)
        await model.aload()
        assert model.err() is None
        server.script("/tokenize", loading, answer(b'{"tokens": [1]}'))
        with pytest.raises(ServerLoading):
            model.tokenize("x")
        assert isinstance(model.err(), ServerLoading)
        model.tokenize("x")
        assert model.err() is None
