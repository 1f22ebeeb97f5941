"""What a caller asks, before it is known which endpoints the server has. Pure.

Completion ─┬─ native ─▶ POST /completion
            └─ openai ─▶ POST /v1/completions
Infill ──────── native ─▶ POST /infill
Chat ───────┬─ openai ─▶ POST /v1/chat/completions
            └─ native ─▶ POST /apply-template, then a Completion of what it answers
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rocm_core.client import calls
from rocm_core.client.calls import Call, StreamCall
from rocm_core.config import GenerateConfig
from rocm_core.errors import ConfigError

# Fields of a chat that shape its prompt; POST /apply-template takes them.
_OF_THE_TEMPLATE = frozenset(
    {"chat_template_kwargs", "add_generation_prompt", "continue_final_message", "reasoning_format"}
)
# Fields that only the chat endpoint can keep its word about.
_CHAT_ONLY = ("tools", "tool_choice", "response_format", "logprobs", "top_logprobs")


@dataclass(frozen=True, slots=True)
class Completion:
    """Continue a prompt as it is."""

    prompt: str | Sequence[int]
    config: GenerateConfig

    def native(self) -> StreamCall:
        """For llama-server's own endpoint."""
        return calls.completion(self.prompt, self.config)

    def openai(self, model: str | None) -> StreamCall:
        """For the OpenAI endpoint.

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
    """Answer a conversation."""

    messages: Sequence[dict[str, Any]]
    config: GenerateConfig
    fields: Mapping[str, Any]
    model: str | None = None

    def openai(self, model: str | None) -> StreamCall:
        """For the OpenAI endpoint; a model named in the call goes over the connection's."""
        return calls.chat(self.messages, self.config, self.model or model, **self.fields)

    def template(self) -> Call[str]:
        """What to ask first of a server that has only native endpoints: the prompt.

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
        """The request once the prompt is known."""
        rest = {k: v for k, v in self.fields.items() if k not in _OF_THE_TEMPLATE and v is not None}
        return Completion(prompt, replace(self.config, extra={**rest, **self.config.extra}))


@dataclass(frozen=True, slots=True)
class Infill:
    """Write what belongs between two texts."""

    prefix: str
    suffix: str
    config: GenerateConfig

    def native(self) -> StreamCall:
        """For llama-server's own endpoint."""
        return calls.infill(self.prefix, self.suffix, self.config)


GenerationRequest = Completion | Infill | Chat
