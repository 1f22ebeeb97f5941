"""Every request of a client as data: method, path, body, and how to read the answer. Pure.

Paths and fields: llama.cpp ``tools/server/README.md`` and ``server-schema.cpp``. Unset options
are not sent; zeros are. Generation always streams, because older builds finish a non-streamed
request after the caller has hung up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import urlencode

from rocm_core.client import answers
from rocm_core.client.answers import field, read_json
from rocm_core.config import SAMPLING_FIELDS, GenerateConfig
from rocm_core.errors import ConfigError, ProtocolError
from rocm_core.requests import (
    EmbeddingInput,
    check_texts,
    read_inputs,
    refuse_long_run,
    refuse_long_runs,
    refuse_long_runs_in,
)
from rocm_core.requests.sent_schemas import SCHEMA_FIELDS, with_sent_schemas
from rocm_core.types import Message, ServerProps

if TYPE_CHECKING:  # most programs never need them
    from rocm_core.decisions import Decision, Question

T = TypeVar("T")
Messages = Sequence[Message | Mapping[str, Any]]
ModelList = Sequence[Mapping[str, Any]]
SYSTEM_ONE, EMBEDDINGS = "/v1/systemone", "/v1/embeddings"


@dataclass(slots=True, eq=False)
class Call(Generic[T]):
    """One request whose answer is read as a whole.

    Attributes:
        method: HTTP method.
        path: path below the base URL, with its query.
        read: makes the result of the bytes of the answer.
        body: sent as JSON; ``None`` for none.
        texts: the texts that the body has, if it has several of one kind; an error says which one
            the server has refused.
        name: what errors call them.
        first: the index of the first one in the caller's list.
        media: the types of the parts of its contents that are no text.
    """

    method: str
    path: str
    read: Callable[[bytes], T]
    body: Any = None
    texts: Sequence[str] = ()
    name: str = "texts"
    first: int = 0
    media: Sequence[str] = ()


@dataclass(slots=True, eq=False)
class StreamCall:
    """One ``POST`` whose answer is a generation stream.

    Attributes:
        path: path below the base URL.
        body: sent as JSON.
        coalesce: join the pieces of text that one read of the socket brings into one event.
    """

    path: str
    body: dict[str, Any]
    coalesce: bool = False

    @property
    def answers(self) -> int:
        """How many answers the request asks for."""
        given = (self.body.get(name) for name in ("n", "n_cmpl"))
        return next((count for count in given if type(count) is int and count > 1), 1)


# -- The server ------------------------------------------------------------------------------------


def health() -> Call[str]:
    """``GET /health``: ``"ok"``, or 503 (``ServerLoading``) until the model is loaded."""
    return Call("GET", "/health", field("status", answers.is_text))


def props(model: str | None = None) -> Call[ServerProps]:
    """``GET /props``: the server's facts; a router loads ``model`` and returns the model's."""
    return Call(
        "GET", f"/props?{urlencode({'model': model})}" if model else "/props", answers.read_props
    )


def slots() -> Call[list[dict[str, Any]]]:
    """``GET /slots``: one object per slot, in the order of their ids."""
    return Call("GET", "/slots", answers.read_objects)


def metrics() -> Call[dict[str, float]]:
    """``GET /metrics``: the ``llamacpp:`` gauges and counters, without that prefix."""
    return Call("GET", "/metrics", answers.read_metrics)


def models() -> Call[list[dict[str, Any]]]:
    """``GET /v1/models``: one object per model; ``id`` is its name in requests."""
    return Call("GET", "/v1/models", answers.read_models)


def model_ids(models: ModelList) -> list[str]:
    """Return the ids of the listed models, as requests name them."""
    return [str(model["id"]) for model in models if isinstance(model, Mapping) and model.get("id")]


def find_model(models: ModelList, name: str) -> str | None:
    """Return the id of the listed model that ``name`` means, or ``None``.

    The name may be the id, an alias, or the name of the model's file, with or without ``.gguf``.
    llama-server shows the path it was started with as the id unless ``--alias`` is given, and a
    router the names of its files without ``.gguf``.
    """
    for same in (_has_name, _has_file_name):
        for model in models:
            if isinstance(model, Mapping) and model.get("id") and same(model, name):
                return str(model["id"])
    return None


def _has_name(model: Mapping[str, Any], name: str) -> bool:
    aliases = model.get("aliases") or ()
    return name == model["id"] or (isinstance(aliases, Sequence) and name in aliases)


def _has_file_name(model: Mapping[str, Any], name: str) -> bool:
    return _stem(name) == _stem(str(model["id"]))


def _stem(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).name.removesuffix(".gguf")


def decides_only(models: ModelList, name: str | None = None) -> bool:
    """Return whether a listed model does nothing but decide, as far as the server tells.

    ``name`` is the id of one of ``models``; ``None``: the only one.
    """
    for model in models:
        facts = model.get("architecture") if name in (None, model.get("id")) else None
        if isinstance(facts, Mapping) and facts.get("output_modalities") == ["decisions"]:
            return name is not None or len(models) == 1
    return False


def lora_adapters() -> Call[list[dict[str, Any]]]:
    """``GET /lora-adapters``: ``id``, ``path`` and ``scale`` of each adapter."""
    return Call("GET", "/lora-adapters", answers.read_objects)


def set_lora_adapters(scales: Mapping[int, float]) -> Call[Any]:
    """``POST /lora-adapters``: adapter id to scale; an adapter that is not named gets 0."""
    body = [{"id": id_, "scale": scale} for id_, scale in scales.items()]
    return Call("POST", "/lora-adapters", answers.read_json, body)


# -- Tokens, prompts, vectors, ranks ---------------------------------------------------------------


def tokenize(
    text: str, *, add_special: bool = False, parse_special: bool = True
) -> Call[list[int]]:
    """``POST /tokenize``: the token ids of a text.

    Args:
        text: any text.
        add_special: put the begin-of-text token (BOS) in front, if the model has one.
        parse_special: special tokens inside the text count as such, not as plain text.
    """
    refuse_long_run(text, "text")
    body = {"content": text, "add_special": add_special, "parse_special": parse_special}
    return Call("POST", "/tokenize", field("tokens", answers.is_ids), body)


# No token has this id, and llama-server passes numbers on as they are (``tokenize_mixed`` in
# ``tools/server/server-common.cpp``): it keeps the texts of a batch apart.
_BETWEEN_TEXTS = -1


def tokenize_batch(texts: Sequence[str]) -> Call[list[list[int]]]:
    """``POST /tokenize`` for several texts at once: the ids of each; errors as ``embeddings``."""
    check_texts(texts)
    refuse_long_runs(texts)
    content: list[str | int] = []
    for text in texts:
        content += [text, _BETWEEN_TEXTS]

    def read(answer: bytes) -> list[list[int]]:
        lists: list[list[int]] = [[]]
        for id_ in field("tokens", answers.is_ids)(answer):
            if id_ == _BETWEEN_TEXTS:
                lists.append([])
            else:
                lists[-1].append(id_)
        if len(lists) != len(texts) + 1:
            raise ProtocolError(f"asked for {len(texts)} texts, got {len(lists) - 1}")
        return lists[:-1]

    return Call("POST", "/tokenize", read, {"content": content})


def detokenize(ids: Sequence[int]) -> Call[str]:
    """``POST /detokenize``: the text; bytes that are no whole character become U+FFFD."""
    return Call("POST", "/detokenize", field("content", answers.is_text), {"tokens": list(ids)})


def apply_template(messages: Messages, **fields: Any) -> Call[str]:
    """``POST /apply-template``: the prompt that the model's chat template makes.

    ``fields`` are further request fields (``tools``, ``chat_template_kwargs``, …).
    """
    body = {"messages": [as_message(m) for m in messages], **fields}
    return Call("POST", "/apply-template", field("prompt", answers.is_text), _sendable(body))


def count_tokens(messages: Messages, **fields: Any) -> Call[int]:
    """``POST /v1/chat/completions/input_tokens``: the length of the prompt in tokens.

    ``fields`` are further request fields that the template sees (``tools``, …).
    """
    body = {"messages": [as_message(m) for m in messages], **fields}
    path = "/v1/chat/completions/input_tokens"
    return Call("POST", path, field("input_tokens", answers.is_count), _sendable(body))


def embeddings(
    inputs: Sequence[EmbeddingInput], *, normalize: bool | None = None, first: int = 0
) -> Call[list[list[float]]]:
    """``POST /v1/embeddings``: one vector of ``n_embd`` floats per input, in their order.

    Args:
        inputs: texts, or lists of content parts, each of at most one physical batch
            (``--ubatch-size`` tokens).
        normalize: to Euclidean length 1 (``embd_normalize`` 2), or not at all (-1); ``None`` is
            the server's default, length 1.
        first: the index of the first one in the caller's list, for errors.

    Raises:
        ConfigError: as ``read_inputs``.
    """
    names, texts, media, wire = read_inputs(inputs, first)
    body: dict[str, Any] = {"input": wire}
    if normalize is not None:
        body["embd_normalize"] = 2 if normalize else -1
    read = answers.vectors_reader(names, first)
    return Call("POST", EMBEDDINGS, read, body, texts=texts, first=first, media=media)


def rerank(
    query: str, documents: Sequence[str], top_n: int | None = None
) -> Call[list[tuple[int, float]]]:
    """``POST /v1/rerank``: ``(index in documents, relevance_score)`` pairs, best first.

    ``top_n`` limits how many; ``None`` for all. Errors as ``embeddings``.
    """
    for texts, what in (([query], "query"), (documents, "documents")):
        check_texts(texts, what)
        refuse_long_runs(texts, what)
    body: dict[str, Any] = {"query": query, "documents": list(documents)}
    body |= {"top_n": top_n} if top_n is not None else {}
    read = answers.ranks_reader(documents, top_n)
    return Call("POST", "/v1/rerank", read, body, texts=documents, name="documents")


def decide(
    state: Any, questions: Mapping[str, Question], images: Sequence[str] = ()
) -> Call[Decision]:
    """``POST /v1/systemone``: the answers of a decision model, by the ids of the questions.

    Arguments and errors as ``TextModel.decide``.
    """
    from rocm_core.decisions import wire

    body = wire.request_body(state, questions, images)
    refuse_long_runs_in(body, "state", "questions")
    return Call(
        "POST", SYSTEM_ONE, lambda answer: wire.read_decision(read_json(answer), questions), body
    )


def token_shares(body: dict[str, Any], read: Callable[[Any], T]) -> Call[T]:
    """``POST /completion`` that is not streamed: one token, and the probabilities of others.

    Args:
        body: with ``n_predict`` 1 (``rocm_core.decisions.labels``).
        read: makes the result of the decoded answer.
    """
    return Call("POST", "/completion", lambda answer: read(read_json(answer)), body)


# -- Generation ------------------------------------------------------------------------------------


def _generation(config: GenerateConfig, max_tokens_field: str) -> dict[str, Any]:
    body = {name: value for name in SAMPLING_FIELDS if (value := getattr(config, name)) is not None}
    body["stream"] = True
    if config.max_tokens is not None:
        body[max_tokens_field] = config.max_tokens
    if config.stop:
        body["stop"] = list(config.stop)
    body.update(config.extra)
    return body


def _sendable(body: dict[str, Any]) -> dict[str, Any]:
    return with_sent_schemas(body) if body.keys() & SCHEMA_FIELDS else body


def _stream(path: str, body: dict[str, Any], config: GenerateConfig) -> StreamCall:
    # A stop id in the middle of a joined piece would be missed; n answers must not be mixed.
    call = StreamCall(path, _sendable(body))
    call.coalesce = config.coalesce and not config.stop_token_ids and call.answers == 1
    return call


def completion(prompt: str | Sequence[int], config: GenerateConfig) -> StreamCall:
    """``POST /completion``, the native dialect; its stream carries token ids.

    ``prompt`` is text, or token ids.
    """
    prompt = prompt if isinstance(prompt, str) else list(prompt)
    return _stream("/completion", {"prompt": prompt, **_generation(config, "n_predict")}, config)


def infill(prefix: str, suffix: str, config: GenerateConfig) -> StreamCall:
    """``POST /infill``: what belongs between two texts, streamed like a ``completion``.

    Other files of the project go into ``config.extra`` as ``input_extra``, a list of
    ``{"filename": …, "text": …}``.
    """
    body = {"input_prefix": prefix, "input_suffix": suffix}
    return _stream("/infill", {**body, **_generation(config, "n_predict")}, config)


def text_completion(
    prompt: str | Sequence[int], config: GenerateConfig, model: str | None = None
) -> StreamCall:
    """``POST /v1/completions``, the OpenAI dialect; ``model`` is for servers with several."""
    prompt = prompt if isinstance(prompt, str) else list(prompt)
    body = {"prompt": prompt, **_generation(config, "max_tokens")}
    return _stream("/v1/completions", _openai(body, model), config)


def chat(
    messages: Messages,
    config: GenerateConfig,
    model: str | None = None,
    **fields: Any,
) -> StreamCall:
    """``POST /v1/chat/completions``.

    Args:
        messages: the conversation.
        config: how to generate.
        model: which model, for servers with several.
        fields: further request fields (``tools``, …); ``None`` is not sent.
    """
    body = {"messages": [as_message(m) for m in messages], **_generation(config, "max_tokens")}
    if config.stop_token_ids:
        # The chat dialect carries token ids in its logprobs only.
        body.update(logprobs=True, top_logprobs=1)
    body.update((k, v) for k, v in fields.items() if v is not None)
    return _stream("/v1/chat/completions", _openai(body, model), config)


def _openai(body: dict[str, Any], model: str | None) -> dict[str, Any]:
    body.setdefault("stream_options", {"include_usage": True})
    if model:
        body["model"] = model
    return body


def as_message(message: Message | Mapping[str, Any]) -> dict[str, Any]:
    """Return a message as ``/v1/chat/completions`` takes it.

    Raises:
        ConfigError: it is neither a ``Message`` nor a mapping.
    """
    if isinstance(message, Message):
        return {"role": message.role, "content": message.content}
    if not isinstance(message, Mapping):
        raise ConfigError(f"a message is a Message or a mapping with a role, not {message!r}")
    return dict(message)
