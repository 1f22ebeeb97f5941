"""No blocking call on the event loop, from construction to the last token, in either adapter.

``blockbuster`` raises where code that runs on an event loop calls what may block.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.documents import Document
from llama_index.core.llms import ChatMessage
from llama_index.core.schema import NodeWithScore, TextNode
from pydantic import BaseModel, ValidationError

import langchain_rocm
import llama_index_rocm
from langchain_rocm import ChatRocm
from rocm_core import Server
from rocm_core.adapter import event_loop
from rocm_core.config import Engine
from rocm_core.shared.registry import Registry
from tests.support.models.decider import DECIDER, UNDECIDED
from tests.support.models.reciter import RECITER
from tests.support.models.trained import TRAINED

Steps = list[Callable[[], Awaitable[Any]]]
_CHAT = [ChatMessage(role="user", content="Hello")]


class Number(BaseModel):
    """A number."""

    value: int


@pytest.fixture
def blocking() -> Iterator[Callable[[], Any]]:
    """Start the watch over the event loop, once every module that is used is imported."""
    blockbuster = pytest.importorskip("blockbuster", reason="pip install blockbuster")
    watch = blockbuster.BlockBuster()
    yield watch.activate
    watch.deactivate()


async def _read(stream: AsyncIterator[Any]) -> None:
    async for _ in stream:
        pass


async def _everything_of_langchain(**where: Any) -> None:
    chat = ChatRocm(max_tokens=4, **where)
    await chat.ainvoke("Hello")
    await _read(chat.astream("Hello"))
    await _read(chat.astream_events("Hello", version="v2"))
    await chat.abatch(["Hello", "there"])
    structured = chat.with_structured_output(Number, include_raw=True)
    await structured.ainvoke("Hello")
    llm = langchain_rocm.RocmLLM(max_tokens=4, **where)
    await llm.ainvoke("Hello")
    await llm.agenerate(["Hello", "there"])
    await llm.aclose()
    await chat.aclose()


async def _everything_of_llama_index(**where: Any) -> None:
    llm = llama_index_rocm.RocmLLM(max_tokens=4, **where)
    await _read(await llm.astream_chat(_CHAT))
    assert llm.metadata.is_chat_model
    await llm.achat(_CHAT)
    await llm.acomplete("Hello")
    await _read(await llm.astream_complete("Hello"))
    await llm.aclose()


_ADAPTERS = pytest.mark.parametrize(
    "everything", [_everything_of_langchain, _everything_of_llama_index]
)


@_ADAPTERS
async def test_nothing_blocks_with_a_server_of_our_own(
    everything: Any, engine: Engine, blocking: Callable[[], Any]
) -> None:
    blocking()
    await everything(model=str(TRAINED), engine=engine, context_len=1000)


@pytest.mark.engine
@_ADAPTERS
async def test_nothing_blocks_with_a_shared_server(
    everything: Any, registry: Registry, blocking: Callable[[], Any]
) -> None:
    blocking()
    await everything(model=str(TRAINED), engine="embedded", keep_alive=60)


@_ADAPTERS
async def test_nothing_blocks_with_a_server_that_somebody_else_runs(
    everything: Any, remote: Server, blocking: Callable[[], Any]
) -> None:
    where = {"base_url": remote.url, "api_key": remote.api_key}
    blocking()
    await everything(**where)


async def test_embedding_does_not_block(
    engine: Engine, minilm: Path, blocking: Callable[[], Any]
) -> None:
    where: dict[str, Any] = {"model": str(minilm), "engine": engine}
    made: list[Any] = [langchain_rocm.RocmEmbeddings, llama_index_rocm.RocmEmbedding]
    blocking()
    ours = made[0](**where)
    await ours.aembed_query("Hello")
    await ours.aembed_documents(["Hello", "there"])
    theirs = made[1](**where)
    await theirs.aget_text_embedding("Hello")
    await theirs.aget_query_embedding("Hello")
    await theirs.aget_text_embedding_batch(["Hello", "there"])
    await ours.aclose()
    await theirs.aclose()


async def test_reranking_does_not_block(
    engine: Engine, ranker: Path, blocking: Callable[[], Any]
) -> None:
    where: dict[str, Any] = {"model": str(ranker), "engine": engine}
    made: list[Any] = [langchain_rocm.RocmRerank, llama_index_rocm.RocmRerank]
    blocking()
    ours = made[0](**where)
    await ours.acompress_documents([Document("Hello")], "Hello")
    theirs = made[1](**where)
    await theirs.apostprocess_nodes([NodeWithScore(node=TextNode(text="Hi"))], query_str="Hello")
    await ours.aclose()
    await theirs.aclose()


@pytest.mark.parametrize("model", [DECIDER, UNDECIDED], ids=["decider", "undecided"])
async def test_deciding_does_not_block(
    engine: Engine, model: str, blocking: Callable[[], Any]
) -> None:
    langchain = pytest.importorskip("langchain_core.decisions", reason="since langchain-core 1.8")
    where: dict[str, Any] = {"model": model, "engine": engine}
    made: list[Any] = [langchain_rocm.RocmDecisions, llama_index_rocm.RocmSelector]
    question = langchain.Noul(instructions="Is it?")
    blocking()
    ours = made[0](**where)
    await ours.ainvoke({"state": "Hello", "questions": {"q": question}})
    theirs = made[1](**where)
    await theirs.aselect(["a", "b"], "Hello")
    await ours.aclose()
    await theirs.aclose()


# -- files of settings ---------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a project that is the working directory."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "llama-rocm.toml"
    path.write_text(f'model = "{RECITER}"\ntemperature = 0.25\ntop_k = 7\n')
    return path


@pytest.mark.parametrize("cls", [ChatRocm, llama_index_rocm.RocmLLM])
async def test_files_of_settings_are_read_at_first_use_inside_an_event_loop(
    project: Path, cls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAMA_ROCM_TOP_K", "3")
    made = cls(top_p=0.5)
    assert (made.model, made.temperature, made.top_k) == ("", None, 3)
    await made._amodel()
    assert (made.model, made.temperature, made.top_k, made.top_p) == (str(RECITER), 0.25, 3, 0.5)
    assert made.loaded_name() == str(RECITER)
    made.close()


async def test_what_was_assigned_meanwhile_is_kept(project: Path) -> None:
    chat = ChatRocm()
    chat.temperature = 0.75
    assert chat.generate_config({})[0].temperature == 0.75  # a call that blocks reads them, too
    assert (chat.top_k, chat.model) == (7, str(RECITER))


async def test_a_wrong_file_is_told_at_first_use(project: Path) -> None:
    chat = ChatRocm(model=str(RECITER))
    project.write_text("temperture = 1\n")
    with pytest.raises(ValidationError, match="temperture"):
        await chat.ainvoke("Hello")


async def test_no_model_anywhere_is_told_at_first_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValidationError, match="give model="):
        await ChatRocm().ainvoke("Hello")


def test_outside_of_an_event_loop_they_are_read_at_once(project: Path) -> None:
    assert ChatRocm().temperature == 0.25


async def test_a_notebook_reads_them_at_once(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its kernel runs an event loop, which waits for every cell.
    monkeypatch.setattr(event_loop, "_in_notebook", lambda: True)
    assert ChatRocm().temperature == 0.25


async def test_a_copy_reads_them_for_itself(project: Path) -> None:
    twin = ChatRocm().model_copy()
    await twin._aread_settings_files()
    assert twin.temperature == 0.25


async def test_the_key_of_the_cache_has_what_the_files_say(project: Path) -> None:
    class Seen(Exception): ...

    class Keys(InMemoryCache):
        seen: list[str] = []  # noqa: RUF012

        async def alookup(self, prompt: str, llm_string: str) -> Any:
            self.seen.append(llm_string)
            raise Seen  # before any server starts

    chat = ChatRocm(cache=Keys())
    with pytest.raises(Seen):
        await chat.agenerate([[]])
    assert "0.25" in Keys.seen[0]


async def test_one_reader_at_a_time(project: Path) -> None:
    chat = ChatRocm()
    threads = [threading.Thread(target=chat._read_settings_files) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert chat.top_k == 7
