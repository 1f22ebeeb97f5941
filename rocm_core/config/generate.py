"""``GenerateConfig``: how to generate one answer."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from rocm_core.config.option import documented, option, read_options
from rocm_core.config.values import Date, Duration, Json, Kind, Number, Several, Switch, Text, Whole
from rocm_core.errors import ConfigError

_TOKENS = "tokens"


def _field(kind: Kind, text: str, default: Any = None, **facts: Any) -> Any:
    """Return a field of a request; unset in the adapters, so that the server's default applies."""
    return option(default, kind, text, **{"adapter_default": None, **facts})


def _of_call(kind: Kind, text: str, default: Any = None, **facts: Any) -> Any:
    """Return a field that belongs to one call and is no setting."""
    return _field(kind, text, default, setting=False, flag=None, **facts)


@documented
@dataclass(frozen=True)
class GenerateConfig:
    """How to generate one answer; the names are llama-server's.

    Unset is ``None`` and is not sent; 0 is a value and is sent. Two defaults are a contract of
    ``TextModel``: 256 tokens, greedy. Every other option is unset, so the server's (and the GGUF's)
    own default applies. What each field does: llama.cpp ``tools/server/README.md``.

    Raises:
        ConfigError: a value is of the wrong kind, or two options exclude each other.
    """

    max_tokens: int | None = _field(
        Whole(-1),
        "Most tokens to generate; -1 or None: no limit but the context. llama-server makes 1 of 0.",
        256,
        nullable=True,
        unit=_TOKENS,
        wire="n_predict",
        example="512",
    )
    temperature: float | None = _field(
        Number(),
        "Temperature of sampling; 0 is greedy.",
        0.0,
        nullable=True,
        example="0.7",
    )
    top_k: int | None = _field(
        Whole(),
        "Sample among the k likeliest tokens; 0: all.",
        example="40",
    )
    top_p: float | None = _field(
        Number(),
        "Sample among the likeliest tokens whose probabilities add up to p; 1: all.",
        example="0.95",
    )
    min_p: float | None = _field(
        Number(),
        "Least probability of a token, relative to the likeliest; 0: any.",
        example="0.05",
    )
    typical_p: float | None = _field(
        Number(),
        "Locally typical sampling with p; 1: off.",
        example="1.0",
    )
    repeat_penalty: float | None = _field(
        Number(),
        "Penalty of repeated tokens; 1: none.",
        example="1.1",
    )
    repeat_last_n: int | None = _field(
        Whole(-1),
        "How far back a repetition counts; 0: off, -1: the context.",
        unit=_TOKENS,
        example="64",
    )
    presence_penalty: float | None = _field(
        Number(),
        "Penalty of tokens that have occurred; 0: none.",
        example="0.0",
    )
    frequency_penalty: float | None = _field(
        Number(),
        "Penalty of tokens by how often they have occurred; 0: none.",
        example="0.0",
    )
    top_n_sigma: float | None = _field(
        Number(),
        "Sample among tokens within n standard deviations of the best logit; -1: off.",
        example="-1",
    )
    xtc_probability: float | None = _field(
        Number(),
        "How likely the likeliest tokens are excluded (XTC); 0: never.",
        example="0.0",
    )
    xtc_threshold: float | None = _field(
        Number(),
        "Least probability of tokens that XTC excludes; above 0.5: off.",
        example="0.1",
    )
    dynatemp_range: float | None = _field(
        Number(),
        "Range of the dynamic temperature; 0: off.",
        example="0.0",
    )
    dynatemp_exponent: float | None = _field(
        Number(),
        "How entropy becomes temperature within that range.",
        example="1.0",
    )
    dry_multiplier: float | None = _field(
        Number(),
        "Strength of the DRY penalty of repeated sequences; 0: off.",
        example="0.0",
    )
    dry_base: float | None = _field(
        Number(),
        "How the DRY penalty grows with the length.",
        example="1.75",
    )
    dry_allowed_length: int | None = _field(
        Whole(0),
        "Longest repetition that DRY does not penalize.",
        unit=_TOKENS,
        example="2",
    )
    dry_penalty_last_n: int | None = _field(
        Whole(-1),
        "How far back DRY looks; 0: off, -1: the context.",
        unit=_TOKENS,
        example="-1",
    )
    dry_sequence_breakers: Sequence[str] | None = _field(
        Several(Text(), "a list of texts"),
        "Texts that end a repetition for DRY.",
        example='["\\n", ":", ","]',
    )
    mirostat: int | None = _field(
        Whole(0),
        "Mirostat sampling: 0 (off), 1 or 2.",
        example="0",
    )
    mirostat_tau: float | None = _field(
        Number(),
        "Target entropy of Mirostat.",
        example="5.0",
    )
    mirostat_eta: float | None = _field(
        Number(),
        "Learning rate of Mirostat.",
        example="0.1",
    )
    adaptive_target: float | None = _field(
        Number(),
        "Probability that the adaptive sampler (adaptive_p, last in samplers) aims at, 0 to 1; "
        "below 0: off.",
        example="-1",
    )
    adaptive_decay: float | None = _field(
        Number(),
        "How slowly the adaptive sampler forgets, 0 to 0.99: it sees some 1/(1-decay) tokens.",
        example="0.9",
    )
    samplers: Sequence[str] | None = _field(
        Several(Text(), "a list of samplers"),
        "The samplers to use, in this order.",
        example="top_k,top_p,min_p,temperature",
    )
    min_keep: int | None = _field(
        Whole(0),
        "Least number of tokens that every sampler keeps; 0: no minimum.",
        example="0",
    )
    seed: int | None = _field(
        Whole(),
        "Seed of the random numbers; -1: a random one.",
        example="42",
    )
    stop: Sequence[str] = _field(
        Several(Text(), "a list of texts (token ids go into stop_token_ids)"),
        "Texts that end the answer; they are not part of it.",
        (),
        annotation="Sequence[str] | None",
        example="###,END",
    )
    template_date: str | None = _field(
        Date(),
        "The date that a chat template which prints today's gets instead, so that the prompt's "
        "beginning stays in the cache over midnight; unset: the server's own clock. Sent as the "
        "template variables date_string and datetime; no effect on raw prompts.",
        example="2026-01-31",
    )
    stop_token_ids: Sequence[int] = _of_call(
        Several(Whole(), "a list of token ids (texts go into stop)"),
        "Token ids that end the answer (our own: llama-server has no such field).",
        (),
        adapter_default=(),
    )
    grammar: str | None = _of_call(Text(), "GBNF grammar of the answer; excludes json_schema.")
    json_schema: Mapping[str, Any] | None = _of_call(
        Json(), "JSON schema of the answer; excludes grammar.", in_adapters=False
    )
    logit_bias: Sequence[Sequence[Any]] | Mapping[str, float] | None = _of_call(
        Json(), "Changes of the logits of tokens, by id or text.", annotation="Any"
    )
    ignore_eos: bool | None = _of_call(Switch(), "Go on after the end-of-sequence token.")
    backend_sampling: bool | None = _of_call(
        Switch(),
        "Sample on the device, where the engine was started for that (llama-server's "
        "--backend-sampling).",
    )
    t_max_predict_ms: int | None = _of_call(
        Whole(-1),
        "End the answer at the first line break after this time, counted from its first token; "
        "-1: never.",
        unit="milliseconds",
    )
    n_indent: int | None = _of_call(
        Whole(0), "End the answer at a line that is indented by fewer spaces; 0: off."
    )
    n_probs: int | None = _of_call(
        Whole(0), "How many likeliest tokens to report, with their log probabilities, per token."
    )
    post_sampling_probs: bool | None = _of_call(
        Switch(), "Report probabilities after the samplers, not before; for n_probs."
    )
    n: int | None = _of_call(
        Whole(1),
        "How many answers to generate, at most as many as the server has slots. Their pieces come "
        "mixed; StreamEvent.choice tells them apart.",
        in_adapters=False,
    )
    n_keep: int | None = _of_call(
        Whole(-1), "Tokens of the prompt to keep when the context is shifted; -1: all."
    )
    n_discard: int | None = _of_call(
        Whole(0), "Tokens after n_keep to drop when the context is shifted; 0: half of them."
    )
    n_cache_reuse: int | None = _of_call(
        Whole(0), "Least length of a piece of the prompt to reuse from the cache by shifting it."
    )
    id_slot: int | None = _of_call(
        Whole(-1), "The slot to use, for a prompt that should stay in its cache; -1: any."
    )
    cache_prompt: bool | None = _of_call(
        Switch(), "Reuse the KV cache of the slot's previous prompt."
    )
    timeout: float | None = _of_call(
        Duration(),
        "Limit of this whole call, over the model's; not sent.",
        unit="seconds",
        in_adapters=False,
    )
    coalesce: bool = _of_call(
        Switch(),
        "One event for all pieces that arrived while the consumer was busy; not sent. Off with "
        "stop_token_ids, which need every token.",
        False,
        adapter_default=False,
    )
    allow_long_runs: bool = _of_call(
        Switch(),
        "Send a prompt with more than 10,000 characters in a row without a break, which some "
        "engines do not survive; not sent.",
        False,
        adapter_default=False,
    )
    extra: Mapping[str, Any] = _of_call(
        Json(), "Further fields of the request, sent as they are.", dict, in_adapters=False
    )

    def __post_init__(self) -> None:
        read_options(self)
        if "" in (self.stop or ()):
            _warn_of_empty_stop()
            object.__setattr__(self, "stop", tuple(text for text in self.stop or () if text))
        if self.grammar is not None and self.json_schema is not None:
            raise ConfigError("give grammar or json_schema, not both")


def _warn_of_empty_stop() -> None:
    # Every text begins with "": llama-server would end the answer before its first character.
    warnings.warn(
        "stop: an empty text in it would end every answer before it begins; it is left out",
        stacklevel=2,
    )


# Fields that are sent under another name for each endpoint, or not at all.
_NOT_SENT_AS_IT_IS = frozenset(
    {
        *("max_tokens", "stop", "template_date", "stop_token_ids", "timeout", "coalesce"),
        *("allow_long_runs", "extra"),
    }
)
SAMPLING_FIELDS = tuple(
    field.name for field in fields(GenerateConfig) if field.name not in _NOT_SENT_AS_IT_IS
)
"""Options that are fields of a request under their own name."""
