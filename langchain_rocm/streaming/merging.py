"""Add up the chunks of an answer while they come, and keep one object for a run of them.

LangChain's drivers keep every chunk until the stream ends, to merge them then: six objects for each
token, that CPython's garbage collector walks through again and again. A run of chunks that differ
in one text only is here the first of them and a list of texts. What LangChain's own merge makes of
the few chunks that ``chunks()`` returns is what it makes of all of them:
``tests/langchain/streaming/test_merging.py`` compares.
"""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessageChunk, BaseMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.outputs.chat_generation import merge_chat_generation_chunks

from langchain_rocm.streaming.tool_chunks import ToolChunk

# LangChain merges equal values of these two to the value itself, not to their concatenation.
_CONSTANT = frozenset({"model_provider", "output_version"})
# The text of a content block, by the block's type; its other values identify the block.
_BLOCK_TEXT = {"text": "text", "reasoning": "reasoning", "tool_call_chunk": "args"}
_REASONING = "reasoning_content"

# Of a chunk in a run: what it has in common with the others; and its content, reasoning, arguments.
_Run = tuple[object, ...]
_Texts = tuple[str, str, str]


class ChunkMerger:
    """Collects the chunks of one answer.

    Only what was added matters: a chunk that its receiver changes afterwards may already be a text.
    """

    def __init__(self) -> None:
        self._kept: list[ChatGenerationChunk] = []
        self._run: _Run | None = None
        self._first: ChatGenerationChunk | None = None
        self._texts: list[_Texts] = []

    def add(self, chunk: ChatGenerationChunk) -> None:
        """Add the next chunk; O(1)."""
        plain = type(chunk) is ChatGenerationChunk and not chunk.generation_info
        found = _split(chunk.message) if plain else None
        if found is None:
            self._end_run()
            self._kept.append(chunk)
            return
        run, texts = found
        if run == self._run:
            self._texts.append(texts)
            return
        self._end_run()
        self._run, self._first = run, chunk
        self._kept.append(chunk)

    def chunks(self) -> list[ChatGenerationChunk]:
        """Return chunks whose sum is the sum of all that were added; at most two for each run."""
        self._end_run()
        return self._kept

    def merged(self) -> ChatGenerationChunk | None:
        """Return the sum of all chunks, as LangChain makes it; ``None`` if there are none."""
        return merge_chat_generation_chunks(self.chunks())

    def _end_run(self) -> None:
        first, texts = self._first, self._texts
        if first is not None and texts:
            joined = ["".join(each) for each in zip(*texts, strict=True)]
            self._kept.append(ChatGenerationChunk(message=_with_texts(first.message, joined)))
            self._texts = []
        self._run = self._first = None


def _split(message: BaseMessageChunk) -> tuple[_Run, _Texts] | None:
    """Return what ``message`` shares with its run, and its texts.

    ``None`` if more than texts would have to be added.
    """
    if type(message) not in (AIMessageChunk, ToolChunk):
        return None  # another class may add in another way
    values = message.__dict__
    content, info, calls = (
        values["content"],
        values["response_metadata"],
        values["tool_call_chunks"],
    )
    if values["usage_metadata"] is not None or values["chunk_position"]:
        return None
    if not info.keys() <= _CONSTANT:
        return None
    reasoning = _reasoning_of(values["additional_kwargs"])
    body = ("", content) if isinstance(content, str) else _block_of(content)
    call = ("", "") if not calls else _call_of(calls)
    if reasoning is None or body is None or call is None:
        return None
    shared = (type(message), values["id"], tuple(info.items()), reasoning[0], body[0], call[0])
    return shared, (body[1], reasoning[1], call[1])


def _reasoning_of(extra: dict[str, Any]) -> tuple[object, str] | None:
    if not extra:
        return False, ""
    text = extra.get(_REASONING)
    return (True, text) if len(extra) == 1 and isinstance(text, str) else None


def _block_of(content: list[Any]) -> tuple[object, str] | None:
    block = content[0] if len(content) == 1 else None
    name = _BLOCK_TEXT.get(block.get("type", "")) if isinstance(block, dict) else None
    return _only_text(block, name) if isinstance(block, dict) and name else None


def _call_of(calls: list[Any]) -> tuple[object, str] | None:
    return _only_text(calls[0], "args") if len(calls) == 1 else None


def _only_text(values: dict[str, Any], name: str) -> tuple[object, str] | None:
    """Return the values but ``name``, and that one's.

    ``None`` if there are other texts to add, or if LangChain does not add to what has this index.
    """
    text, index = values.get(name), values.get("index")
    if not isinstance(text, str):
        return None
    if not (isinstance(index, int) or (isinstance(index, str) and index.startswith("lc_"))):
        return None
    rest = tuple((k, v) for k, v in values.items() if k != name)
    return (rest, text) if all(v is None or k in ("type", "index") for k, v in rest) else None


def _with_texts(message: BaseMessageChunk, texts: list[str]) -> BaseMessageChunk:
    """Return a copy of ``message`` with ``texts`` in place of its own."""
    content, reasoning, call = texts
    assert isinstance(message, AIMessageChunk)
    changed: dict[str, Any] = {"content": content}
    if isinstance(message.content, list):
        block: Any = message.content[0]
        changed["content"] = [{**block, _BLOCK_TEXT[block["type"]]: content}]
    if message.additional_kwargs:
        changed["additional_kwargs"] = {_REASONING: reasoning}
    if message.tool_call_chunks:
        changed["tool_call_chunks"] = [{**message.tool_call_chunks[0], "args": call}]
    return message.model_copy(update=changed)
