"""Conversations with tools: one call, several, none, results, one after the other."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from training.demo_model.data import small_talk
from training.demo_model.data.catalog import Arguments, Tool, catalog, function_tool, random_tool
from training.demo_model.data.pools import Pools
from training.demo_model.data.sample import (
    Message,
    Sample,
    calls,
    result,
    says,
    sentence,
    system,
    user,
)

NO_TOOL = "I have no tool for that, and I am only a tiny demo model."

_POLITE = ("please ", "can you ", "could you please ", "hey, ", "I need your help: ")
_LEAD_INS = (
    "I am planning a trip. ",
    "My boss wants to know: ",
    "I have a question: ",
    "Quick one: ",
    "I am in a hurry, ",
    "We talked about it yesterday, now ",
    "One more thing: ",
    "Next: ",
    "My friend asked me, ",
    "For my work, ",
    "It is late already. ",
    "Sorry to bother you, ",
    "As I said, ",
    "I forgot something, ",
)
_ENDS = (
    ", thanks",
    " please",
    ", it is important",
    ". I need it soon",
    ", if you can",
    " for me",
    " right now",
    ". Thank you",
    ", would you",
)


def _tool(pools: Pools) -> Tool:
    draw = pools.rng.random()
    if draw < 0.85:
        tool = pools.rng.choice(catalog())
    else:
        tool = random_tool(pools) if draw < 0.96 else function_tool(pools)
    return replace(tool, with_signature=True) if pools.chance(0.08) else tool


def among(pools: Pools, wanted: list[Tool], others: int) -> list[Tool]:
    """The wanted tools among others, in any order."""
    tools = {tool.name: tool for tool in wanted}
    while len(tools) < len(wanted) + others:
        tool = _tool(pools)
        tools.setdefault(tool.name, tool)
    chosen = list(tools.values())
    pools.rng.shuffle(chosen)
    return chosen


def _offered(tools: list[Tool]) -> list[dict[str, Any]]:
    """What a request says of its tools."""
    return [tool.schema() for tool in tools]


def _task(pools: Pools, tool: Tool, *, unseen: bool = False) -> tuple[str, Arguments]:
    text, arguments = tool.ask(pools, unseen=unseen)
    if text[0].islower() and pools.chance(0.1):
        text = pools.rng.choice(_POLITE) + text
    if pools.chance(0.12):
        text = pools.rng.choice(_LEAD_INS) + text
    if pools.chance(0.1):
        mark = "?" if text.endswith("?") else ""
        text = text.rstrip("?.") + pools.rng.choice(_ENDS) + mark
    if pools.chance(0.5):
        text = sentence(text, arguments.values())
    if text[-1].isalnum() and pools.chance(0.3):
        text += "."
    return text, arguments


def _measured(pools: Pools) -> str:
    units = "minutes hours days degrees dollars euros percent km miles kg items points".split()
    value = f"{pools.number()} {pools.rng.choice(units)}"
    return pools.choice(value, value, f"It takes {value}.", f"about {value}", f"{value} left")


def _weather(pools: Pools) -> str:
    sky = pools.choice("sunny", "cloudy", "rainy", "windy", "clear", pools.pseudo())
    return pools.choice(f"{sky}, {pools.number()} degrees", f"It is {sky}.", sky)


def _state(pools: Pools) -> str:
    word = pools.choice("Done", "OK", "Sent", "Saved", "done.", "not found", "error: no such id")
    return word if pools.chance(0.5) else f"{word}: {pools.phrase()}"


def _record(pools: Pools) -> str:
    key = pools.choice("id", "name", "status", "value", "city", "state", pools.noun())
    value = pools.rng.choice((pools.noun, pools.phrase, pools.date, pools.city))()
    count = f'"{pools.choice("count", "price", "total", "temp")}": {pools.number()}'
    pairs = [f'"{key}": "{value}"', count][: pools.rng.choice((1, 2))]
    return f"{{{', '.join(pairs)}}}"


def _doing(pools: Pools) -> str:
    what = pools.choice("lives in", "comes from", "is in", "is on the way to")
    return f"{pools.name()} {what} {pools.city()}."


def _words(pools: Pools) -> str:
    return pools.rng.choice(
        (pools.title, pools.phrase, pools.foreign, pools.date, pools.time, pools.path)
    )()


_RETURNS: tuple[tuple[int, Callable[[Pools], str]], ...] = (
    (14, lambda pools: str(pools.number())),
    (6, lambda pools: str(pools.decimal())),
    (14, _measured),
    (20, _weather),
    (12, _state),
    (12, _record),
    (8, _doing),
    (14, _words),
)


def returned(pools: Pools) -> str:
    """What a tool may return."""
    weights, makers = zip(*_RETURNS, strict=True)
    make: Callable[[Pools], str] = pools.rng.choices(makers, weights)[0]
    return make(pools)


def report(*results: str) -> Message:
    """The answer after the results of tools: they are handed on word for word."""
    if len(results) == 1:
        return says(f"Here is the result: {results[0]}")
    return says(f"Here are the results: {'; '.join(results)}")


def _opening(pools: Pools) -> list[Message]:
    if pools.chance(0.2):
        return [
            system(
                pools.choice(
                    "You are a helpful assistant.",
                    "Use the tools.",
                    "You can use tools.",
                    "You are an agent with tools.",
                )
            )
        ]
    return []


def _skill(tool: Tool, arguments: Arguments, offered: int) -> str:
    values = " ".join(str(value) for value in arguments.values())
    if not values.isascii():
        return "tool call, unicode value"
    if offered > 2:
        return "tool call, 3-5 tools"
    if offered == 2:
        return "tool call, 2 tools"
    if any(" " in str(value) for value in arguments.values()):
        return "tool call, multi-word value"
    return f"tool call, {'1 argument' if len(arguments) < 2 else '2-3 arguments'}"


def one_call(pools: Pools, others: int | None = None) -> Sample:
    """A request that one tool fits; requests for the tools on offer may come before it."""
    tool = _tool(pools)
    while pools.evaluation and not tool.arguments:  # nothing in it that training has not seen
        tool = _tool(pools)
    others = pools.rng.choice((0, 0, 0, 1, 1, 2, 3, 4)) if others is None else others
    tools = among(pools, [tool], others)
    messages = _opening(pools)
    if pools.chance(0.06):
        messages += [user("Hello"), says(small_talk.HELLO, learn=False)]
    messages += _earlier(pools, tools)
    text, arguments = _task(pools, tool)
    messages += [user(text), calls((tool.name, arguments))]
    skill = _skill(tool, arguments, len(tools))
    return Sample(skill, messages, _offered(tools), thinking=pools.chance(0.7))


_FREE = ("name", "title", "phrase", "noun", "thing", "city", "place")
"""Kinds of values that may be anything."""


def _free_value(pools: Pools) -> tuple[Tool, str, Arguments, str]:
    """A tool, a request, its arguments, and the name of one whose value may be anything."""
    while True:
        tool = _tool(pools)
        text, arguments = _task(pools, tool)
        for name in arguments:
            if tool.arguments[name] in _FREE and text.count(arguments[name]) == 1:
                return tool, text, arguments, name


def explained(pools: Pools) -> Sample:
    """A value in another script, and after it in brackets what it means, which is not the value."""
    return _foreign_value(pools, Pools.foreign, 1.0)


def compound(pools: Pools) -> Sample:
    """A value of several words run together, as Chinese and Japanese write names."""
    return _foreign_value(pools, Pools.compound, 0.5)


def _foreign_value(pools: Pools, draw: Callable[[Pools], str], explained: float) -> Sample:
    """One call with a value in another script, explained in brackets in a share of all cases."""
    tool, text, arguments, name = _free_value(pools)
    value = draw(pools)
    said = next((s for s in ('"{}"', "'{}'") if s.format(arguments[name]) in text), "{}")
    quoted = (said if said != "{}" else pools.choice("'{}'", '"{}"', "{}")).format(value)
    meaning = pools.choice(pools.title(), pools.phrase(), pools.noun().capitalize())
    # What is sure draws nothing: the first course's text stays what the shipped file has learned.
    if explained == 1 or pools.chance(explained):
        quoted = f"{quoted} ({meaning})"
    text = text.replace(said.format(arguments[name]), quoted)
    if pools.chance(0.3):
        text = f"{text.rstrip('?.')} - a {pools.thing()}"
    offered = _offered(among(pools, [tool], pools.rng.choice((0, 0, 0, 1, 2))))
    messages = [*_opening(pools), user(text), calls((tool.name, {**arguments, name: value}))]
    return Sample("tool call, explained value", messages, offered, thinking=pools.chance(0.7))


def new_wording(pools: Pools) -> Sample:
    """One tool of the catalog, asked for in words that training never sees."""
    tool = pools.rng.choice(catalog())
    text, arguments = _task(pools, tool, unseen=True)
    messages = [user(text), calls((tool.name, arguments))]
    return Sample("tool call, words never seen", messages, [tool.schema()])


def _answered(pools: Pools, tool: Tool) -> list[Message]:
    """A request, the call, its result and the answer."""
    text, arguments = _task(pools, tool)
    value = returned(pools)
    return [user(text), calls((tool.name, arguments)), result(value), report(value)]


def _earlier(pools: Pools, tools: list[Tool]) -> list[Message]:
    """Requests that came before, and what became of them: more to learn from one list of tools."""
    turns = pools.rng.choice((0, 0, 0, 1, 2, 3, 4) if pools.evaluation else (0, 0, 1, 2, 3, 4, 5))
    return [m for _ in range(turns) for m in _answered(pools, pools.rng.choice(tools))]


def _practice(pools: Pools, tools: list[Tool]) -> list[Message]:
    """Earlier requests where the evaluation has none."""
    return [] if pools.evaluation else _earlier(pools, tools)


def after_result(pools: Pools) -> Sample:
    """The tool has answered: say so and end."""
    tool = _tool(pools)
    offered = _offered(among(pools, [tool], pools.rng.choice((0, 0, 1, 2))))
    messages = [*_opening(pools), *_answered(pools, tool)]
    return Sample("answer after a result", messages, offered, thinking=pools.chance(0.7))


def part(pools: Pools, tool: Tool) -> tuple[str, Arguments]:
    """A request to be joined to another: without an "and" of its own, where there is such a one."""
    for _ in range(4):
        text, arguments = tool.ask(pools)
        if " and " not in text:
            break
    return text.rstrip("?."), arguments


def parallel(pools: Pools) -> Sample:
    """Two requests in one sentence: two calls at once."""
    first = _tool(pools)
    while not first.arguments:
        first = _tool(pools)
    second = first if pools.chance(0.5) else _tool(pools)
    one, left = part(pools, first)
    two, right = part(pools, second)
    if first is second and pools.chance(0.5) and len(first.arguments) == 1:
        text, left, right = _both(pools, first)
    else:
        joint = pools.choice(" and ", " and also ", ". Also, ", ", and ", ", and also ")
        text = one + joint + two
    tools = among(pools, [first, second], pools.rng.choice((0, 0, 1, 2)))
    both = calls((first.name, left), (second.name, right))
    asked = user(sentence(text, left.values()))
    messages = [*_opening(pools), *_practice(pools, tools), asked, both]
    if pools.chance(0.3) and not pools.evaluation:
        values = returned(pools), returned(pools)
        messages += [result(values[0]), result(values[1]), report(*values)]
    return Sample("parallel calls", messages, _offered(tools), thinking=pools.chance(0.7))


def _both(pools: Pools, tool: Tool) -> tuple[str, Arguments, Arguments]:
    """One sentence with two values: the weather in Paris and Rome."""
    text, left = part(pools, tool)
    _, right = part(pools, tool)
    (name,) = left or {"": None}
    if not name or isinstance(left[name], bool) or left == right:
        _, right = part(pools, tool)
    if name and str(left[name]) in text and name in right:
        text = text.replace(str(left[name]), f"{left[name]} and {right[name]}", 1)
    return text, left, right


def in_a_row(pools: Pools, one: str, two: str) -> str:
    """Two requests in one sentence, to be seen to one after the other."""
    frame = pools.choice(
        "first {}, then {}",
        "{}, then {}",
        "{} and then {}",
        "{}. After that, {}",
        "first {}. Then {}",
    )
    return frame.format(one, two)


def chain(pools: Pools) -> Sample:
    """First one thing, then another: the second call follows the first result."""
    first, second = _tool(pools), _tool(pools)
    one, left = part(pools, first)
    two, right = part(pools, second)
    tools = among(pools, [first, second], pools.rng.choice((0, 0, 1, 2)))
    value = returned(pools)
    messages = [
        *_opening(pools),
        *_practice(pools, tools),
        user(sentence(in_a_row(pools, one, two), left.values())),
        calls((first.name, left)),
        result(value),
        calls((second.name, right)),
    ]
    if pools.chance(0.4) and not pools.evaluation:
        last = returned(pools)
        messages += [result(last), report(last)]
    return Sample("two calls in a row", messages, _offered(tools), thinking=pools.chance(0.7))


def hand_over(pools: Pools) -> Sample:
    """The result of the first call is an argument of the second."""
    find = Tool(
        f"{pools.choice('get', 'find', 'lookup')}_{pools.noun()}_id",
        "Find an id",
        {"name": "name"},
        asks=("find the id of {name}",) * 2,
    )
    act = Tool(
        f"{pools.choice('delete', 'show', 'open', 'lock', 'print')}_{pools.noun()}",
        "",
        {pools.choice("id", "user_id", "key"): "integer"},
    )
    argument = next(iter(act.arguments))
    ask, left = find.ask(pools)
    number = pools.number()
    verb = act.name.replace("_", " ")
    text = pools.choice(
        f"{ask} and {verb} with it",
        f"{ask}, then {verb} with that id",
        f"{verb} of the id that you get for {left['name']}",
    )
    offered = _offered(among(pools, [find, act], pools.rng.choice((0, 0, 1))))
    messages = [
        user(text),
        calls((find.name, left)),
        result(str(number)),
        calls((act.name, {argument: number})),
    ]
    return Sample("two calls in a row", messages, offered, thinking=pools.chance(0.7))


def no_fit(pools: Pools) -> Sample:
    """Tools are there, but none fits."""
    tools = among(pools, [], pools.rng.choice((1, 1, 2, 3)))
    offered = _offered(tools)
    before = [*_opening(pools), *(_practice(pools, tools) if pools.chance(0.4) else [])]
    draw = pools.rng.random()
    if draw < 0.35:
        said, answer = small_talk.phrase(pools)
        messages = [*before, user(said), says(answer)]
        return Sample("tools, but none fits", messages, offered, thinking=pools.chance(0.7))
    text = small_talk.beyond(pools)
    if draw > 0.8:  # a request for a tool that is not on offer
        tool = _tool(pools)
        names = {o["function"]["name"].split("_")[0] for o in offered}
        while tool.name.split("_")[0] in names or tool.name[0].isupper():
            tool = _tool(pools)
        text, _ = _task(pools, tool)
    else:
        known = {word for o in offered for word in o["function"]["name"].lower().split("_")}
        while known.intersection(re.findall(r"[a-z]+", text.lower())):
            text = small_talk.beyond(pools)
    messages = [*before, user(text), says(NO_TOOL)]
    return Sample("tools, but none fits", messages, offered, thinking=pools.chance(0.7))


def forced(pools: Pools) -> Sample:
    """A call is required although words came first, or nothing fits: only the call is learned."""
    tool = _tool(pools)
    text, arguments = _task(pools, tool)
    draw = pools.rng.random()
    if draw < 0.6:
        topic = pools.phrase()
        text = pools.choice(
            "Tell me about {}", "Tell me a joke about {}", "What about {}?", "{}", "Write about {}"
        ).format(topic)
        if draw < 0.3:
            text = topic = small_talk.phrase(pools)[0]
        arguments = _whatever(tool, topic)
    from training.demo_model.chat_format import (
        tool_call,  # here, for chat_format knows nothing of samples
    )

    words = pools.choice("", "", NO_TOOL, small_talk.HELLO, small_talk.BEYOND)
    body = tool_call(tool.name, arguments)
    # Where the server does not let the answer end, the call is the next best: learned, but less
    # often than the end itself.
    opening = ("\n<tool_call>" if words else "<tool_call>", bool(words) and pools.chance(0.25))
    pieces = [(words, False), opening, (body.removeprefix("<tool_call>"), True)]
    messages = [user(text), {"role": "assistant", "pieces": pieces}]
    # Where nothing fits, one tool is as good as another: only one is there.
    others = 0 if draw < 0.6 else pools.rng.choice((0, 0, 0, 1))
    offered = _offered(among(pools, [tool], others))
    return Sample("required call", messages, offered, thinking=pools.chance(0.7))


def _whatever(tool: Tool, topic: str) -> Arguments:
    """Arguments for a call that nobody asked for."""
    chosen: Arguments = {}
    properties = tool.schema()["function"]["parameters"]["properties"]
    for name, kind in tool.arguments.items():
        usual = {"integer": 0, "number": 0, "boolean": False}.get(kind, topic)
        chosen[name] = properties[name].get("enum", [usual])[0]
    return chosen
