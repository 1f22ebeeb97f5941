"""LangChain's chunks of recorded streams."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any

from langchain_core.messages import AIMessage, message_chunk_to_message
from langchain_core.outputs import ChatGenerationChunk

from langchain_rocm.streaming.chunks import ChatChunks
from rocm_core.client.stream.events import StreamDecoder
from rocm_core.types import StreamEvent
from tests.support.servers.fake_server import CAPTURES


def events(name: str) -> list[StreamEvent]:
    decoder = StreamDecoder()
    return [*decoder.feed((CAPTURES / name).read_bytes()), *decoder.close()]


def chat_chunks(stream: list[StreamEvent], **options: Any) -> list[ChatGenerationChunk]:
    reader = ChatChunks("fallback", **options)
    chunks = [chunk for event in stream for chunk in reader.read(event)]
    return [*chunks, reader.last()]


def merged(chunks: list[ChatGenerationChunk]) -> AIMessage:
    message = message_chunk_to_message(reduce(add, chunks).message)
    assert isinstance(message, AIMessage)
    return message
