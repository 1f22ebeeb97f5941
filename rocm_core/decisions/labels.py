"""Ask a model that is made for chats: one token of the answer, and how likely each label is. Pure.

    prompt    the question, its options as "A. …", "B. …", and the state
    request   one token, which may be a label and nothing else
    answer    the probability of each label's token

Every label but the asked ones is shut out by adding ``BIAS`` to theirs:
the probabilities behind the samplers are then those of the labels alone, and their sum is 1
(``populate_token_probs`` in llama.cpp ``tools/server/server-context.cpp``).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from rocm_core.decisions.answers import Answer, answer_of
from rocm_core.decisions.questions import Box, Question
from rocm_core.errors import ConfigError, ProtocolError

BIAS = 200.0
"""Added to the logits of labels: more than models' logits differ by, and small enough that
differences between two labels of a thousandth are kept in 32 bits."""

# As decision models have them (``server_decision_context::init`` in server-decision.cpp).
_PAIRS = tuple(a + b for a in ascii_uppercase for b in ascii_uppercase)
_FORMS = ("{}", " {}", "\n{}")
_NEWLINE = "\n"
_HOW = "Answer with the letter of one option and nothing else."


def options_of(name: str, question: Question) -> dict[str, Any]:
    """Return the options of a question.

    Raises:
        ConfigError: it has none (``Box``).
    """
    if isinstance(question, Box):
        raise ConfigError(
            f"the question {name!r} is a Box, which one token cannot answer: load a decision model "
            "that locates, with its projector (mmproj=…)"
        )
    return question.options()


def needed(questions: Mapping[str, Question]) -> int:
    """Return how many labels the questions need at most."""
    return max(len(options_of(name, question)) for name, question in questions.items())


def label_texts(count: int) -> list[str]:
    """Return texts to tokenize for at least ``count`` labels, if the vocabulary has so many."""
    labels = (*ascii_uppercase, *(() if count <= len(ascii_uppercase) else _PAIRS))
    return [_NEWLINE, *(form.format(label) for label in labels for form in _FORMS)]


def read_labels(texts: Sequence[str], ids: Sequence[Sequence[int]]) -> dict[str, tuple[int, ...]]:
    """Return the tokens of each label that is one token, in every form that an answer may take.

    A tokenizer may have one token for "A" at the beginning of a line and another after a space.

    Args:
        texts: those of ``label_texts``.
        ids: their tokens.
    """
    newline = list(ids[0])
    found: dict[str, tuple[int, ...]] = {}
    for text, tokens in zip(texts[1:], ids[1:], strict=True):
        label = text.strip()
        after_newline = text.startswith(_NEWLINE) and newline and list(tokens[:-1]) == newline
        own = tokens[-1:] if after_newline else tokens
        if len(own) == 1 and own[0] not in found.get(label, ()):
            found[label] = (*found.get(label, ()), own[0])
    return found


def texts_of(
    state: Any, questions: Mapping[str, Question], labels: Sequence[str]
) -> dict[str, str]:
    """Return what the user says for each question; JSON where state and question are no text.

    What several prompts begin with the server has to read once: the state if the questions
    together are shorter than reading the state again for each of them, else the question, which
    other requests may ask of other states.

    Args:
        state: what the questions are about.
        questions: by their ids.
        labels: at least as many as a question has options.

    Raises:
        ConfigError: a question has no options (``Box``).
    """
    asked = {name: _asked(name, question, labels) for name, question in questions.items()}
    about = f"State:\n{_text(state)}"
    state_first = sum(map(len, asked.values())) < (len(asked) - 1) * len(about)
    return {
        name: f"{about}\n\n{text}" if state_first else f"{text}\n\n{about}"
        for name, text in asked.items()
    }


def _asked(name: str, question: Question, labels: Sequence[str]) -> str:
    options = options_of(name, question)
    lines = [f"Question: {_text(question.instructions)}"]
    for label, (option, what) in zip(labels, options.items(), strict=False):
        described = "" if what is None else f": {_text(what)}"
        lines.append(f"{label}. {option}{described}")
    return "\n".join([*lines, _HOW])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def completion_body(prompt: str, ids: Sequence[int]) -> dict[str, Any]:
    """Return the body of ``POST /completion`` whose one token is one of ``ids``."""
    return {
        "prompt": prompt,
        "n_predict": 1,
        "logit_bias": [[id_, BIAS] for id_ in ids],
        # Nothing else changes the probabilities, whatever the server's defaults are.
        "samplers": ["temperature"],
        "temperature": 1.0,
        "dynatemp_range": 0.0,
        "n_probs": len(ids),
        "post_sampling_probs": True,
        "cache_prompt": True,
        "stream": False,
    }


def read_shares(body: Any, ids: Sequence[int]) -> dict[int, float]:
    """Return the probability of each of ``ids``, of the answer to ``completion_body``.

    Raises:
        ProtocolError: the server told none.
    """
    told = body.get("completion_probabilities") if isinstance(body, dict) else None
    first = told[0] if isinstance(told, list) and told else None
    rows = first.get("top_probs") if isinstance(first, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ProtocolError(
            f"the server told no probabilities (top_probs) of its token: {body!r:.200}. A decision "
            "by one token needs llama-server's own POST /completion."
        )
    shares = {row.get("id"): row.get("prob") for row in rows}
    # The server leaves out what is 0.
    found: dict[int, float] = {}
    for id_ in ids:
        share = shares.get(id_, 0.0)
        if type(share) not in (int, float) or not math.isfinite(share) or share < 0:
            raise ProtocolError(f"the probability of token {id_} is no number: {share!r:.40}")
        found[id_] = float(share)
    return found


def read_answer(
    question: Question, labels: Sequence[Sequence[int]], shares: Mapping[int, float]
) -> Answer:
    """Return the answer to a question.

    Args:
        question: with as many options as ``labels`` has items.
        labels: the tokens of each option's label.
        shares: the probability of each token.

    Raises:
        ProtocolError: no label has any probability.
    """
    weights = [sum(shares[id_] for id_ in ids) for ids in labels]
    total = sum(weights)
    if not total > 0:
        raise ProtocolError(
            "the server gave no option any probability: it does not apply logit_bias, as "
            "llama-server's POST /completion does"
        )
    return answer_of(question, [weight / total for weight in weights])
