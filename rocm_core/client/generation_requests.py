"""A request to generate, before it is known which endpoints the server has. Pure.

Completion ─┬─ native ─▶ POST /completion
            └─ openai ─▶ POST /v1/completions
Infill ──────── native ─▶ POST /infill
Chat ───────┬─ openai ─▶ POST /v1/chat/completions
            └─ native ─▶ POST /apply-template, then a Completion of the prompt it returns

The one type of a request on its way down: the adapters and ``TextModel`` build a value, the
connection makes the HTTP call of it. A request that depends on the server's facts is a function
of them (``RequestFor``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rocm_core.client import calls
from rocm_core.client.calls import Call, StreamCall
from rocm_core.config import GenerateConfig
from rocm_core.errors import ConfigError
from rocm_core.types import ServerProps

# Fields of a chat that shape its prompt; POST /apply-template takes them.
_OF_THE_TEMPLATE = frozenset(
    {"chat_template_kwargs", "add_generation_prompt", "continue_final_message", "reasoning_format"}
)
# Fields that only the chat endpoint honors.
_CHAT_ONLY = ("tools", "tool_choice", "response_format", "logprobs", "top_logprobs")


@dataclass(frozen=True, slots=True)
class Completion:
    """Continue a prompt as it is, without a chat template.

    Attributes:
        prompt: text, or token ids.
        config: how to generate.
    """

    prompt: str | Sequence[int]
    config: GenerateConfig

    def native(self) -> StreamCall:
        """Return the call of llama-server's own endpoint, ``POST /completion``."""
        return calls.completion(self.prompt, self.config)

    def openai(self, model: str | None) -> StreamCall:
        """Return the call of the OpenAI endpoint, ``POST /v1/completions``.

        Raises:
            ConfigError: ``stop_token_ids`` are given: its stream carries no ids.
        """
        if self.config.stop_token_ids:
            raise ConfigError(
                "stop_token_ids need llama-server's own /completion: this server has none, or "
                "api='openai' was given. Use stop strings."
            )
        return calls.text_completion(self.prompt, self.config, model)


@dataclass(frozen=True, slots=True)
class Chat:
    """Answer a conversation through the model's chat template.

    Attributes:
        messages: the conversation, as ``/v1/chat/completions`` takes it.
        config: how to generate.
        fields: further request fields (``tools``, ``chat_template_kwargs``, …); ``model`` names
            another model than the connection's, for servers with several.
        fit_template: put the roles into an order that the model's chat template accepts (see
            ``rocm_core.model.chat_template``) before the messages are sent.
    """

    messages: Sequence[Mapping[str, Any]]
    config: GenerateConfig
    fields: Mapping[str, Any] = field(default_factory=dict)
    fit_template: bool = False

    def openai(self, model: str | None) -> StreamCall:
        """Return the call of the OpenAI endpoint, ``POST /v1/chat/completions``."""
        fields = {name: value for name, value in self.fields.items() if name != "model"}
        return calls.chat(self.messages, self.config, self.fields.get("model") or model, **fields)

    def template(self) -> Call[str]:
        """Return the first call to a server that has only native endpoints: it makes the prompt.

        Raises:
            ConfigError: a field needs the chat endpoint.
        """
        for name in _CHAT_ONLY:
            if self.fields.get(name) is not None:
                raise ConfigError(
                    f"{name} needs /v1/chat/completions, which this server lacks "
                    "(or api='native' was given)"
                )
        wanted = {k: v for k, v in self.fields.items() if k in _OF_THE_TEMPLATE and v is not None}
        return calls.apply_template(self.messages, **wanted)

    def completion(self, prompt: str) -> Completion:
        """Return the request for the prompt that the template has made."""
        used = {*_OF_THE_TEMPLATE, "model"}
        rest = {k: v for k, v in self.fields.items() if k not in used and v is not None}
        return Completion(prompt, replace(self.config, extra={**rest, **self.config.extra}))


@dataclass(frozen=True, slots=True)
class Infill:
    """Write what belongs between two texts.

    Attributes:
        prefix: the text before the gap.
        suffix: the text after the gap.
        config: how to generate.
    """

    prefix: str
    suffix: str
    config: GenerateConfig

    def native(self) -> StreamCall:
        """Return the call of llama-server's own endpoint, ``POST /infill``."""
        return calls.infill(self.prefix, self.suffix, self.config)


GenerationRequest = Completion | Infill | Chat
RequestFor = Callable[[ServerProps], GenerationRequest]
