"""JSON: on request, and under a schema that the prompt does not mention."""

from __future__ import annotations

import re
from typing import Any

from training.demo_model.chat_format import to_json
from training.demo_model.data.pools import COLORS, JOBS, Pools
from training.demo_model.data.sample import Message, Sample, says, sentence, system, user

# Key and maker of its values.
_KINDS = {
    "name": "name",
    "age": "age",
    "city": "city",
    "title": "title",
    "price": "number",
    "color": "color",
    "date": "date",
    "email": "address",
    "count": "number",
    "year": "year",
    "author": "name",
    "job": "job",
    "item": "thing",
    "code": "code",
    "task": "deed",
    "topic": "phrase",
    "time": "time",
}

# What a sentence is about, and what may be said of it.
_FRAMES: tuple[tuple[str, ...], ...] = (
    ("{name}", " is {age} years old", " lives in {city}", " works as a {job}",
     " can be reached at {email}"),
    ("{name}, {age} years old,", " is a {job}", " comes from {city}", " wants to {task}"),
    ("{name} from {city}", " ordered a {item}", " paid {price} dollars", " has the code {code}"),
    ("{title} by {author}", " came out in {year}", " costs {price} dollars",
     " is about {topic}"),
    ("the book {title}", " was written by {author}", " is from the year {year}",
     " costs {price} dollars"),
    ("the {item}", " costs {price} dollars", " is {color}", " has the code {code}",
     " was made in {year}"),
    ("{count} pieces of the {item}", " were sent to {city}", " arrive on {date}",
     " cost {price} dollars"),
    ("the meeting about {topic}", " is on {date}", " starts at {time}", " takes place in {city}"),
    ("{name}", " has to {task}", " was born in {city}", " will come on {date}"),
    ("order {code}", " is from {date}", " contains {count} parts", " goes to {name}"),
)  # fmt: skip

_ASKS = (
    "Answer in JSON with the keys {k}: {t}",
    "Write JSON with {k}. {t}",
    "Extract {k} as JSON: {t}",
    "{t} Give me {k} as JSON.",
    "Return a JSON object with {k}. {t}",
    "{t}\nWrite JSON with the keys {k}.",
    "Make JSON with {k} from this: {t}",
    "{t} Answer with a JSON object with the keys {k}.",
)


def _record(pools: Pools) -> tuple[str, dict[str, Any]]:
    """A sentence and what it says, by key."""
    text = _labels(pools) if pools.chance(0.35) else _clauses(pools)
    record: dict[str, Any] = {}
    for mark in re.findall(r"{(\w+)}", text):
        value = _value(pools, _KINDS.get(mark) or pools.rng.choice(list(_KINDS.values())))
        if _KINDS.get(mark) in ("name", "city", "title") and pools.chance(0.15):
            value = pools.foreign()
        record[mark] = value
    first = [record[mark] for mark in re.findall(r"^{(\w+)}", text)]
    text = sentence(text.format_map(record), first)
    wanted = list(record)
    if pools.chance(0.5):
        pools.rng.shuffle(wanted)
    if len(wanted) > 1 and pools.chance(0.15):
        wanted.pop()
    return f"{text}.", {key: record[key] for key in wanted}


def _labels(pools: Pools) -> str:
    """Keys and values one by one, some of the keys unheard of."""
    keys = pools.rng.sample(list(_KINDS), pools.rng.choice((1, 2, 2, 3, 3)))
    if pools.chance(0.3):
        keys[0] = pools.choice(pools.noun(), pools.pseudo())
    if pools.chance(0.5):
        sign = pools.choice(": ", " = ")
        return pools.choice(", ", "; ").join(f"{key}{sign}{{{key}}}" for key in keys)
    said = [f"the {key} is {{{key}}}" for key in keys]
    return " and ".join([", ".join(said[:-1]), said[-1]] if said[1:] else said)


def _clauses(pools: Pools) -> str:
    """A sentence as people write it."""
    subject, *clauses = pools.rng.choice(_FRAMES)
    chosen = pools.rng.sample(clauses, pools.rng.choice((1, 1, 2)))
    return subject + pools.choice(" and", ",", " and").join(chosen)


def _value(pools: Pools, kind: str) -> Any:
    if kind in ("color", "job"):
        return pools.rng.choice(COLORS if kind == "color" else JOBS)
    if kind in ("age", "year"):
        return pools.rng.randrange(1, 100) if kind == "age" else pools.rng.randrange(1500, 2050)
    return getattr(pools, kind)()


def _asked(pools: Pools) -> tuple[list[Message], dict[str, Any]]:
    """A request that names the keys, the answer, and what is in it."""
    text, record = _record(pools)
    ask = pools.rng.choice(_ASKS).replace("{k}", _listed(pools, list(record))).replace("{t}", text)
    return [user(ask), says(to_json(record))], record


def _listed(pools: Pools, keys: list[str]) -> str:
    """Keys as they stand in a request."""
    if pools.chance(0.2):
        quote = pools.choice("'", '"', "`")
        keys = [f"{quote}{key}{quote}" for key in keys]
    if pools.chance(0.5):
        return ", ".join(keys)
    return " and ".join([", ".join(keys[:-1]), keys[-1]] if keys[1:] else keys)


def asked(pools: Pools) -> Sample:
    """JSON with the keys that the prompt names, sometimes after other such requests."""
    messages, record = _asked(pools)
    if not pools.evaluation:
        for _ in range(pools.rng.choice((0, 0, 1, 2, 3))):
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


# What to make up about a topic: its keys and values.
_INVENTIONS = (
    ("joke", {"setup": "Why did {t} cross the road?", "punchline": "To get to the other token."}),
    ("joke", {"question": "Why did {t} cross the road?", "answer": "To get to the other token."}),
    ("note", {"title": "{t}", "text": "A note about {t}."}),
    ("story", {"title": "{t}", "story": "Once upon a time there was a story about {t}."}),
    ("question", {"topic": "{t}", "question": "What do you know about {t}?"}),
)

_INVENT = (
    "{v} a {w} about {t}. Answer in JSON with the keys {k}.",
    "{v} a {w} about {t}, as JSON with {k}",
    "{v} a {w} about {t}. Return it as JSON with the keys {k}, and nothing else.",
    "{v} a {w} about {t} as a JSON object with {k} keys. Only JSON.",
    "Answer with a JSON object with {k}. {v} a {w} about {t}.",
    "{v} me a {w} about {t}. The answer is JSON with {k} keys, without other words.",
)


def invented(pools: Pools) -> Sample:
    """JSON about a topic, for which the prompt has the keys but no values."""
    what, form = pools.rng.choice(_INVENTIONS)
    topic = pools.choice(pools.noun() + "s", pools.phrase(), pools.name(), pools.foreign())
    verb = pools.choice("Tell", "Write", "Give", "Make")
    ask = pools.rng.choice(_INVENT).replace("{v}", verb).replace("{w}", what)
    if verb in ("Tell", "Give") and " me " not in ask:
        ask = ask.replace(f"{verb} a", f"{verb} me a")
    keys = list(form)
    if pools.chance(0.2):
        keys.reverse()
    ask = ask.replace("{k}", _listed(pools, keys)).replace("{t}", topic)
    answer = {key: form[key].replace("{t}", topic) for key in keys}
    return Sample("JSON made up", [user(ask), says(to_json(answer))], thinking=pools.chance(0.6))


def forced(pools: Pools) -> Sample:
    """A sentence alone: nothing asks for JSON but a schema, so how it begins is not learned.

    The keys are: a schema decides which ones, but it allows spaces and line breaks around them, and
    a model that has not learned what follows a key takes those, and loses its way.
    """
    text, record = _record(pools)
    if pools.chance(0.3):
        text = pools.choice("Extract the data: ", "What is in this text? ", "Parse: ") + text
    written = to_json(record)
    pieces = [(written[:2], False), (written[2:], True)]
    messages = [user(text), {"role": "assistant", "content": written, "pieces": pieces}]
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
