"""Tools that people really offer to models (``catalog.txt``), and tools put together at random."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from training.demo_model.data.pools import Pools

Arguments = dict[str, Any]

_TYPES = {"integer": "integer", "number": "number", "boolean": "boolean"}
_PYTHON = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}
_ENUMS = {
    "unit": ("celsius", "fahrenheit"),
    "priority": ("low", "medium", "high"),
}
_SWITCHES = ("on", "enabled", "active")
"""Names of what people call on or off."""

_WORDS = {
    "language": "French German Spanish Italian Japanese Chinese Dutch Polish Greek Swedish Turkish",
    "cuisine": "Italian Indian Thai Mexican Greek French Chinese Spanish vegan Turkish Korean",
    "currency": "EUR USD GBP JPY CHF euros dollars pounds yen francs",
    "length": "meters miles feet kilometers inches yards centimeters grams pounds liters",
    "symbol": "AMD NVDA AAPL MSFT GOOG TSLA INTC IBM ORCL SAP ABC XYZ QRS",
    "room": "kitchen bedroom bathroom garage office hall cellar garden attic living_room",
    "color": "red blue green yellow white purple orange pink black brown warm_white dark_red",
    "genre": "horror comedy drama crime romance fantasy history science war western family music",
    "job": "baker doctor driver farmer painter pilot singer teacher nurse cook writer lawyer",
}
_LISTS = {kind: words.split() for kind, words in _WORDS.items()}


@dataclass(frozen=True)
class Tool:
    """A tool: its description and, for each argument, the kind of its values.

    Attributes:
        asks: ways to ask for it, with ``{argument}`` marks; training never sees the last.
        with_signature: the description starts with the signature of a Python function.
    """

    name: str
    description: str
    arguments: dict[str, str] = field(hash=False)
    optional: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    with_signature: bool = False

    def schema(self) -> dict[str, Any]:
        """The tool as the OpenAI API describes it."""
        properties = {name: _schema(kind) for name, kind in self.arguments.items()}
        required = [name for name in properties if name not in self.optional]
        parameters = {"type": "object", "properties": properties, "required": required}
        function: dict[str, Any] = {"name": self.name, "parameters": parameters}
        if self.description:
            function["description"] = self.description
        if self.with_signature:  # as LlamaIndex describes a Python function
            inside = ", ".join(f"{n}: {_PYTHON[p['type']]}" for n, p in properties.items())
            function["description"] = f"{self.name}({inside}) -> str\n{self.description}"
        return {"type": "function", "function": function}

    def ask(self, pools: Pools, *, unseen: bool = False) -> tuple[str, Arguments]:
        """A request for the tool and the arguments it names, in the order of the signature.

        Args:
            unseen: ask in words that training never sees.
        """
        text = self.asks[-1] if unseen else pools.rng.choice(self.asks[:-1])
        if not pools.evaluation and pools.chance(0.15):
            text = self._misheard(pools, text)
        arguments: Arguments = {}
        for name, kind in self.arguments.items():
            mark = f"{{{name}}}"
            if mark in text:
                value = make_value(pools, kind)
                while value in arguments.values() and kind != "boolean":
                    value = make_value(pools, kind)
                arguments[name] = value
                words = in_words(pools, name, value)
                if isinstance(value, str) and f'"{mark}"' not in text and pools.chance(0.08):
                    words = pools.choice("'{}'", '"{}"').format(words)
                text = text.replace(mark, words)
        return text, arguments

    def _misheard(self, pools: Pools, text: str) -> str:
        """A request of which a word is lost or another: not one that tells what is wanted."""
        known = re.findall(r"[a-z]+", f"{self.name} {self.description}".lower())
        words = text.split(" ")
        plain = [i for i, w in enumerate(words) if w.isalpha() and w.lower() not in known]
        if len(plain) > 2:
            place = pools.rng.choice(plain)
            words[place : place + 1] = [pools.noun()] if pools.chance(0.4) else []
        return " ".join(words)


def _schema(kind: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": _TYPES.get(kind, "string")}
    if kind in _ENUMS:
        schema["enum"] = list(_ENUMS[kind])
    return schema


def in_words(pools: Pools, name: str, value: object) -> str:
    """A value as it stands in a sentence."""
    if not isinstance(value, bool):
        return str(value)
    if name in _SWITCHES and pools.chance(0.8):
        return "on" if value else "off"
    words = name.replace("_", " ")
    yes = "{}|with {}|{} yes|{} true|{} on|turn on {}|it is {}|make it {}|{}: true"
    no = "not {}|without {}|{} no|{} false|{} off|turn off {}|it is not {}|no {}|{}: false"
    return pools.rng.choice((yes if value else no).split("|")).format(words)


def _number(pools: Pools) -> int | float:
    return pools.decimal() if pools.chance(0.25) else pools.number()


def _expression(pools: Pools) -> str:
    parts = [str(pools.number())]
    for _ in range(pools.rng.choice((1, 1, 2))):
        parts += [pools.choice("+", "-", "*", "/"), str(pools.number())]
    return " ".join(parts)


def _host(pools: Pools) -> str:
    """A machine or a service, such as ``web-03`` or ``redis``."""
    name = pools.choice("web", "db", "api", "mail", "node", "cache", pools.noun())
    return f"{name}-{pools.rng.randrange(1, 100):02}" if pools.chance(0.5) else name


def make_value(pools: Pools, kind: str) -> Any:
    """A random value of a kind."""
    if kind in _ENUMS:
        return pools.rng.choice(_ENUMS[kind])
    if kind in _LISTS:
        return pools.pick(_LISTS[kind])
    makers: dict[str, Callable[[], Any]] = {
        "integer": pools.number,
        "number": lambda: _number(pools),
        "boolean": lambda: pools.chance(0.5),
        "place": pools.city,
        "expression": lambda: _expression(pools),
        "host": lambda: _host(pools),
        "phone": lambda: " ".join(str(pools.rng.randrange(10, 1000)) for _ in range(3)),
    }
    if kind in makers:
        return makers[kind]()
    if kind in ("city", "name", "title", "phrase", "noun", "thing") and pools.chance(0.07):
        return pools.foreign()
    return getattr(pools, kind)()


@cache
def catalog() -> tuple[Tool, ...]:
    """Every line of ``catalog.txt``."""
    path = Path(__file__).with_name("catalog.txt")
    return tuple(_read(line) for line in path.read_text(encoding="utf-8").splitlines())


def _read(line: str) -> Tool:
    head, description, *asks = (part.strip() for part in line.split(" | "))
    name, inside = head.removesuffix(")").split("(")
    pairs = [pair.split(": ") for pair in inside.split(", ") if pair]
    arguments = {left.removesuffix("?"): kind for left, kind in pairs}
    optional = tuple(left.removesuffix("?") for left, _ in pairs if left.endswith("?"))
    return Tool(name, description, arguments, optional, tuple(asks))


# ---- tools at random ------------------------------------------------------------------------

# Kind of value, names of the argument, ways to say it.  {n} is the argument's name.
_SLOTS: tuple[tuple[str, str, str], ...] = (
    ("city", "city location place town destination", "in {}|for {}|near {}|at {}"),
    ("date", "date day when deadline", "on {}|for {}|until {}"),
    ("time", "time start hour", "at {}|from {} on"),
    ("name", "name person owner user customer", "for {}|of {}|with {}|named {}"),
    ("name", "recipient contact to", "to {}"),
    ("title", "title subject topic label", 'called {}|about {}|titled "{}"|on {}'),
    ("phrase", "text message content note body", 'saying "{}"|with the text {}|that says {}'),
    ("integer", "count amount quantity limit size level", "{} times|with {n} {}|, {n} {}"),
    ("number", "price budget value rate", "for {} dollars|with a {n} of {}|under {} dollars"),
    ("integer", "minutes duration hours days", "for {} {n}|lasting {} {n}"),
    ("address", "email address mail", "to {}|with the {n} {}|at {}"),
    ("path", "path file filename", "in {}|from {}|the file {}|into {}"),
    ("code", "id code reference number key", "with {n} {}|number {}|{n} {}"),
    ("color", "color", "in {}|colored {}|with the color {}"),
    ("language", "language", "in {}|into {}"),
    ("priority", "priority importance", "with {} {n}|, {n} {}"),
    ("boolean", "urgent public private verbose enabled active visible secret", "{}|, {}|and {}"),
    ("foreign", "keyword word term tag", "with the {n} {}|for {}|, {n} {}"),
    ("phrase", "query question pattern", 'about {}|matching "{}"|like {}'),
)
_NAMED = (
    "with {n} {}",
    ", {n} {}",
    ", {n}: {}",
    ", {n} = {}",
    "using {} as {n}",
    "and {n} {}",
    "with {} as the {n}",
    ", {n} set to {}",
)
_ACTIONS = """
create make add open start delete remove close stop find get show list check update change set
send share print save load order book rent buy sell move copy plan schedule report measure count
""".split()
_PLEASE = (
    "",
    "",
    "",
    "please ",
    "can you ",
    "could you ",
    "I want to ",
    "I need to ",
    "now ",
    "hey, ",
    "let us ",
    "I would like to ",
    "go and ",
)


def random_tool(pools: Pools) -> Tool:
    """A tool of an action, a thing and up to three arguments, with ways to ask for it."""
    action = pools.rng.choice(_ACTIONS) if pools.chance(0.8) else pools.pseudo()
    thing = pools.noun()
    chosen = pools.rng.sample(_SLOTS, pools.rng.choice((0, 1, 1, 1, 2, 2, 2, 3)))
    arguments: dict[str, str] = {}
    said: list[str] = []
    for kind, names, ways in chosen:
        name = pools.rng.choice(names.split()) if pools.chance(0.94) else pools.pseudo()
        if name in arguments:
            continue
        odd = name not in names or (kind != "boolean" and pools.chance(0.3))
        way = pools.rng.choice(_NAMED if odd and kind != "boolean" else ways.split("|"))
        way = way.replace("{n}", name.replace("_", " "))
        if any(way.split()[0] == other.split()[0] != "with" for other in said):
            continue  # "for Boston for Tina": no telling which is which
        arguments[name] = kind
        said.append(way.replace("{}", f"{{{name}}}"))
    pools.rng.shuffle(said)
    article = pools.choice("the", "a", "my", "this")
    text = f"{pools.rng.choice(_PLEASE)}{action} {article} {thing} {' '.join(said)}"
    text = re.sub(r"\s+([,:])", r"\1", text).strip()
    return Tool(
        _tool_name(pools, action, thing),
        _describe(pools, action, thing),
        arguments,
        asks=(text, text),
    )


def _tool_name(pools: Pools, action: str, thing: str) -> str:
    draw = pools.rng.random()
    if draw < 0.7:
        return f"{action}_{thing}"
    if draw < 0.8:
        return f"{action}{thing.capitalize()}"
    return f"{thing}_{action}" if draw < 0.9 else f"{thing}_tool"


def _describe(pools: Pools, action: str, thing: str) -> str:
    if pools.chance(0.1):
        return ""
    return f"{action.capitalize()} {pools.choice('a', 'the', 'one')} {thing}"


def function_tool(pools: Pools) -> Tool:
    """A tool that is asked for by its name, as in ``What is zorb(3)? Use the tool.``"""
    name = "_".join(pools.pseudo() if pools.chance(0.5) else pools.noun() for _ in range(2))
    kinds = pools.rng.sample(
        ("integer", "number", "noun", "phrase", "name"), pools.rng.choice((1, 1, 2))
    )
    names = pools.rng.sample(("input", "x", "a", "b", "value", "arg", "n", pools.pseudo()), 3)
    arguments = dict(zip(names, kinds, strict=False))
    inside = ", ".join(f"{{{n}}}" for n in arguments)
    spoken = " and ".join(f"{{{n}}}" for n in arguments)
    asks = (
        f"What is the value of {name}({inside})? Use the tool.",
        f"call {name} with {spoken}",
        f"use {name} on {spoken}",
        f"run {name} for {spoken}",
        f"{name}({inside})",
        f"What does {name} give for {spoken}?",
        f"please use the {name} tool with {spoken}",
    )
    ask = pools.rng.choice(asks)
    description = pools.choice("", f"The {name} function", "A function")
    return Tool(name, description, arguments, asks=(ask, ask))
