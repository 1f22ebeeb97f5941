"""The names of llama-server's request fields, as data.

From llama.cpp ``tools/server/README.md``, ``server-schema.cpp`` and, for chats,
``oaicompat_chat_params_parse`` in ``server-common.cpp``. A server ignores a field that it does not
know without saying so, so a name that is not in here is refused before it is sent; ``extra_body``
sends it all the same.
"""

from __future__ import annotations

# Fields of every generation, beyond those that ``GenerateConfig`` has as options; and ``n``, which
# each adapter reads in its own way.
GENERATION_FIELDS = frozenset(
    {
        *("n_predict", "max_completion_tokens", "n", "n_cmpl", "lora", "logprobs"),
        *("return_tokens", "timings_per_token", "return_progress", "response_fields"),
        *("sse_ping_interval",),
        *("verbose", "stream_options", "include_usage", "model", "json_schema"),
        *("grammar_lazy", "grammar_triggers", "preserved_tokens", "multimodal_data"),
    }
)
# Fields of a chat alone: the chat template and the parser of its answers take them.
CHAT_FIELDS = frozenset(
    {
        *("tools", "tool_choice", "parallel_tool_calls", "parse_tool_calls", "response_format"),
        *("chat_template_kwargs", "add_generation_prompt", "continue_final_message"),
        *("reasoning_format", "reasoning_effort", "reasoning_budget_tokens"),
        *("thinking_budget_tokens", "reasoning_budget_message", "reasoning_control"),
        *("top_logprobs", "echo"),
    }
)
# Fields of POST /infill alone.
INFILL_FIELDS = frozenset({"suffix", "input_extra"})
