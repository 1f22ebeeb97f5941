"""Send what the model's own chat template reads about thinking, and say what it cannot do.

    reasoning=True, False   the variable, or the words, that change its prompt
    reasoning="low", …      the variable of its effort
    reasoning_budget=0      counted from the end of the prompt, which may have opened the thoughts
    thoughts sent back      the variable with which it shows those of earlier turns

Nothing is asked of the server for a request that sets none of these; what a probe shows is kept.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Mapping
from typing import Any

import orjson

from rocm_core.client import Steps, calls
from rocm_core.errors import ConfigError
from rocm_core.model.template.probe import rendered
from rocm_core.model.template.roles import SYSTEM, Conversation
from rocm_core.model.template.variables.switches import (
    KWARGS,
    PROBE,
    Effort,
    Switch,
    find_effort,
    find_replay,
    find_switch,
    find_text_beside,
    find_thinks,
    mentions_thinking,
    moves_beside,
    opening,
)
from rocm_core.types import ServerProps, ThinkingFacts

log = logging.getLogger("rocm_core.model")
_BUDGET = "reasoning_budget_tokens"
_BUDGETS = (_BUDGET, "thinking_budget_tokens")
_OF_PROMPT = (KWARGS, "reasoning_effort")
_ASK = [{"role": "user", "content": PROBE}]
_TAG = r"(?<![^\s\"'(\[])/(?:no_)?think(?![\w/-]|\.\w)"
_TAGGED = "/think"
Fields = dict[str, Any]


class Thinking:
    """What the chat template of one model reads about thinking."""

    def __init__(self) -> None:
        self._renders: bool | None = None
        self._switch: list[Switch | None] = []
        self._thinks: list[bool] = []
        self._replay: list[Mapping[str, Any] | None] = []
        self._efforts: dict[str | None, Effort | None] = {}
        self._spaces: dict[bytes, int | None] = {}
        self._beside: dict[tuple[bool, bool], bool] = {}
        self._texts: dict[bool, bool] = {}
        self._said: set[str] = set()

    def facts(self, props: ServerProps) -> Steps[ThinkingFacts]:
        """Return what the template knows of thinking; ``props`` are the server's facts."""
        if not props.chat_template:
            return ThinkingFacts()
        switch = yield from self._found_switch(props)
        thinks = switch is not None or (yield from self._found_thinks())
        effort = yield from self._found_effort(props, None)
        levels = tuple(effort.levels) if effort else ()
        return ThinkingFacts(thinks or bool(levels), switch is not None, levels)

    def applied(
        self, messages: Conversation, fields: Mapping[str, Any], props: ServerProps
    ) -> Steps[tuple[Conversation, Fields]]:
        """Return messages and request fields as this template reads them.

        Args:
            messages: the conversation.
            fields: of the request. Variables that the caller gives go over those found.
            props: the server's facts.

        Raises:
            ConfigError: the template refuses the effort.
        """
        effort, budget = fields.get("reasoning_effort"), _budget(fields)
        given = fields.get(KWARGS) or {}
        messages = yield from self._with_texts(messages, props)
        thinking, earlier = given.get("enable_thinking"), _has_earlier_thoughts(messages)
        if (effort, budget, thinking) == (None, None, None) and not earlier:
            return messages, dict(fields)
        # A server that shows no chat template is no llama-server.
        if not props.chat_template or not (yield from self._can_render()):
            return messages, dict(fields)
        result = {**fields, KWARGS: dict(given)}
        if budget is not None and "thinking_budget" in props.chat_template:
            result[KWARGS].setdefault("thinking_budget", budget)
        if effort == "none" or (effort is None and budget == 0):
            thinking = False if thinking is None else thinking
        elif effort is not None:
            known = yield from self._with_effort(result, effort, props)
            if not known and thinking is None:
                thinking = True if (yield from self._found_switch(props)) else None
        if isinstance(thinking, bool):
            messages = yield from self._switched(messages, result, thinking, props)
        if (budget := _budget(result)) is not None and budget >= 0:
            yield from self._count_from_mark(result, budget)
        if earlier:
            yield from self._keep_thoughts(result, props)
        if not result[KWARGS]:
            del result[KWARGS]
        return messages, result

    def may_think(self, fields: Mapping[str, Any], props: ServerProps) -> Steps[bool]:
        """Return whether the model may think before its answer: nobody has turned it off."""
        if (fields.get(KWARGS) or {}).get("enable_thinking") is False or _budget(fields) == 0:
            return False
        return (yield from self.facts(props)).thinks

    # -- what the template reads ------------------------------------------------------------

    def _with_effort(self, fields: Fields, effort: str, props: ServerProps) -> Steps[bool]:
        found = yield from self._found_effort(props, effort)
        if found and effort not in found.prompts:
            raise ConfigError(
                f"reasoning={effort!r}: the chat template of this model refuses this effort; it "
                f"takes {', '.join(map(repr, found.prompts))}"
            )
        if found is None:
            self._warn(
                f"reasoning={effort!r} changes nothing in the prompt: the chat template of this "
                "model reads no effort, or none of this name. True and False turn thinking on "
                "and off where it can."
            )
            return False
        if found.name != "reasoning_effort":
            del fields["reasoning_effort"]
            fields[KWARGS].setdefault(found.name, effort)
        return True

    def _switched(
        self, messages: Conversation, fields: Fields, thinking: bool, props: ServerProps
    ) -> Steps[Conversation]:
        switch = yield from self._found_switch(props)
        variables = switch.variables(thinking) if switch else {"enable_thinking": thinking}
        fields[KWARGS] = {**variables, **fields[KWARGS]}
        if switch and switch.tags:
            tagged = _tagged(messages, switch.tags[not thinking])
            # Such templates look for the words inside of others, too ("docs/thinking.md").
            inside = tagged is not messages and any(
                _TAGGED in str(message.get("content")) for message in messages
            )
            if inside and not thinking and _budget(fields) is None:
                fields[_BUDGET] = 0
            return tagged
        if switch and (yield from self._moves(switch, messages, fields)):
            return messages
        if not thinking and _budget(fields) is None:
            fields[_BUDGET] = 0
        yield from self._say_lack(fields, thinking, props)
        return messages

    def _moves(
        self, switch: Switch, messages: Conversation, fields: Mapping[str, Any]
    ) -> Steps[bool]:
        beside = any(m["role"] in SYSTEM for m in messages), bool(fields.get("tools"))
        if not any(beside):
            return True
        if beside not in self._beside:
            self._beside[beside] = yield from moves_beside(switch, *beside)
        if not self._beside[beside]:
            self._warn(
                "reasoning=True and False change nothing in the prompt of a request with a system "
                "message or with tools: the chat template of this model writes about thinking into "
                "a system message of its own. Leave yours out, or put the words of the model's "
                "card for thinking into it."
            )
        return self._beside[beside]

    def _say_lack(self, fields: Fields, thinking: bool, props: ServerProps) -> Steps[None]:
        thinks = yield from self._found_thinks()
        if thinking and not thinks:
            self._warn(
                "reasoning=True changes nothing in the prompt: the chat template of this model "
                "has no variable that turns thinking on"
            )
        if thinking or not (thinks or mentions_thinking(props.chat_template)):
            return
        lack = "the chat template of this model has no variable that turns thinking off"
        if (yield from self._space(fields)) is not None:
            self._tell(f"{lack}: the request closes the thoughts that the prompt opens")
        elif "response_format" not in fields:
            self._warn(
                f"reasoning=False: {lack}. The request ends thoughts as soon as they begin "
                "(reasoning_budget=0), where llama-server knows the marks of this template."
            )

    def _count_from_mark(self, fields: Fields, budget: int) -> Steps[None]:
        """Add the tokens that the prompt has behind the mark that opens the thoughts.

        llama-server counts them, or, with a budget of 0, takes them for the beginning of the mark
        that it forces to close the thoughts (``common/reasoning-budget.cpp``).
        """
        for name in _BUDGETS:
            fields.pop(name, None)
        fields[_BUDGET] = budget + ((yield from self._space(fields)) or 0)

    def _keep_thoughts(self, fields: Fields, props: ServerProps) -> Steps[None]:
        if props.chat_template_caps.get("supports_preserve_reasoning"):
            variables: Mapping[str, Any] | None = {"preserve_reasoning": True}
        else:
            if not self._replay:
                self._replay.append((yield from find_replay()))
            variables = self._replay[0]
        if variables is None:
            self._tell(
                "the chat template of this model shows no thoughts of earlier turns: those that "
                "are sent back (reasoning_content) do not reach the prompt"
            )
        fields[KWARGS] = {**(variables or {}), **fields[KWARGS]}

    def _with_texts(self, messages: Conversation, props: ServerProps) -> Steps[Conversation]:
        """Return the messages without thoughts where those take the place of the text beside them.

        For some templates llama-server makes a list of the thoughts and the text, and one of them
        prints the first item alone (``common/chat.cpp`` in its handler of Mistral's; Devstral).
        """
        if props.chat_template_caps.get("supports_preserve_reasoning"):
            return messages  # llama-server has seen it show both
        lost = set()
        for kind in {bool(m.get("tool_calls")) for m in messages if _has_both(m)}:
            if props.chat_template and kind not in self._texts:
                self._texts[kind] = yield from find_text_beside(kind)
            if not self._texts.get(kind, True):
                lost.add(kind)
        if not lost:
            return messages
        self._tell(
            "the chat template of this model shows either the text of an answer or its thoughts: "
            "the thoughts (reasoning_content) are not sent back"
        )
        return [
            {name: value for name, value in message.items() if name != "reasoning_content"}
            if _has_both(message) and bool(message.get("tool_calls")) in lost
            else message
            for message in messages
        ]

    # -- probes, each once ------------------------------------------------------------------

    def _can_render(self) -> Steps[bool]:
        """Whether the server shows what its template makes of a conversation."""
        if self._renders is None:
            self._renders = (yield from rendered(_ASK)) is not None
        return self._renders

    def _found_switch(self, props: ServerProps) -> Steps[Switch | None]:
        if not self._switch:
            self._switch.append((yield from find_switch(props.chat_template)))
        return self._switch[0]

    def _found_thinks(self) -> Steps[bool]:
        if not self._thinks:
            self._thinks.append((yield from find_thinks()))
        return self._thinks[0]

    def _found_effort(self, props: ServerProps, given: str | None) -> Steps[Effort | None]:
        if given not in self._efforts:
            self._efforts[given] = yield from find_effort(props.chat_template, given)
        return self._efforts[given]

    def _space(self, fields: Mapping[str, Any]) -> Steps[int | None]:
        """Tokens behind the mark that opens thoughts at the prompt's end; ``None``: no mark."""
        shaping = {name: fields[name] for name in _OF_PROMPT if name in fields}
        key = orjson.dumps(shaping, option=orjson.OPT_NON_STR_KEYS)
        if key not in self._spaces:
            prompt = yield from rendered(_ASK, **shaping)
            opened = opening(prompt) if prompt else None
            count = None
            if opened:
                count = len((yield calls.tokenize(opened.space))) if opened.space else 0
            self._spaces[key] = count
        return self._spaces[key]

    # -- what is said, once -----------------------------------------------------------------

    def _warn(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            warnings.warn(text, RuntimeWarning, 2)

    def _tell(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            log.info(text)


def _budget(fields: Mapping[str, Any]) -> int | None:
    return next((fields[name] for name in _BUDGETS if fields.get(name) is not None), None)


def _tagged(messages: Conversation, tag: str) -> Conversation:
    """Put the tag into the system message, unless the conversation has such a word already."""
    if any(m["role"] in ("system", "user") and _has_tag(m.get("content")) for m in messages):
        return messages
    if not messages or messages[0]["role"] != "system":
        return [{"role": "system", "content": tag}, *messages]
    first = dict(messages[0])
    if isinstance(first["content"], str):
        first["content"] = f"{first['content']}\n{tag}"
    else:
        first["content"] = [*first["content"], {"type": "text", "text": tag}]
    return [first, *messages[1:]]


def _has_both(message: Mapping[str, Any]) -> bool:
    """Whether a message has a text and thoughts."""
    return bool(message.get("content") and message.get("reasoning_content"))


def _has_tag(content: Any) -> bool:
    """Whether a message has the words, and not a path or an address with such a part."""
    texts = [content] if isinstance(content, str) else [p.get("text") for p in content or ()]
    return any(re.search(_TAG, text) for text in texts if isinstance(text, str))


def _has_earlier_thoughts(messages: Conversation) -> bool:
    asked = max((i for i, m in enumerate(messages) if m.get("role") == "user"), default=0)
    return any(message.get("reasoning_content") for message in messages[:asked])
