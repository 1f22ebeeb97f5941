"""What a LlamaIndex LLM makes of scripted answers, in a form that two classes can be compared by.

    python -m tests.support.adapters.differential > tests/support/adapters/openai_like.json

records what ``OpenAILike`` (llama-index-llms-openai-like) makes of them. It needs that package,
which asks for an older ``openai`` than the rest of the development environment, so give it an
environment of its own.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ThinkingBlock
from llama_index.core.tools import FunctionTool

from tests.support.servers.fake_server import FakeServer, Reply, stream
from tests.support.servers.scripts import call, chat, raw_call, say, script, think

# What ``OpenAILike`` makes of them; the module's docstring says how it is recorded.
RECORD_FILE = Path(__file__).with_name("openai_like.json")

ANSWERS: dict[str, Callable[[], Reply]] = {
    "text": lambda: chat(say("The sky is blue, Zürich is gray. 日本")),
    "nothing": chat,
    "cut": lambda: chat(say("and then"), finish="length"),
    "thoughts": lambda: chat(think("Light scatters."), say("Blue.")),
    "call": lambda: chat(call("add", a=2, b=-3)),
    "call without arguments": lambda: chat(raw_call("now", "{}")),
    "text and call": lambda: chat(say("Let me see."), call("weather", city="Zürich", days=3)),
    "two calls": lambda: chat(call("add", a=1, b=1), call("add", index=1, a=[1, {"x": None}])),
    "a real server's text": lambda: stream("chat_stream.b11434"),
    "a real server's thoughts": lambda: stream("chat_stream_reasoning.b11434"),
    "a real server's calls": lambda: stream("chat_stream_tools.b11434"),
}
TOOLS = [
    FunctionTool.from_defaults(lambda a, b: a + b, name="add", description="Add."),
    FunctionTool.from_defaults(lambda city, days: city, name="weather", description="Weather."),
]
QUESTION = [ChatMessage("Well?")]
Summary = dict[str, Any]


def summary(llm: Any, responses: list[ChatResponse]) -> Summary:
    """Text, thoughts, calls and usage of one answer; of a stream, all of its responses."""
    final = responses[-1]
    calls = llm.get_tool_calls_from_response(final, error_on_no_tool_call=False)
    thoughts = [b.content or "" for b in final.message.blocks if isinstance(b, ThinkingBlock)]
    usage = dict(final.raw or {}).get("usage")
    usage = usage if usage is None or isinstance(usage, dict) else usage.model_dump()
    return {
        "text": final.message.content or "",
        "deltas": "".join(response.delta or "" for response in responses),
        "thoughts": "".join(thoughts),
        "calls": [[one.tool_name, one.tool_kwargs] for one in calls],
        "ids": len({one.tool_id for one in calls}),
        "usage": usage and [usage["prompt_tokens"], usage["completion_tokens"]],
    }


def streamed(llm: Any) -> dict[str, Summary]:
    """The answer by both ways of streaming, with tools."""

    async def astream() -> list[ChatResponse]:
        responses = await llm.astream_chat_with_tools(
            TOOLS, chat_history=list(QUESTION), allow_parallel_tool_calls=True
        )
        return [response async for response in responses]

    sync = llm.stream_chat_with_tools(
        TOOLS, chat_history=list(QUESTION), allow_parallel_tool_calls=True
    )
    return {
        "stream_chat_with_tools": summary(llm, list(sync)),
        "astream_chat_with_tools": summary(llm, asyncio.run(astream())),
    }


def every_answer(make: Callable[[str], Any]) -> dict[str, dict[str, Summary]]:
    """What the LLM that ``make`` builds for an address makes of every scripted answer."""
    seen = {}
    for name, reply in ANSWERS.items():
        with FakeServer() as server:
            script(server, reply())
            seen[name] = streamed(make(server.url))
    return seen


def openai_like(url: str, **options: Any) -> Any:
    """``OpenAILike`` for a llama-server, with all that it takes to make it work."""
    package: Any = importlib.import_module("llama_index.llms.openai_like")
    return package.OpenAILike(
        model="scripted",
        api_base=f"{url}/v1",
        api_key="none",
        is_chat_model=True,
        is_function_calling_model=True,
        additional_kwargs={"stream_options": {"include_usage": True}},
        **options,
    )


if __name__ == "__main__":
    json.dump(every_answer(openai_like), sys.stdout, indent=1, ensure_ascii=False)
