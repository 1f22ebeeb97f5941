"""Convert what a LangChain decision model is asked, and what it answers.

    state: text, JSON, messages at any depth   → JSON, and the images in it as data URLs
    Noul, Choice, Score, Box                   → YesNo, Choice, Score, Box
    Decision                                   → the fields of ``ClassifierResponse``

llama-server puts images before the state, whatever their place in it (llama.cpp
``tools/server/server-decision.cpp``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core import decisions as langchain
from langchain_core.messages import BaseMessage, HumanMessage

from langchain_rocm.conversion.media import MEDIA, request_part
from langchain_rocm.conversion.messages import request_messages
from rocm_core import Box, Choice, Decision, Score, YesNo
from rocm_core.decisions import Answer, BoxAnswer, ChoiceAnswer, Question, ScoreAnswer
from rocm_core.errors import ConfigError

# What tells a block of media from other JSON with a key "type".
_DATA = frozenset(
    {"base64", "url", "file_id", "data", "source", "source_type", "image_url", "input_audio"}
)


def request_state(state: Any) -> tuple[Any, list[str]]:
    """Return a state as JSON, and its images as data URLs, in their order.

    Args:
        state: text, JSON, or messages, at the root or at any depth.

    Raises:
        ConfigError: it has an image without its data, or audio, video or a document.
    """
    images: list[str] = []
    return _json(state, images), images


def _json(value: Any, images: list[str]) -> Any:
    if isinstance(value, BaseMessage):
        [message] = request_messages([value])
        content = message["content"]
        return {**message, "content": _json(content, images)}
    if _is_media(value):
        images.append(_image(value))
        return f"[image {len(images)}]"
    if isinstance(value, Mapping):
        return {name: _json(inner, images) for name, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_json(inner, images) for inner in value]
    return value


def _is_media(value: Any) -> bool:
    kind = value.get("type") if isinstance(value, Mapping) else None
    return isinstance(kind, str) and kind in MEDIA and not _DATA.isdisjoint(value)


def _image(block: Mapping[str, Any]) -> str:
    part = request_part(block, HumanMessage(content=""))
    if part["type"] != "image_url":
        raise ConfigError(
            f"a decision model of llama-server takes text and images, no {block['type']}: leave it "
            "out, or put what it says into the state as text"
        )
    url = str(part["image_url"]["url"])
    if not url.startswith("data:image/"):
        raise ConfigError(
            f"an image of a decision needs its data (base64, with mime_type), not {url:.80}: "
            "llama-server fetches none for decisions"
        )
    return url


def core_question(name: str, question: langchain.Question) -> Question:
    """Return one of LangChain's questions as one of ours.

    Raises:
        ConfigError: it has media in it, or is of a kind that is not known here.
    """
    instructions = _plain(name, question.instructions)
    if isinstance(question, langchain.Choice):
        return Choice(instructions, _plain(name, question.criteria))
    if isinstance(question, langchain.Score):
        return Score(instructions, _plain(name, question.criteria))
    if isinstance(question, langchain.Box):
        return Box(instructions)
    if isinstance(question, langchain.Noul):
        told = question.criteria
        yes, no = (told.true, told.false) if told is not None else (None, None)
        return YesNo(instructions, _plain(name, yes), _plain(name, no))
    raise ConfigError(
        f"the question {name!r} is a {type(question).__name__}: use Noul, Choice, Score or Box of "
        "langchain_core.decisions"
    )


def _plain(name: str, value: Any) -> Any:
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if _is_media(part):
            raise ConfigError(
                f"the question {name!r} has a block of type {part['type']!r}: llama-server takes "
                "media in the state alone"
            )
        if isinstance(part, Mapping):
            waiting += part.values()
        elif isinstance(part, list | tuple):
            waiting += part
    return value


def response_fields(decision: Decision, questions: Mapping[str, Question]) -> dict[str, Any]:
    """Return the answers and the usage as ``ClassifierResponse`` has them."""
    answers = {name: _answer(answer, questions[name]) for name, answer in decision.answers.items()}
    usage = decision.usage
    counts = usage and {
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "input_token_details": {"cache_read": usage.cached_tokens},
    }
    return {"answers": answers, "usage": counts, "origin": decision.origin}


def _answer(answer: Answer, question: Question) -> dict[str, Any]:
    if isinstance(answer, ChoiceAnswer):
        told = {"choice": answer.choice, "probabilities": dict(answer.probabilities)}
        return {"type": "choice", **told, "confidence": answer.confidence}
    if isinstance(answer, ScoreAnswer):
        levels = question.criteria if isinstance(question, Score) else ()
        return {
            "type": "score",
            "score": answer.score,
            "legend": dict(enumerate(levels)),
            "probabilities": dict(enumerate(answer.probabilities)),
            "confidence": answer.confidence,
        }
    if isinstance(answer, BoxAnswer):
        edges = {name: getattr(answer, name) for name in ("top", "bottom", "left", "right")}
        return {"type": "box", "box": edges, "confidence": answer.confidence}
    return {"type": "noul", "noul": answer.probability}
