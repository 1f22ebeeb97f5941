"""Every public verb that asks a server: of the core, and of both adapters.

    VERBS[cls][name](subject)    performs the verb to its end, streams and coroutines as well
    SILENT[cls]                  public names that ask nothing
    public(cls)                  all public names, by introspection: the two above together

A new verb without a row, or a row without a verb, fails ``tests/house/test_limits.py``; with ``-s``
it and ``test_stopped_servers.py`` print how long each verb took.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pydantic
from langchain_core.decisions import Noul
from langchain_core.documents import Document
from langchain_core.messages import HumanMessage
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.core.tools import FunctionTool

import langchain_rocm
import llama_index_rocm
from rocm_core import (
    AsyncClient,
    Client,
    Completion,
    GenerateConfig,
    LlamaService,
    TextModel,
    YesNo,
)
from rocm_core.client import calls

HI = [{"role": "user", "content": "Hi"}]
QUESTIONS = {"q": YesNo("Is it?")}
CONFIG = GenerateConfig(max_tokens=8)
_HUMAN = [HumanMessage("Hi")]
_ASKED = {"state": "x", "questions": {"q": Noul(instructions="Is it?")}}
_SAID = [ChatMessage(role="user", content="Hi")]
_DOCUMENTS = [Document("a"), Document("b")]
_NODES = [NodeWithScore(node=TextNode(text="a"), score=1.0)]
_PROMPT = PromptTemplate("Hi")

Verb = Callable[[Any], Any]


class Answer(pydantic.BaseModel):
    """A structured answer."""

    text: str


def _add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


_TOOLS = [FunctionTool.from_defaults(_add)]


def perform(verb: Verb, subject: Any) -> Any:
    """Perform a verb to its end."""
    return _ended(verb(subject))


def _ended(result: Any) -> Any:
    if isinstance(result, Awaitable | AsyncIterator):
        return asyncio.run(_aended(result))
    return list(result) if isinstance(result, Iterator) else result


async def _aended(result: Any) -> Any:
    if isinstance(result, Awaitable):
        result = await result
    if isinstance(result, AsyncIterator):
        return [piece async for piece in result]
    return result


def public(cls: type) -> set[str]:
    """Return the public methods and properties of a class, but for pydantic's."""
    kinds = (property, classmethod, staticmethod)
    return {
        name
        for name in set(dir(cls)) - set(dir(pydantic.BaseModel))
        if not name.startswith("_")
        and (callable(found := inspect.getattr_static(cls, name)) or isinstance(found, kinds))
    }


_CLIENT: dict[str, Verb] = {
    "apply_template": lambda it: it.apply_template(HI),
    "call": lambda it: it.call(calls.health()),
    "chat": lambda it: it.chat(HI, CONFIG),
    "completion": lambda it: it.completion("Hi", CONFIG),
    "count_tokens": lambda it: it.count_tokens(HI),
    "decide": lambda it: it.decide("x", QUESTIONS),
    "detokenize": lambda it: it.detokenize([1]),
    "embeddings": lambda it: it.embeddings(["a"]),
    "health": lambda it: it.health(),
    "lora_adapters": lambda it: it.lora_adapters(),
    "metrics": lambda it: it.metrics(),
    "models": lambda it: it.models(),
    "props": lambda it: it.props(),
    "rerank": lambda it: it.rerank("q", ["a"]),
    "set_lora_adapters": lambda it: it.set_lora_adapters({0: 0.5}),
    "slots": lambda it: it.slots(),
    "stream": lambda it: it.stream(calls.completion("Hi", CONFIG)),
    "text_completion": lambda it: it.text_completion("Hi", CONFIG),
    "tokenize": lambda it: it.tokenize("Hi"),
    "tokenize_batch": lambda it: it.tokenize_batch(["Hi"]),
}
_MODEL: dict[str, Verb] = {
    "achat": lambda it: it.achat(HI),
    "achat_events": lambda it: it.achat_events(HI, CONFIG),
    "acompletion_events": lambda it: it.acompletion_events("Hi", CONFIG),
    "acount_tokens": lambda it: it.acount_tokens(HI, fit_template=True),
    "adecide": lambda it: it.adecide("x", QUESTIONS),
    "aembed": lambda it: it.aembed(["a"]),
    "aevents": lambda it: it.aevents(Completion("Hi", CONFIG), max_retries=3),
    "agenerate": lambda it: it.agenerate("Hi", max_tokens=8, stop_token_ids=[1]),
    "ainfill_events": lambda it: it.ainfill_events("a", "b", CONFIG),
    "aload": lambda it: it.aload(),
    "arerank": lambda it: it.arerank("q", ["a"]),
    "chat": lambda it: it.chat(HI),
    "chat_events": lambda it: it.chat_events(HI, CONFIG),
    "completion_events": lambda it: it.completion_events("Hi", CONFIG),
    "count_tokens": lambda it: it.count_tokens([*HI, *HI], fit_template=True),
    "decide": lambda it: it.decide("x", QUESTIONS),
    "detokenize": lambda it: it.detokenize([1]),
    "embed": lambda it: it.embed(["a"]),
    "events": lambda it: it.events(Completion("Hi", CONFIG), max_retries=3),
    "generate": lambda it: it.generate("Hi", max_tokens=8),
    "infill_events": lambda it: it.infill_events("a", "b", CONFIG),
    "info": lambda it: it.info,
    "load": lambda it: it.load(),
    "metrics": lambda it: it.metrics(),
    "thinking_facts": lambda it: it.thinking_facts(),
    "preflight": lambda it: it.preflight(dry_run=True),
    "rerank": lambda it: it.rerank("q", ["a"]),
    "tokenize": lambda it: it.tokenize("Hi"),
    "tokenize_batch": lambda it: it.tokenize_batch(["Hi"]),
}
_RUNNABLE: dict[str, Verb] = {
    "abatch": lambda it: it.abatch(["a", "b"]),
    "abatch_as_completed": lambda it: it.abatch_as_completed(["a"]),
    "ainvoke": lambda it: it.ainvoke("Hi"),
    "astream": lambda it: it.astream("Hi"),
    "astream_events": lambda it: it.astream_events("Hi", version="v2"),
    "astream_log": lambda it: it.astream_log("Hi"),
    "atransform": lambda it: it.atransform(_atexts()),
    "batch": lambda it: it.batch(["a", "b"]),
    "batch_as_completed": lambda it: it.batch_as_completed(["a", "b"]),
    "get_num_tokens": lambda it: it.get_num_tokens("Hi"),
    "get_num_tokens_from_messages": lambda it: it.get_num_tokens_from_messages(_HUMAN),
    "get_token_ids": lambda it: it.get_token_ids("Hi"),
    "invoke": lambda it: it.invoke("Hi"),
    "stream": lambda it: it.stream("Hi"),
    "transform": lambda it: it.transform(iter(["Hi"])),
}
_CHAT: dict[str, Verb] = {
    "aget_server_defaults": lambda it: it.aget_server_defaults(),
    "get_server_defaults": lambda it: it.get_server_defaults(),
    "agenerate": lambda it: it.agenerate([_HUMAN, _HUMAN]),
    "agenerate_prompt": lambda it: it.agenerate_prompt([it._convert_input("Hi")]),
    "generate": lambda it: it.generate([_HUMAN]),
    "generate_prompt": lambda it: it.generate_prompt([it._convert_input("Hi")]),
    "bind_tools": lambda it: it.bind_tools([_add], tool_choice="any").invoke("Hi"),
    "stream_events": lambda it: list(it.stream_events("Hi", version="v3")),
    "profile": lambda it: it.profile["max_input_tokens"],
    "with_structured_output": lambda it: it.with_structured_output(Answer).invoke("Hi"),
}
_TEXT: dict[str, Verb] = {
    "aget_server_defaults": lambda it: it.aget_server_defaults(),
    "get_server_defaults": lambda it: it.get_server_defaults(),
    "agenerate": lambda it: it.agenerate(["a"] * 6),
    "agenerate_prompt": lambda it: it.agenerate_prompt([it._convert_input("Hi")]),
    "generate": lambda it: it.generate(["a"] * 6),
    "generate_prompt": lambda it: it.generate_prompt([it._convert_input("Hi")]),
}
_INDEX: dict[str, Verb] = {
    "aget_server_defaults": lambda it: it.aget_server_defaults(),
    "get_server_defaults": lambda it: it.get_server_defaults(),
    "achat": lambda it: it.achat(_SAID),
    "achat_with_tools": lambda it: it.achat_with_tools(_TOOLS, "Hi"),
    "acomplete": lambda it: it.acomplete("Hi"),
    "apredict": lambda it: it.apredict(_PROMPT),
    "apredict_and_call": lambda it: it.apredict_and_call(_TOOLS, "Hi"),
    "as_structured_llm": lambda it: it.as_structured_llm(Answer).complete("Hi"),
    "astream": lambda it: it.astream(_PROMPT),
    "astream_chat": lambda it: it.astream_chat(_SAID),
    "astream_chat_with_tools": lambda it: it.astream_chat_with_tools(_TOOLS, "Hi"),
    "astream_complete": lambda it: it.astream_complete("Hi", formatted=True),
    "astream_structured_predict": lambda it: it.astream_structured_predict(Answer, _PROMPT),
    "astructured_predict": lambda it: it.astructured_predict(Answer, _PROMPT),
    "chat": lambda it: it.chat(_SAID),
    "chat_with_tools": lambda it: it.chat_with_tools(_TOOLS, "Hi"),
    "complete": lambda it: it.complete("Hi"),
    "predict": lambda it: it.predict(_PROMPT),
    "predict_and_call": lambda it: it.predict_and_call(_TOOLS, "Hi"),
    "stream": lambda it: it.stream(_PROMPT),
    "stream_chat": lambda it: it.stream_chat(_SAID),
    "stream_chat_with_tools": lambda it: it.stream_chat_with_tools(_TOOLS, "Hi"),
    "stream_complete": lambda it: it.stream_complete("Hi"),
    "stream_structured_predict": lambda it: it.stream_structured_predict(Answer, _PROMPT),
    "structured_predict": lambda it: it.structured_predict(Answer, _PROMPT),
}
_VECTORS: dict[str, Verb] = {
    "acall": lambda it: it.acall([TextNode(text="a")]),
    "aget_agg_embedding_from_queries": lambda it: it.aget_agg_embedding_from_queries(["a"]),
    "aget_image_embedding": lambda it: it.aget_image_embedding("https://x/a.png"),
    "aget_image_embedding_batch": lambda it: it.aget_image_embedding_batch(["https://x/a.png"]),
    "get_image_embedding": lambda it: it.get_image_embedding("https://x/a.png"),
    "get_image_embedding_batch": lambda it: it.get_image_embedding_batch(["https://x/a.png"]),
    "aget_query_embedding": lambda it: it.aget_query_embedding("a"),
    "aget_text_embedding": lambda it: it.aget_text_embedding("a"),
    "aget_text_embedding_batch": lambda it: it.aget_text_embedding_batch(["a"] * 3),
    "get_agg_embedding_from_queries": lambda it: it.get_agg_embedding_from_queries(["a"]),
    "get_query_embedding": lambda it: it.get_query_embedding("a"),
    "get_text_embedding": lambda it: it.get_text_embedding("a"),
    "get_text_embedding_batch": lambda it: it.get_text_embedding_batch(["a"] * 3),
}
_NODES_RANKED: dict[str, Verb] = {
    "apostprocess_nodes": lambda it: it.apostprocess_nodes(_NODES, QueryBundle("q")),
    "postprocess_nodes": lambda it: it.postprocess_nodes(_NODES, QueryBundle("q")),
}


_DECIDED: dict[str, Verb] = {
    "abatch": lambda it: it.abatch([_ASKED, _ASKED]),
    "abatch_as_completed": lambda it: it.abatch_as_completed([_ASKED]),
    "ainvoke": lambda it: it.ainvoke(_ASKED),
    "astream": lambda it: it.astream(_ASKED),
    "astream_events": lambda it: it.astream_events(_ASKED, version="v2"),
    "astream_log": lambda it: it.astream_log(_ASKED),
    "atransform": lambda it: it.atransform(_aasked()),
    "batch": lambda it: it.batch([_ASKED, _ASKED]),
    "batch_as_completed": lambda it: it.batch_as_completed([_ASKED, _ASKED]),
    "invoke": lambda it: it.invoke(_ASKED),
    "stream": lambda it: it.stream(_ASKED),
    "transform": lambda it: it.transform(iter([_ASKED])),
}
_SELECTED: dict[str, Verb] = {
    "aselect": lambda it: it.aselect(["a", "b"], "q"),
    "select": lambda it: it.select(["a", "b"], "q"),
}


async def _atexts() -> AsyncIterator[str]:
    yield "Hi"


async def _aasked() -> AsyncIterator[Any]:
    yield _ASKED


VERBS: dict[type, dict[str, Verb]] = {
    Client: _CLIENT,
    AsyncClient: _CLIENT,
    TextModel: _MODEL,
    LlamaService: {
        "get_metrics": lambda it: it.get_metrics(),
        "is_running": lambda it: it.is_running(timeout=0.2),
        "send_chat_message": lambda it: it.send_chat_message("Hi"),
        "start": lambda it: it.start(it.get_config()),
    },
    langchain_rocm.ChatRocm: {**_RUNNABLE, **_CHAT},
    langchain_rocm.RocmLLM: {**_RUNNABLE, **_TEXT},
    langchain_rocm.RocmEmbeddings: {
        "aembed_documents": lambda it: it.aembed_documents(["a"] * 100),
        "aembed_query": lambda it: it.aembed_query("a"),
        "embed_documents": lambda it: it.embed_documents(["a"] * 100),
        "embed_query": lambda it: it.embed_query("a"),
        "embed_image": lambda it: it.embed_image([b"a"]),
        "aembed_image": lambda it: it.aembed_image([b"a"]),
    },
    langchain_rocm.RocmRerank: {
        "acompress_documents": lambda it: it.acompress_documents(_DOCUMENTS, "q"),
        "arank": lambda it: it.arank("q", ["a"]),
        "compress_documents": lambda it: it.compress_documents(_DOCUMENTS, "q"),
        "rank": lambda it: it.rank("q", ["a"]),
        "ascore": lambda it: it.ascore([("q", "a"), ("r", "b")]),
        "score": lambda it: it.score([("q", "a"), ("r", "b")]),
    },
    langchain_rocm.RocmDecisions: _DECIDED,
    llama_index_rocm.RocmSelector: _SELECTED,
    llama_index_rocm.RocmDecisionRerank: _NODES_RANKED,
    llama_index_rocm.RocmLLM: _INDEX,
    llama_index_rocm.RocmEmbedding: _VECTORS,
    llama_index_rocm.RocmRerank: _NODES_RANKED,
    llama_index_rocm.RocmTokenizer: {
        "__call__": lambda it: it("Hi"),
        "encode": lambda it: it.encode("a long text " * 30),
    },
}

_OF_CLIENTS = {"abort_streams", "address", "forget_connections", "in_flight"}
_OF_OPTIONS = {
    *("aclose", "close", "is_remote", "load_config", "load_options", "loaded_name", "text_model"),
    "timeouts",
}
# Ways to put runnables together, and what they are.
_OF_RUNNABLES = {
    *("InputType", "OutputType", "as_tool", "asdict", "assign", "bind", "config_schema"),
    *("config_specs", "configurable_alternatives", "configurable_fields", "get_config_jsonschema"),
    *("get_graph", "get_input_jsonschema", "get_input_schema", "get_lc_namespace", "get_name"),
    *("get_output_jsonschema", "get_output_schema", "get_prompts", "input_schema", "lc_attributes"),
    *("is_lc_serializable", "lc_id", "lc_secrets", "map", "output_schema", "pick", "pipe"),
    *("set_verbose", "to_json", "to_json_not_implemented", "with_alisteners", "with_config"),
    *("with_fallbacks", "with_listeners", "with_retry", "with_types"),
}
_OF_COMPONENTS = {"class_name", "custom_model_dump", "from_dict", "from_json", "to_dict", "to_json"}

SILENT: dict[type, set[str]] = {
    Client: {*_OF_CLIENTS, "close"},
    AsyncClient: {*_OF_CLIENTS, "aclose"},
    # ``close`` waits for its ``drain`` and for the end of a process, which is killed at last.
    TextModel: {
        *("aclose", "close", "connection", "deadline", "err", "explain_refusals", "limits"),
        *("decision_type", "facts", "model_type", "props", "tokenizes_here"),
    },
    LlamaService: {"get_config", "stop"},
    langchain_rocm.ChatRocm: {*_OF_RUNNABLES, *_OF_OPTIONS, "changed_config", "generate_config"},
    langchain_rocm.RocmLLM: {
        *(*_OF_RUNNABLES, *_OF_OPTIONS, "changed_config", "generate_config", "save"),
        *("stream_events", "with_structured_output"),  # LangChain has them for chat models only
    },
    langchain_rocm.RocmEmbeddings: {*_OF_OPTIONS, "changed_config"},
    langchain_rocm.RocmRerank: {*_OF_OPTIONS, "changed_config"},
    llama_index_rocm.RocmLLM: {
        *(*_OF_OPTIONS, *_OF_COMPONENTS, "check_callback_manager", "check_prompts"),
        *("convert_chat_messages", "generate_config", "get_tool_calls_from_response", "metadata"),
        *("set_completion_to_prompt", "set_messages_to_prompt", "to_payload"),
    },
    llama_index_rocm.RocmEmbedding: {
        *(*_OF_OPTIONS, *_OF_COMPONENTS, "check_base_embeddings_class", "similarity", "to_payload"),
    },
    llama_index_rocm.RocmRerank: {*_OF_OPTIONS, *_OF_COMPONENTS},
    langchain_rocm.RocmDecisions: {
        *(*(_OF_RUNNABLES - {"asdict", "set_verbose"}), *_OF_OPTIONS, "changed_config"),
        "stream_events",  # LangChain has it for chat models only
    },
    llama_index_rocm.RocmSelector: {
        *(*_OF_OPTIONS, *_OF_COMPONENTS, "get_prompts", "update_prompts"),
    },
    llama_index_rocm.RocmDecisionRerank: {*_OF_OPTIONS, *_OF_COMPONENTS},
    llama_index_rocm.RocmTokenizer: set(),
}

# ---------------------------------------------------------------------------
# Performing them, with a watch
# ---------------------------------------------------------------------------

Row = tuple[type, str]
ROWS: list[Row] = [(cls, name) for cls, verbs in VERBS.items() for name in verbs]
# Seconds, the error if there was one, and the result.
Outcome = tuple[float, BaseException | None, Any]
# As many at once as cost each other little time.
_AT_ONCE = 8


def label(cls: type, name: str) -> str:
    """The name of a verb, with its package and class."""
    return f"{cls.__module__.partition('.')[0]}.{cls.__name__}.{name}"


def outcomes(subject: Callable[[type], Any], rows: Sequence[Row]) -> dict[str, Outcome]:
    """Perform verbs, some at a time, and measure how long each takes.

    ``subject`` makes the object of a class that a verb belongs to.
    """

    def run(row: Row, on: Any) -> Outcome:
        cls, name = row
        start, error, result = time.monotonic(), None, None
        try:
            result = perform(VERBS[cls][name], on)
        except Exception as caught:
            error = caught.with_traceback(None)
        return time.monotonic() - start, error, result

    subjects = [subject(cls) for cls, _ in rows]
    gc.collect()
    gc.disable()  # with both frameworks loaded a collection takes a second on a busy machine
    try:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = pool.map(run, rows, subjects)
            return dict(zip((label(*row) for row in rows), found, strict=True))
    finally:
        gc.enable()


def show(title: str, found: Mapping[str, Outcome]) -> None:
    """Print how long each verb took."""
    print(f"\n\n{title}:")
    for row, (seconds, error, _) in found.items():
        print(f"  {row:64} {seconds:5.2f} s  {type(error).__name__ if error else 'no error'}")
