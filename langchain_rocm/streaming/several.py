"""Several answers of one request (``n``), whose events come mixed in one stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.outputs import ChatGenerationChunk, ChatResult

from rocm_core import StreamEvent
from rocm_core.errors import ConfigError, ProtocolError

if TYPE_CHECKING:
    from langchain_rocm.conversion.requests import ChatRequest
    from rocm_core import TextModel

C = TypeVar("C")
C_co = TypeVar("C_co", covariant=True)


class ChunkReader(Protocol[C_co]):
    """What makes the chunks of one answer."""

    def read(self, event: StreamEvent) -> Sequence[C_co]:
        """Return the chunks of one event."""

    def last(self) -> C_co:
        """Return the last chunk."""


class SeveralAnswers(Generic[C]):
    """Gives each answer's events to a reader of its own.

    llama-server writes the usage of a chat without saying of which answer it is, right after the
    event that ends it (``to_json_oaicompat_chat_stream`` in ``tools/server/server-task.cpp``).
    """

    def __init__(self, count: int, reader: Callable[[], ChunkReader[C]]) -> None:
        """Args:
        count: how many answers were asked for.
        reader: makes the reader of one answer.
        """
        self._readers = [reader() for _ in range(count)]
        self._chunks: list[list[C]] = [[] for _ in range(count)]
        self._finished = 0

    def read(self, event: StreamEvent) -> None:
        """Take one event.

        Raises:
            ProtocolError: it is of an answer that was not asked for.
        """
        choice = self._finished if event.raw.get("choices") == [] else event.choice
        if choice >= len(self._readers):
            raise ProtocolError(f"a piece of answer {choice + 1} of {len(self._readers)}")
        if event.finish_reason:
            self._finished = choice
        self._chunks[choice] += self._readers[choice].read(event)

    def chunks(self) -> list[list[C]]:
        """Return the chunks of each answer, after the last event."""
        return [
            [*chunks, reader.last()]
            for chunks, reader in zip(self._chunks, self._readers, strict=True)
        ]


def chat_results(
    model: TextModel, request: ChatRequest, max_retries: int, answers: SeveralAnswers[Any]
) -> ChatResult:
    """Return a chat's answers; errors as of ``chat_events``.

    Raises:
        ConfigError: also if a second request could be due, which is of one answer.
    """
    _refuse_second_request(request)
    stream = model.events(request.chat(request.fields), max_retries=max_retries)
    with closing(stream) as events:
        for event in events:
            answers.read(event)
    return _result(answers)


async def achat_results(
    model: TextModel, request: ChatRequest, max_retries: int, answers: SeveralAnswers[Any]
) -> ChatResult:
    """``chat_results`` for asyncio."""
    _refuse_second_request(request)
    stream = model.aevents(request.chat(request.fields), max_retries=max_retries)
    async with aclosing(stream) as events:
        async for event in events:
            answers.read(event)
    return _result(answers)


def _refuse_second_request(request: ChatRequest) -> None:
    request.refuse_unanswered()
    if request.schema_after is not None or request.insisting is not None:
        raise ConfigError(
            "n: one answer per call where a tool has to be called, or a response format stands "
            "beside tools; use batch([prompt] * n)"
        )


def _result(answers: SeveralAnswers[ChatGenerationChunk]) -> ChatResult:
    results = [generate_from_stream(iter(chunks)) for chunks in answers.chunks()]
    return ChatResult(generations=[result.generations[0] for result in results])
