"""JSON: on request, and under a schema that the prompt does not mention."""

from __future__ import annotations

from typing import Any

from models.chat_format import to_json
from models.data.pools import COLORS, JOBS, Pools
from models.data.sample import Message, Sample, says, system, user

# Key, ways to say it in a sentence, and the maker of its values.
_FIELDS: tuple[tuple[str, str, str], ...] = (
    ("name", "the name is {}|it is called {}|{} is the name|named {}", "name"),
    ("age", "{} years old|the age is {}|aged {}|of age {}", "number"),
    ("city", "from {}|lives in {}|in {}|the city is {}|was born in {}", "city"),
    ("title", "titled {}|the title is {}|with the title {}", "title"),
    ("price", "costs {} dollars|the price is {}|for {} dollars", "number"),
    ("color", "the color is {}|colored {}|painted {}", "color"),
    ("date", "on {}|the date is {}|dated {}", "date"),
    ("email", "the email is {}|reachable at {}|with the email {}", "address"),
    ("count", "{} of them|{} pieces|the count is {}", "number"),
    ("year", "in the year {}|from the year {}|the year is {}|came out in {}", "number"),
    ("author", "written by {}|by {}|the author is {}", "name"),
    ("job", "works as a {}|the job is {}|is a {}", "job"),
    ("item", "one {}|the item is a {}|ordered a {}", "thing"),
    ("code", "with the code {}|the code is {}|code {}", "code"),
    ("task", "wants to {}|has to {}|the task is to {}", "deed"),
    ("topic", "about {}|the topic is {}|on the topic {}", "phrase"),
    ("time", "at {}|the time is {}|starting at {}", "time"),
)
_VERBS = ("lives ", "works ", "wants ", "has ", "was ", "came ", "costs ", "ordered ", "is a ")
"""How a part of a sentence starts that can stand right after a name."""

_ASKS = (
    "Answer in JSON with the keys {k}: {t}",
    "Extract {k} as JSON: {t}",
    "{t} Give me {k} as JSON.",
    "Return a JSON object with {k}. {t}",
    "{t}\nWrite JSON with the keys {k}.",
    "Make JSON with {k} from this: {t}",
    "{t} Answer with a JSON object with the keys {k}.",
)


def _record(pools: Pools) -> tuple[str, dict[str, Any]]:
    """A sentence and what it says, by key."""
    fields = pools.rng.sample(_FIELDS, pools.rng.choice((1, 2, 2, 3, 3)))
    record: dict[str, Any] = {}
    said = []
    for usual, usual_ways, kind in fields:
        key, ways = usual, usual_ways
        if pools.chance(0.1):
            key = pools.choice(pools.noun(), pools.pseudo())
            ways = f"the {key} is {{}}|{key}: {{}}|with {key} {{}}"
        value = _value(pools, kind)
        if kind in ("name", "city", "title") and pools.chance(0.12):
            value = pools.foreign()
        record[key] = value
        said.append(pools.rng.choice(ways.split("|")).format(value))
    pools.rng.shuffle(said)
    joint = pools.choice(", ", ", ", " and ")
    first = next((str(record[key]) for key in ("name", "title") if key in record), "")
    others = [words for words in said if first not in words]
    if first and others and pools.chance(0.5):
        others.sort(key=lambda words: not words.startswith(_VERBS))
        link = " " if others[0].startswith(_VERBS) else pools.choice(" is ", ", ")
        return f"{first}{link}{joint.join(others)}.", record
    text = joint.join(said)
    return text[0].upper() + text[1:] + ".", record


def _value(pools: Pools, kind: str) -> Any:
    if kind in ("color", "job"):
        return pools.rng.choice(COLORS if kind == "color" else JOBS)
    return getattr(pools, kind)()


def _asked(pools: Pools) -> tuple[list[Message], dict[str, Any]]:
    """A request that names the keys, the answer, and what is in it."""
    text, record = _record(pools)
    keys = list(record)
    names = (
        ", ".join(keys)
        if pools.chance(0.5)
        else " and ".join([", ".join(keys[:-1]), keys[-1]] if keys[1:] else keys)
    )
    ask = pools.rng.choice(_ASKS).replace("{k}", names).replace("{t}", text)
    return [user(ask), says(to_json(record))], record


def asked(pools: Pools) -> Sample:
    """JSON with the keys that the prompt names, sometimes after other such requests."""
    messages, record = _asked(pools)
    if not pools.evaluation:
        for _ in range(pools.rng.choice((0, 0, 1, 2))):
            messages = _asked(pools)[0] + messages
    if pools.chance(0.2):
        messages = [system("Answer in JSON."), *messages]
    request = {"response_format": _schema(record)} if pools.evaluation else {}
    skill = "JSON asked, with schema"
    if pools.evaluation and pools.chance(0.5):
        skill, request = "JSON asked, no schema", {}
    return Sample(
        skill, messages, thinking=False if request else pools.chance(0.6), request=request
    )


def forced(pools: Pools) -> Sample:
    """A sentence alone; a schema will force JSON, so only the values are learned."""
    text, record = _record(pools)
    if pools.chance(0.3):
        text = pools.choice("Extract the data: ", "What is in this text? ", "Parse: ") + text
    pieces: list[tuple[str, bool]] = [("{", False)]
    for index, (key, value) in enumerate(record.items()):
        opening = f'{", " if index else ""}"{key}": '
        written = to_json(value)
        if isinstance(value, str):
            opening, written = opening + '"', written[1:]
        pieces += [(opening, False), (written, True)]
    pieces += [("}", True)]
    messages = [user(text), {"role": "assistant", "content": to_json(record), "pieces": pieces}]
    request = {"response_format": _schema(record)} if pools.evaluation else {}
    return Sample("JSON forced by schema", messages, thinking=False, request=request)


def _schema(record: dict[str, Any]) -> dict[str, Any]:
    kinds = {
        key: {"type": "integer" if isinstance(value, int) else "string"}
        for key, value in record.items()
    }
    schema = {
        "type": "object",
        "properties": kinds,
        "required": list(record),
        "additionalProperties": False,
    }
    return {"type": "json_schema", "json_schema": {"name": "record", "schema": schema}}
