"""Fit conversations to a model's own chat template, and count the tokens of their prompts.

    fit(messages)    the conversation in an order of roles that the template accepts: system
                     messages merged and moved, turns of one role joined, only where it must be
    count(messages)  the length of the prompt in tokens, as the server itself makes it

Templates are programs, and only running one shows what it accepts: the server runs it on two
probes (``POST /apply-template``), once, when a conversation has an order of roles that some
templates refuse.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from rocm_core.backend import Connection
from rocm_core.client import Deadline, Messages, Steps, arun_steps, as_message, calls, run_steps
from rocm_core.config import Timeouts
from rocm_core.errors import EndpointNotFound, HTTPStatusError
from rocm_core.model.steps import AsyncSender, Ready, RequestSteps, Sender
from rocm_core.model.template.date import FixedDate
from rocm_core.model.template.enforcement import Enforcement
from rocm_core.model.template.roles import (
    LATE_SYSTEM,
    TWO_USER,
    Conversation,
    Demands,
    fitted,
    questionable,
)
from rocm_core.model.template.thinking import Thinking
from rocm_core.requests import refuse_unanswered
from rocm_core.types import ServerProps

MessagesFor = Callable[[ServerProps], Messages]
_REMEMBERED = 512
# The status codes by which servers, and proxies in front of them, say: no such endpoint.
_ABSENT = (404, 405, 501)


# ---------------------------------------------------------------------------
# With the server
# ---------------------------------------------------------------------------


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
        self.thinking = Thinking()
        self.date = FixedDate()
        self.enforcement = Enforcement()
        self._accepts: tuple[bool, ...] | None = None
        self._counts: OrderedDict[bytes, int] = OrderedDict()

    def fit(self, messages: Conversation, deadline: Deadline | None = None) -> list[dict[str, Any]]:
        """Return the conversation in an order of roles that the template accepts.

        Args:
            messages: the conversation.
            deadline: of the call that needs it; ``None``: one of the model's limits.

        Raises:
            RocmError: the server cannot be started or reached.
        """
        steps = self._fit(messages, deadline or Deadline(self._limits))
        return run_steps(steps, Sender(self._connection).perform)

    async def afit(
        self, messages: Conversation, deadline: Deadline | None = None
    ) -> list[dict[str, Any]]:
        """``fit`` for asyncio."""
        steps = self._fit(messages, deadline or Deadline(self._limits))
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

    def fitting(self, messages: Conversation, props: ServerProps) -> Steps[list[dict[str, Any]]]:
        """Fit a conversation to the template of a server that is ready and has these facts."""
        accepts: tuple[bool, ...] = (True, True)
        if questionable(messages):
            if self._accepts is None:
                self._accepts = (
                    (yield from _accepts(LATE_SYSTEM)),
                    (yield from _accepts(TWO_USER)),
                )
            accepts = self._accepts
        return fitted(messages, _demands(props, accepts))

    def _fit(
        self, messages: Conversation, deadline: Deadline
    ) -> RequestSteps[list[dict[str, Any]]]:
        _, props = yield Ready(deadline)
        return (yield from self.fitting(messages, props))

    def _count(
        self,
        given: Messages | MessagesFor,
        deadline: Deadline,
        fit_template: bool,
        fields: Mapping[str, Any],
    ) -> RequestSteps[int]:
        ready = callable(given) or fit_template
        messages = [] if callable(given) else _countable(given)
        if ready:
            _, props = yield Ready(deadline)
        if callable(given):
            messages = _countable(given(props))
        if fit_template:
            messages = yield from self.fitting(messages, props)
            fitting, fields = yield from self.thinking.applied(messages, fields, props)
            messages = [dict(message) for message in fitting]
        key = _key(messages, fields)
        if (known := self._counts.get(key)) is not None:
            return known
        if not ready:
            yield Ready(deadline)
        try:
            found: int = yield calls.count_tokens(messages, **fields)
        except EndpointNotFound:
            prompt = yield calls.apply_template(messages, **fields)
            found = len((yield calls.tokenize(prompt, add_special=True)))
        return self._remember(key, found)

    def _remember(self, key: bytes, count: int) -> int:
        self._counts[key] = count
        while len(self._counts) > _REMEMBERED:
            self._counts.popitem(last=False)
        return count


def _countable(messages: Messages) -> list[dict[str, Any]]:
    found = [as_message(message) for message in messages]
    refuse_unanswered(found)
    return found


def _accepts(probe: Conversation) -> Steps[bool]:
    """Ask whether the template takes a conversation, and shows all of it.

    Raises:
        HTTPStatusError: the answer says nothing about the template: the server is busy or loading,
            the key is wrong, a proxy failed.
    """
    try:
        prompt = yield calls.apply_template(probe)
    except HTTPStatusError as error:
        if error.status in _ABSENT:
            return True
        if not _about_the_template(error):
            raise
        return False
    # Some templates drop silently what they do not expect.
    return all(message["content"] in prompt for message in probe)


def _about_the_template(error: HTTPStatusError) -> bool:
    # llama-server says 400, older builds 500; its own errors have a type, those of proxies none.
    return error.status in (400, 422) or (error.status == 500 and bool(error.type))


def _demands(props: ServerProps, accepts: Sequence[bool]) -> Demands:
    return Demands(
        no_system=props.chat_template_caps.get("supports_system_role") is False,
        leading_system=not accepts[0],
        alternating=not accepts[1],
    )


def _key(messages: Conversation, fields: Mapping[str, Any]) -> bytes:
    return orjson.dumps([list(messages), fields], option=orjson.OPT_NON_STR_KEYS)
