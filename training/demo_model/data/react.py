"""Agents that act in words, as LlamaIndex's ``ReActAgent`` reads them.

No tools in the request: the system message describes them, the answer names one in lines that
start with Thought, Action and Action Input, and the result comes back as an Observation.
"""

from __future__ import annotations

from typing import Any

from training.demo_model.chat_format import to_json
from training.demo_model.data import tools
from training.demo_model.data.catalog import Arguments, Tool
from training.demo_model.data.pools import Pools
from training.demo_model.data.sample import Message, Sample, says, sentence, system, user

HEADER = """Answer with the help of tools:
{tools}
Use one of two forms.
Thought: why a tool is needed
Action: one of {names}
Action Input: its arguments as JSON

Thought: why no tool is needed
Answer: the answer"""

ACT = "I need to use a tool to help me answer the question."
ENOUGH = "I can answer without using any more tools."


def describe(tool: Tool) -> str:
    """A tool as LlamaIndex's ``ReActChatFormatter`` describes it."""
    function = tool.schema()["function"]
    parameters: dict[str, Any] = function["parameters"]
    for name, schema in parameters["properties"].items():
        schema["title"] = name.replace("_", " ").title()
    arguments = to_json({key: parameters[key] for key in ("properties", "required", "type")})
    about = function.get("description", "")
    return f"> Tool Name: {tool.name}\nTool Description: {about}\nTool Args: {arguments}\n"


def _act(tool: Tool, arguments: Arguments) -> str:
    return f"Thought: {ACT}\nAction: {tool.name}\nAction Input: {to_json(arguments)}"


def _acted(pools: Pools, tool: Tool, arguments: Arguments) -> list[Message]:
    """A step of the past: LlamaIndex writes its arguments back as a Python dict."""
    done = _act(tool, {}).removesuffix("{}") + str(arguments)
    return [says(done, learn=False), user(f"Observation: {tools.returned(pools)}")]


def draw(pools: Pools) -> Sample:
    """One step of an agent: act, act again, or answer."""
    chosen = tools.among(pools, [], pools.rng.choice((1, 2, 2)))
    names = ", ".join(tool.name for tool in chosen)
    described = "\n".join(describe(tool) for tool in chosen)
    first, second = pools.rng.sample(chosen, 2) if len(chosen) > 1 else chosen * 2
    one, left = tools.part(pools, first)
    two, right = tools.part(pools, second)
    wanted = [(first, left), (second, right)][: pools.rng.choice((1, 2))]
    text = tools.in_a_row(pools, one, two) if len(wanted) == 2 else one
    messages = [
        system(HEADER.format(tools=described, names=names)),
        user(sentence(text, left.values())),
    ]
    done = pools.rng.randrange(len(wanted) + 1)
    for tool, arguments in wanted[:done]:
        messages += _acted(pools, tool, arguments)
    if done < len(wanted):
        messages.append(says(_act(*wanted[done])))
    else:
        value = str(messages[-1]["content"]).removeprefix("Observation: ")
        messages.append(says(f"Thought: {ENOUGH}\nAnswer: {value}"))
    return Sample("steps in words", messages, thinking=pools.chance(0.6))
