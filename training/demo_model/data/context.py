"""A passage and a question about it, in the prompts of LlamaIndex and LangChain.

The answer is the sentence of the passage that has it, word for word: "extractive".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from training.demo_model.data.pools import COLORS, JOBS, VERBS, Pools
from training.demo_model.data.sample import Message, Sample, says, system, user

UNKNOWN = "The context does not say."

_S, _V = "{s}", "{v}"


@cache
def relations() -> tuple[tuple[str, str, str, tuple[str, ...]], ...]:
    """``relations.txt``: kind of subject, kind of value, a sentence, questions about it."""
    lines = Path(__file__).with_name("relations.txt").read_text(encoding="utf-8").splitlines()
    split = (line.split(" | ") for line in lines)
    return tuple((kind, value, sentence, tuple(asks)) for kind, value, sentence, *asks in split)


@cache
def _questions(pattern: str) -> frozenset[str]:
    """Every question that sentences of a pattern answer."""
    return frozenset(q for _, _, sentence, asks in relations() if sentence == pattern for q in asks)


QA_SYSTEM = (
    "You are an expert Q&A system that is trusted around the world.\n"
    "Always answer the query using the provided context information, and not prior knowledge.\n"
    "Some rules to follow:\n1. Never directly reference the given context in your answer.\n"
    "2. Avoid statements like 'Based on the context, ...' or 'The context information ...' or "
    "anything along those lines."
)
_LINE = "---------------------"

_PROMPTS: tuple[tuple[float, str, str], ...] = (
    (3, QA_SYSTEM, f"Context information is below.\n{_LINE}\n{{c}}\n{_LINE}\nGiven the context "
     "information and not prior knowledge, answer the query.\nQuery: {q}\nAnswer: "),
    (3, "", f"Context information is below.\n{_LINE}\n{{c}}\n{_LINE}\nGiven the context "
     "information and not prior knowledge, answer the query.\nQuery: {q}\nAnswer: "),
    (3, "", "Answer the question based only on the following context:\n{c}\n\nQuestion: {q}"),
    (2, "", "Answer the question based only on the following context:\n\n{c}\n\nQuestion: {q}\n"),
    (2, "", "You are an assistant for question-answering tasks. Use the following pieces of "
     "retrieved context to answer the question. If you don't know the answer, just say that you "
     "don't know. Use three sentences maximum and keep the answer concise.\nQuestion: {q} \n"
     "Context: {c} \nAnswer:"),
    (2, "Answer from this context:\n{c}", "{q}"),
    (1, "Use the given context to answer the question.\nContext: {c}", "{q}"),
    (1, "You are a helpful assistant. Answer only from the context.\n\n{c}", "{q}"),
    (2, "", "Context: {c}\nQuestion: {q}"),
    (2, "", "{c}\n\n{q}"),
    (2, "", "{c} {q}"),
    (1, "", "Context:\n{c}\n\nQuestion: {q}\nAnswer:"),
    (1, "", "Read this: {c}\n{q}"),
)  # fmt: skip


def _made_up(pools: Pools, kind: str) -> str:
    makers: dict[str, Callable[[], str]] = {
        "place": pools.city,
        "name": pools.name,
        "title": pools.title,
        "thing": pools.thing,
        "deed": pools.deed,
        "item": pools.thing,
        "product": lambda: pools.choice(pools.pseudo(True), pools.title(), f"{pools.noun()}-db"),
        "doctor": lambda: f"{pools.choice('Dr.', 'Mr.', 'Mrs.', 'Professor')} {pools.surname()}",
        "job": lambda: pools.rng.choice(JOBS),
        "color": lambda: pools.rng.choice(COLORS),
        "number": lambda: str(pools.number()),
        "time": pools.time,
        "date": pools.date,
        "code": pools.code,
        "path": pools.path,
        "address": pools.address,
    }
    return makers[kind]()


@dataclass(frozen=True)
class _Fact:
    pattern: str
    subject: str
    sentence: str
    question: str
    value: str


def _fact(
    pools: Pools, subject: str = "", kind: str = "", unlike: str = "", like: str = ""
) -> _Fact:
    """A sentence about something, a question, and the words that answer it.

    Args:
        unlike: a sentence's pattern, whose questions this sentence must not answer too.
        like: the sentence's pattern.
    """
    choices = [
        relation
        for relation in relations()
        if kind in ("", relation[0]) and like in ("", relation[2])
        if _questions(unlike).isdisjoint(relation[3])
    ]
    subject_kind, value_kind, pattern, questions = pools.rng.choice(choices)
    subject = subject or _made_up(pools, subject_kind)
    value = pools.foreign() if pools.chance(0.06) else _made_up(pools, value_kind)
    asked = pools.rng.choice(questions)
    sentence = pattern.replace(_S, subject).replace(_V, value)
    return _Fact(
        pattern,
        subject,
        sentence[0].upper() + sentence[1:],
        asked.replace(_S, subject).replace(_V, value),
        subject if _V in asked else value,
    )


def _invented(pools: Pools, like: _Fact | None = None) -> _Fact:
    """A sentence of made-up words about who did what, where or when, and a question about it."""
    verb = pools.pick(VERBS) if pools.chance(0.8) else pools.pseudo()
    subject = pools.choice(pools.name(), f"The {pools.thing()}", pools.pseudo(True))
    thing = pools.choice(pools.title(), f"the {pools.thing()}", f"{pools.number()} {pools.noun()}s")
    if like is not None and pools.chance(0.5):  # half of it is the same: only one is right
        subject = like.subject
    asked, tail = pools.rng.choice(
        (
            ("Where", f"in {pools.city()}"),
            ("When", f"on {pools.date()}"),
            ("When", f"at {pools.time()}"),
            ("How long", f"for {pools.number()} days"),
            ("With whom", f"with {pools.name()}"),
            ("Why", f"because of the {pools.noun()}"),
        )
    )
    past = f"{verb}d" if verb.endswith("e") else f"{verb}ed"
    short = pools.chance(0.4)
    sentence = f"{subject} {past} {thing}." if short else f"{subject} {past} {thing} {tail}."
    named = subject if subject[:4] != "The " else "the " + subject[4:]
    questions = [
        (f"What did {named} {verb}?", thing),
        (f"Who {past} {thing}?", subject),
        (f"What do you know about {named}?", thing),
    ]
    if not short:
        questions.append((f"{asked} did {named} {verb} {thing}?", tail))
    question, value = pools.rng.choice(questions)
    return _Fact("", subject, sentence[0].upper() + sentence[1:], question, value)


def _invented_passage(pools: Pools, length: int) -> tuple[list[_Fact], _Fact]:
    wanted = _invented(pools)
    facts = [_invented(pools, wanted) for _ in range(length - 1)]
    if "do you know" in wanted.question or wanted.question.startswith("What did"):
        facts = [fact for fact in facts if fact.subject != wanted.subject]
    facts.insert(pools.rng.randrange(len(facts) + 1), wanted)
    return facts, wanted


def _passage(pools: Pools, length: int) -> tuple[list[_Fact], _Fact]:
    """Sentences, exactly one of them wanted, and that one."""
    kind = pools.rng.choice(relations())[0]
    wanted = _fact(pools, kind=kind)
    facts: list[_Fact] = []
    for _ in range(length - 1):
        draw = pools.rng.random()
        if draw < 0.25 and "Where is" not in wanted.question:
            other = _fact(pools, wanted.subject, kind, unlike=wanted.pattern)
        elif draw < 0.6:  # the same kind of subject
            other = _fact(pools, kind=kind)
        else:
            other = _fact(pools)
        if other.pattern != wanted.pattern or other.subject != wanted.subject:
            facts.append(other)
    facts.insert(pools.rng.randrange(len(facts) + 1), wanted)
    return facts, wanted


def _same_passage(pools: Pools, length: int) -> tuple[list[_Fact], _Fact]:
    """The same said of several: Anna lives in Rome. Tom lives in Oslo."""
    wanted = _fact(pools)
    facts = [wanted]
    for _ in range(2 * length):
        other = _fact(pools, like=wanted.pattern)
        said = {word for fact in facts for word in _own_words(fact)}
        if len(facts) < length and not said & _own_words(other):
            facts.append(other)
    pools.rng.shuffle(facts)
    return facts, wanted


def _own_words(fact: _Fact) -> set[str]:
    """The words of a sentence that its pattern does not have."""
    return set(fact.sentence.rstrip(".").split()) - set(fact.pattern.rstrip(".").split())


def _alike(fact: _Fact, other: _Fact) -> bool:
    """Whether both sentences may answer the question about ``fact``."""
    if fact.subject != other.subject:
        return False
    if fact.pattern == other.pattern or "Where is" in fact.question:
        return True
    return not _questions(fact.pattern).isdisjoint(_questions(other.pattern))


def _follow_ups(pools: Pools, facts: list[_Fact], wanted: _Fact) -> list[Message]:
    """More questions about the same passage, where only one sentence can answer."""
    left = [
        fact
        for fact in facts
        if fact is not wanted and not any(_alike(fact, f) for f in facts if f is not fact)
    ]
    asked = pools.rng.sample(left, min(len(left), pools.rng.choice((0, 1, 2, 3, 4, 5))))
    return [m for fact in asked for m in (user(fact.question), says(fact.sentence))]


def _join(pools: Pools, sentences: list[str]) -> str:
    draw = pools.rng.random()
    if draw < 0.7:
        text = " ".join(sentences)
    elif draw < 0.85:
        text = "\n\n".join(sentences)
    else:
        text = "\n".join(sentences)
    if pools.chance(0.15):
        text = f"file_path: {pools.path()}\n\n{text}"
    return text


def draw(pools: Pools) -> Sample:
    """A passage, a question and the sentence that answers it."""
    length = pools.rng.choice((1, 2, 2, 3, 3, 4, 5, 6, 8))
    passage = _invented_passage if pools.chance(0.15) else _passage
    return _asked(pools, *passage(pools, length))


def draw_same(pools: Pools) -> Sample:
    """The same, where all sentences are alike and only the subject or the value tells."""
    sample = _asked(pools, *_same_passage(pools, pools.rng.choice((2, 2, 3, 3, 4, 5))))
    return replace(sample, skill="answer from a context, all alike")


def _asked(pools: Pools, facts: list[_Fact], wanted: _Fact) -> Sample:
    question, answer, value = wanted.question, wanted.sentence, wanted.value
    if pools.chance(0.06):
        facts = [fact for fact in facts if fact.sentence != answer] or [_fact(pools)]
        answer = value = UNKNOWN
    weights = [p[0] for p in _PROMPTS]
    _, rule, body = pools.rng.choices(_PROMPTS, weights)[0]
    context = _join(pools, [fact.sentence for fact in facts])
    fill = {"{c}": context, "{q}": question if pools.chance(0.85) else question.lower()}
    for mark, text in fill.items():
        rule, body = rule.replace(mark, text), body.replace(mark, text)
    messages: list[Message] = [system(rule)] if rule else []
    messages += [user(body), says(answer)]
    if not pools.evaluation:
        messages += _follow_ups(pools, facts, wanted)
    return Sample("answer from a context", messages, thinking=pools.chance(0.6), contains=value)
