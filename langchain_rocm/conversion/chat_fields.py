"""The options of a chat that ``rocm_core`` has no option for, as fields of ``ChatRocm``."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class ChatFields(BaseModel):
    """Request fields that the chat template, or llama-server's reader of its answers, takes.

    Sources: ``oaicompat_chat_params_parse`` in llama.cpp's ``tools/server/server-common.cpp``.
    """

    model_config = ConfigDict(defer_build=True)

    reasoning: bool | str | None = Field(
        default=None,
        description=(
            "Whether the model thinks before it answers, or how much, if its template knows "
            "efforts ('low', …). Thoughts arrive as reasoning blocks. None: llama-server has a "
            "template think that can (enable_thinking)."
        ),
    )
    reasoning_budget: int | None = Field(
        default=None,
        description="Most tokens to think; 0 for none, -1 for no limit.",
    )
    reasoning_budget_message: str | None = Field(
        default=None,
        description="What the model says to itself when reasoning_budget is used up.",
    )
    reasoning_format: str | None = Field(
        default=None,
        description=(
            "How llama-server tells thoughts from the answer: 'auto', 'deepseek', "
            "'deepseek-legacy', or 'none', which leaves them in the text. None: as it was started."
        ),
    )
    reasoning_control: bool | None = Field(
        default=None,
        description="Let POST /v1/chat/completions/control end the model's thinking.",
    )
    replay_reasoning: bool | None = Field(
        default=None,
        description=(
            "Whether earlier thoughts are sent back. None: those of the running tool loop, and "
            "all of them if the template wants to keep them."
        ),
    )
    chat_template_kwargs: dict[str, Any] = Field(
        default_factory=dict,
        description="Variables of the chat template.",
    )
    add_generation_prompt: bool | None = Field(
        default=None,
        description="Whether the prompt ends with the beginning of an answer; None: yes.",
    )
    continue_final_message: bool | str | None = Field(
        default=None,
        description="Whether the model goes on with the last message, an answer that has begun.",
    )
    logprobs: bool | None = Field(
        default=None,
        description="Put log probabilities into response_metadata['logprobs'].",
    )
    top_logprobs: int | None = Field(
        default=None,
        description="How many alternatives per token.",
    )


CHAT_FIELDS = tuple(name for name in ChatFields.model_fields if name != "chat_template_kwargs")
"""Those that a call may have in place of the instance's; template variables are put together."""
