"""Our ``stream`` and ``astream`` beside LangChain's: the same messages, callbacks and errors."""

from __future__ import annotations

import asyncio
import copy
import itertools
import uuid
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.version import VERSION
from pydantic import BaseModel

from langchain_rocm import ChatRocm
from langchain_rocm.streaming import driver
from langchain_rocm.streaming.tool_chunks import ToolChunk

RUN = uuid.UUID(int=7)
USAGE: Any = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}


def _chunk(content: Any = "", *, info: Any = None, **values: Any) -> ChatGenerationChunk:
    message = AIMessageChunk(content=content, **values)
    return ChatGenerationChunk(message=message, generation_info=info)


def _call(**values: Any) -> ChatGenerationChunk:
    calls = [tool_call_chunk(**{"index": 0, **values})]
    return ChatGenerationChunk(message=ToolChunk(content="", tool_call_chunks=calls))


def _last(**values: Any) -> ChatGenerationChunk:
    metadata = {"model_name": "m", "model_provider": "rocm", "finish_reason": "stop"}
    return _chunk(
        info={"finish_reason": "stop"},
        response_metadata=metadata,
        usage_metadata=USAGE,
        chunk_position="last",
        **values,
    )


ANSWERS: dict[str, list[ChatGenerationChunk]] = {
    "nothing": [],
    "one": [_chunk("a")],
    "texts": [_chunk(text) for text in ("a", " b", "", " c")] + [_last()],
    "no end": [_chunk("a"), _chunk("b")],
    "ids of its own": [_chunk("a", id="x"), _chunk("b"), _last(id="x")],
    "logprobs": [_chunk("a", info={"logprobs": {"content": [{"token": "a"}]}}), _last()],
    "thoughts": [
        *(_chunk(additional_kwargs={"reasoning_content": text}) for text in "abc"),
        *(_chunk(text, response_metadata={"model_provider": "rocm"}) for text in "de"),
        _last(),
    ],
    "calls": [
        _chunk("I call"),
        _call(name="f", id="1", args=""),
        *(_call(args=piece) for piece in ('{"x"', ": ", "1}")),
        _call(name="g", id="2", args='{"y": ', index=1),
        _last(),
    ],
    "blocks": [
        *(_chunk([{"type": "text", "text": text, "index": 0}]) for text in "abc"),
        _chunk([]),
    ],
}


class Scripted(ChatRocm):
    """Says what it is told to, and raises after so many chunks."""

    answer: Any = ()
    fails_after: int | None = None
    seen: Any = None

    def _stream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Any:
        self.seen.append((messages, stop, kwargs))
        return self._scripted()

    def _scripted(self) -> Iterator[ChatGenerationChunk]:
        for number, chunk in enumerate(copy.deepcopy(self.answer)):
            if number == self.fails_after:
                raise ConnectionError("broken")
            yield chunk
        if self.fails_after == len(self.answer):
            raise ConnectionError("broken")

    async def _astream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        self.seen.append((messages, stop, kwargs))
        for chunk in self._scripted():
            await asyncio.sleep(0)
            yield chunk


def _plain(value: Any) -> Any:
    """Return ``value`` as data that can be compared, with the classes and what is set."""
    if isinstance(value, BaseModel):
        extra = {"set": sorted(value.model_fields_set)} if isinstance(value, AIMessageChunk) else {}
        return {"class": type(value).__name__, **{k: _plain(v) for k, v in value}, **extra}
    if isinstance(value, BaseException):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return value


class Recorder(BaseCallbackHandler):
    """Keeps what it is told, as it was when told; fails at the n-th token, if asked."""

    raise_error = True

    def __init__(self, fails_at: int | None = None) -> None:
        self.told: list[Any] = []
        self._fails_at = fails_at

    def _tell(self, name: str, /, *args: Any, **kwargs: Any) -> None:
        self.told.append((name, _plain(args), _plain(kwargs)))

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        self._tell("start", *args, **kwargs)

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self._tell("token", token, **kwargs)
        if sum(name == "token" for name, *_ in self.told) == self._fails_at:
            raise RuntimeError("the handler fails")

    def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        self._tell("end", *args, **kwargs)

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        self._tell("error", error, **kwargs)


class Outcome(NamedTuple):
    yielded: list[Any]
    error: Any
    told: list[Any]
    sent: list[Any]


Streams = Callable[..., Any]


class Case(NamedTuple):
    """One call of one model, and when its reader goes away."""

    options: dict[str, Any]
    call: Mapping[str, Any] = MappingProxyType({})
    config: Mapping[str, Any] = MappingProxyType({})
    listens: bool = True
    handler_fails_at: int | None = None
    leaves_after: int | None = None

    def sync(self, streams: Streams) -> Outcome:
        model, recorder = Scripted(**self.options, seen=[]), Recorder(self.handler_fails_at)
        yielded: list[Any] = []
        error = None
        stream = streams(model, "Hi", self._config(recorder), **copy.deepcopy(dict(self.call)))
        try:
            for message in stream:
                yielded.append(_plain(message))
                if len(yielded) == self.leaves_after:
                    break
        except Exception as raised:
            error = repr(raised)
        stream.close()
        return Outcome(yielded, error, recorder.told, _plain(model.seen))

    def asynchronous(self, streams: Streams) -> Outcome:
        return asyncio.run(self._read(streams))

    async def _read(self, streams: Streams) -> Outcome:
        model, recorder = Scripted(**self.options, seen=[]), Recorder(self.handler_fails_at)
        yielded: list[Any] = []
        error = None
        stream = streams(model, "Hi", self._config(recorder), **copy.deepcopy(dict(self.call)))
        try:
            async for message in stream:
                yielded.append(_plain(message))
                if len(yielded) == self.leaves_after:
                    break
        except Exception as raised:
            error = repr(raised)
        await stream.aclose()
        return Outcome(yielded, error, recorder.told, _plain(model.seen))

    def _config(self, recorder: Recorder) -> dict[str, Any]:
        callbacks = [recorder] if self.listens else []
        return {"run_id": RUN, "callbacks": callbacks, **self.config}


def cases() -> Iterator[Any]:
    """Every answer, form, failure and way to stop reading; calls and configurations."""
    for (name, answer), version in itertools.product(ANSWERS.items(), (None, "v0", "v1")):
        given = {"base_url": "http://127.0.0.1:9", "answer": answer, "output_version": version}
        yield pytest.param(Case(given), id=f"{name} {version}")
        yield pytest.param(Case(given, listens=False), id=f"{name} {version}, unheard")
        for n in range(len(answer) + 1):
            ends = {
                "breaks": Case({**given, "fails_after": n}),
                "breaks, unheard": Case({**given, "fails_after": n}, listens=False),
                "handler breaks": Case(given, handler_fails_at=n + 1),
                "left": Case(given, leaves_after=n + 1),
            }
            for kind, case in ends.items():
                yield pytest.param(case, id=f"{name} {version}, {kind} at {n}")
    given = {"base_url": "http://127.0.0.1:9", "answer": ANSWERS["texts"]}
    structured = {"kwargs": {"method": "json_schema"}, "schema": {"title": "T", "type": "object"}}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    calls: list[dict[str, Any]] = [
        {"stop": ["x"]},
        {"temperature": 0.5, "top_k": 3},
        {"ls_structured_output_format": structured},
        {"structured_output_format": structured, "stop": []},
        {"stream": False},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
    ]
    configs: list[dict[str, Any]] = [
        {"tags": ["t"], "metadata": {"a": 1}, "run_name": "N"},
        {"configurable": {"k": "v"}, "metadata": {"b": image}},
    ]
    models: list[dict[str, Any]] = [
        {"tags": ["own"], "metadata": {"own": 1}, "name": "model"},
        {"disable_streaming": True},
        {"disable_streaming": "tool_calling"},
        {"streaming": False},
        {"streaming": True},
        {"rate_limiter": InMemoryRateLimiter(requests_per_second=1e6, max_bucket_size=1e6)},
        {"rate_limiter": Forbidding()},
    ]
    for call, config, model in itertools.product([{}, *calls], [{}, *configs], [{}, *models]):
        yield pytest.param(Case({**given, **model}, call, config))


class Forbidding(InMemoryRateLimiter):
    """Fails when it is asked."""

    def __init__(self) -> None:
        super().__init__(requests_per_second=1)

    def acquire(self, *, blocking: bool = True) -> bool:
        raise PermissionError("not now")

    async def aacquire(self, *, blocking: bool = True) -> bool:
        raise PermissionError("not now")


CASES = list(cases())


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our driver also with a langchain-core that is newer than those we know."""
    if not driver._equals_langchains:
        monkeypatch.setattr(driver, "_equals_langchains", True)


# With a newer langchain-core a failure here is why that one's own drivers run.
_known = pytest.mark.xfail(not driver._equals_langchains, reason=f"langchain-core {VERSION}")


@_known
@pytest.mark.usefixtures("ours")
@pytest.mark.parametrize("case", CASES)
def test_stream_is_langchains(case: Case) -> None:
    assert case.sync(Scripted.stream) == case.sync(BaseChatModel.stream)


@_known
@pytest.mark.usefixtures("ours")
@pytest.mark.parametrize("case", CASES)
def test_astream_is_langchains(case: Case) -> None:
    assert case.asynchronous(Scripted.astream) == case.asynchronous(BaseChatModel.astream)


# ---------------------------------------------------------------------------
# What is kept, and who drives
# ---------------------------------------------------------------------------


class Counting(ChatRocm):
    """A thousand pieces; counts how many of its messages still live."""

    alive: Any = None

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for _ in range(1000):
            chunk = _chunk("a")
            self.alive.add(chunk.message)
            yield chunk


class _Alive:
    def __init__(self) -> None:
        self._messages: list[weakref.ref[Any]] = []

    def add(self, message: Any) -> None:
        self._messages.append(weakref.ref(message))

    def count(self) -> int:
        return sum(each() is not None for each in self._messages)


@_known
@pytest.mark.usefixtures("ours")
@pytest.mark.parametrize("handlers", [[], [BaseCallbackHandler()]])
def test_messages_that_the_caller_drops_are_gone(handlers: list[Any]) -> None:
    model = Counting(base_url="http://127.0.0.1:9", alive=_Alive())
    config: Any = {"callbacks": handlers}
    most = max(model.alive.count() for _ in model.stream("Hi", config))
    assert most <= 4


def test_langchains_driver_runs_with_a_langchain_core_that_is_not_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(driver, "_equals_langchains", False)
    monkeypatch.setattr(driver, "_Call", None)
    given = {"base_url": "http://127.0.0.1:9", "answer": ANSWERS["texts"]}
    assert len(Case(given).sync(Scripted.stream).yielded) == len(ANSWERS["texts"])
    assert len(Case(given).asynchronous(Scripted.astream).yielded) == len(ANSWERS["texts"])


class Slow(AsyncCallbackHandler):
    """Takes a turn of the event loop for each token."""

    def __init__(self) -> None:
        self.tokens: list[Any] = []

    async def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        await asyncio.sleep(0)
        self.tokens.append(token)


def test_a_token_is_told_before_it_is_handed_over() -> None:
    model = Scripted(base_url="http://127.0.0.1:9", answer=ANSWERS["texts"], seen=[])

    async def read() -> list[int]:
        handler = Slow()
        stream = model.astream("Hi", {"callbacks": [handler]})
        return [len(handler.tokens) async for _ in stream]

    assert asyncio.run(read()) == [1, 2, 3, 4, 5]


def test_cancelling_the_reader_is_told_as_an_error() -> None:
    told = []
    for streams in (Scripted.astream, BaseChatModel.astream):
        recorder = Recorder()

        async def read(streams: Any = streams, recorder: Recorder = recorder) -> None:
            model = Scripted(base_url="http://127.0.0.1:9", answer=ANSWERS["texts"], seen=[])
            async for _ in streams(model, "Hi", {"run_id": RUN, "callbacks": [recorder]}):
                task = asyncio.current_task()
                assert task is not None
                task.cancel()

        with pytest.raises(asyncio.CancelledError):
            asyncio.run(read())
        told.append(recorder.told)
    assert told[0] == told[1]
    assert told[0][-1][0] == "error"
