"""Fit conversations to a model's own chat template, and count the tokens of their prompts.

    fit(messages)    the conversation in a form that the template shows whole: lists of texts as
                     strings, system messages merged and moved, tool calls with the ids and in the
                     turns that it takes; only where it must be
    count(messages)  the length of the prompt in tokens, as the server itself makes it

Templates are programs, and only running one shows what it does: the server renders probes
(``POST /apply-template``), each once, and only when a conversation has what the probe is about. A
conversation of a system message and turns of strings that alternate costs no request.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson

from rocm_core.backend import Connection
from rocm_core.client import (
    Chat,
    Completion,
    Deadline,
    Messages,
    Steps,
    arun_steps,
    as_message,
    run_steps,
)
from rocm_core.client import calls as requests
from rocm_core.config import Timeouts
from rocm_core.errors import ConfigError, EndpointNotFound
from rocm_core.model.inputs.media import with_files
from rocm_core.model.steps import AsyncSender, Ready, RequestSteps, Sender
from rocm_core.model.template.first_use import FirstUse
from rocm_core.model.template.roles import Conversation, Demands, fitted, plain
from rocm_core.requests import (
    body_fault,
    refuse_long_runs_in_fields,
    refuse_long_runs_in_messages,
    refuse_unanswered,
)
from rocm_core.types import ServerProps, ThinkingFacts

if TYPE_CHECKING:
    from rocm_core.model.template.enforcement import AfterThoughts, Enforcement
    from rocm_core.model.template.probe import Probes
    from rocm_core.model.template.variables import Variables

MessagesFor = Callable[[ServerProps], Messages]
_REMEMBERED = 512
_ABOUT_THINKING = ("reasoning_effort", "reasoning_budget_tokens", "thinking_budget_tokens")


class ChatTemplate:
    """The chat template of one model, run by its server. Thread-safe.

    Args:
        connection: returns the connection to the server; raises ``ServerStopped`` once the model
            was closed.
        limits: of a call that brings no deadline.
    """

    def __init__(self, connection: Callable[[], Connection], limits: Timeouts) -> None:
        self._connection = connection
        self._limits = limits
        self._probes: Probes | None = None
        self._variables: Variables | None = None
        self._enforcement: Enforcement | None = None
        self._first_use = FirstUse()
        self._counts: OrderedDict[bytes, int] = OrderedDict()

    def fit(
        self, messages: Conversation, deadline: Deadline | None = None, *, tools: bool = False
    ) -> list[dict[str, Any]]:
        """Return the conversation in a form that the template shows whole.

        Args:
            messages: the conversation.
            deadline: of the call that needs it; ``None``: one of the model's limits.
            tools: whether the request has tools, which some templates show elsewhere then.

        Raises:
            ConfigError: the template has no form that shows the conversation's tool calls, or
                their results.
            RocmError: the server cannot be started or reached.
        """
        steps = self._fit(messages, deadline or Deadline(self._limits), tools)
        return run_steps(steps, Sender(self._connection).perform)

    async def afit(
        self, messages: Conversation, deadline: Deadline | None = None, *, tools: bool = False
    ) -> list[dict[str, Any]]:
        """``fit`` for asyncio."""
        steps = self._fit(messages, deadline or Deadline(self._limits), tools)
        return await arun_steps(steps, AsyncSender(self._connection).perform)

    def count(
        self,
        messages: Messages | MessagesFor,
        deadline: Deadline | None = None,
        *,
        fit_template: bool = False,
        **fields: Any,
    ) -> int:
        """Return the length of a conversation's prompt; see ``TextModel.count_tokens``."""
        steps = self._count(messages, deadline or Deadline(self._limits), fit_template, fields)
        return run_steps(steps, Sender(self._connection).perform)

    async def acount(
        self,
        messages: Messages | MessagesFor,
        deadline: Deadline | None = None,
        *,
        fit_template: bool = False,
        **fields: Any,
    ) -> int:
        """``count`` for asyncio."""
        steps = self._count(messages, deadline or Deadline(self._limits), fit_template, fields)
        return await arun_steps(steps, AsyncSender(self._connection).perform)

    def fitting(
        self, messages: Conversation, props: ServerProps, tools: bool = False
    ) -> RequestSteps[list[dict[str, Any]]]:
        """Fit a conversation to the template of a server that is ready and has these facts."""
        no_system = props.chat_template_caps.get("supports_system_role") is False
        if plain(messages):
            return fitted(messages, Demands(no_system))
        fit = partial(self._probed, messages, props, tools, no_system)
        return (yield from self._first_use.alone(fit))

    def _probed(
        self, messages: Conversation, props: ServerProps, tools: bool, no_system: bool
    ) -> Steps[list[dict[str, Any]]]:
        # Imported here, because most conversations never need it.
        from rocm_core.model.template import parts, probe, tool_turns, turns

        probes = self._probes = self._probes or probe.Probes()
        result = yield from parts.readable(messages, probes, tools)
        calls = yield from tool_turns.demands(result, probes, tools, props.chat_template)
        roles = yield from turns.order(result, probes, no_system or calls.no_system)
        result = tool_turns.shown(fitted(result, roles), calls)
        return (yield from turns.opened(result, probes, tools, props.chat_template))

    def with_variables(
        self,
        messages: Conversation,
        fields: Mapping[str, Any],
        date: str | None,
        props: ServerProps,
    ) -> RequestSteps[tuple[Conversation, dict[str, Any]]]:
        """Return messages and request fields with the variables that the template reads.

        See ``variables.Variables.applied``. A request that sets none costs no request.
        """
        if date is None and not _sets_variables(messages, fields):
            return messages, dict(fields)
        known = self._known_variables()
        applied = partial(known.applied, messages, fields, date, props)
        return (yield from self._first_use.alone(applied))

    def held(
        self, request: Chat, props: ServerProps
    ) -> RequestSteps[Chat | Completion | AfterThoughts]:
        """Return a request whose answer llama-server holds to its schema, if it has one."""
        if not request.fields.get("response_format"):
            return request
        from rocm_core.model.template import enforcement

        self._enforcement = self._enforcement or enforcement.Enforcement()
        holds = partial(self._enforcement.holds, request, props)
        if (yield from self._first_use.alone(holds)):
            return request
        thinking = self._known_variables().thinking
        may_think = partial(thinking.may_think, request.fields, props)
        thinks = yield from self._first_use.alone(may_think)
        return (yield from enforcement.held(request, thinks=thinks))

    def thinking(self, deadline: Deadline | None = None) -> ThinkingFacts:
        """Return what the template knows of thinking, found by rendering probes.

        Args:
            deadline: of the call that needs it; ``None``: one of the model's limits.

        Raises:
            RocmError: the server cannot be started or reached.
        """
        steps = self._thinking(deadline or Deadline(self._limits))
        return run_steps(steps, Sender(self._connection).perform)

    def _thinking(self, deadline: Deadline) -> RequestSteps[ThinkingFacts]:
        _, props = yield Ready(deadline)
        facts = partial(self._known_variables().thinking.facts, props)
        return (yield from self._first_use.alone(facts))

    def _known_variables(self) -> Variables:
        from rocm_core.model.template.variables import Variables

        self._variables = self._variables or Variables()
        return self._variables

    def _fit(
        self, messages: Conversation, deadline: Deadline, tools: bool
    ) -> RequestSteps[list[dict[str, Any]]]:
        _, props = yield Ready(deadline)
        return (yield from self.fitting(messages, props, tools))

    def _count(
        self,
        given: Messages | MessagesFor,
        deadline: Deadline,
        fit_template: bool,
        fields: Mapping[str, Any],
    ) -> RequestSteps[int]:
        refuse_long_runs_in_fields(fields)
        ready = callable(given) or fit_template
        messages = [] if callable(given) else _countable(given, fit_template)
        if ready:
            _, props = yield Ready(deadline)
        if callable(given):
            messages = _countable(given(props), fit_template)
        messages = with_files(messages, self._connection().config)
        if fit_template:
            fitting = yield from self.fitting(messages, props, bool(fields.get("tools")))
            shown, fields = yield from self.with_variables(fitting, fields, None, props)
            messages = [dict(message) for message in shown]
        key = _key(messages, fields)
        if (known := self._counts.get(key)) is not None:
            return known
        if not ready:
            yield Ready(deadline)
        try:
            found: int = yield requests.count_tokens(messages, **fields)
        except EndpointNotFound:
            prompt = yield requests.apply_template(messages, **fields)
            found = len((yield requests.tokenize(prompt, add_special=True)))
        return self._remember(key, found)

    def _remember(self, key: bytes, count: int) -> int:
        self._counts[key] = count
        while len(self._counts) > _REMEMBERED:
            self._counts.popitem(last=False)
        return count


def _countable(messages: Messages, piece: bool) -> list[dict[str, Any]]:
    """Return the messages as they are counted.

    Args:
        messages: the conversation.
        piece: it may be any piece of one; else it must be one that a server can answer.
    """
    found = [as_message(message) for message in messages]
    refuse_long_runs_in_messages(found)
    if piece:
        from rocm_core.model.template.countable import completed

        return completed(found)
    refuse_unanswered(found)
    return found


def _sets_variables(messages: Conversation, fields: Mapping[str, Any]) -> bool:
    """Whether a request is about thinking: an option, or thoughts that are sent back."""
    if any(fields.get(name) is not None for name in _ABOUT_THINKING):
        return True
    if "enable_thinking" in (fields.get("chat_template_kwargs") or ()):
        return True
    return any(message.get("reasoning_content") for message in messages)


def _key(messages: Conversation, fields: Mapping[str, Any]) -> bytes:
    body = {"messages": list(messages), **fields}
    try:
        return orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS)
    except TypeError as error:
        why = body_fault(body) or str(error)
        raise ConfigError(f"the request cannot be written as JSON: {why}") from error
