"""What ``ChatRocm`` and ``RocmLLM`` share: options and identity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from langchain_core.language_models.base import LangSmithParams
from pydantic import Field

from langchain_rocm.errors import model_errors
from langchain_rocm.streaming.chunks import PROVIDER
from rocm_core import GenerateConfig, LoadConfig, __version__
from rocm_core.adapter import (
    LANGCHAIN,
    GenerationOptions,
    RocmOptions,
    answers_wanted,
    one_answer,
    short_interrupts,
)
from rocm_core.config import override
from rocm_core.errors import ConfigError

API_KEY_VARIABLE = "LLAMA_ROCM_API_KEY"

# Options that say how to reach the server, not what it answers.
_NOT_IDENTIFYING = frozenset(
    {"api_key", "headers", "ca_file", "client_cert", "client_key", "verify_tls"}
    | {"timeout", "connect_timeout", "first_token_timeout", "idle_timeout", "queue_timeout"}
    | {"max_in_flight", "max_queue", "stall_timeout", "port", "coalesce"}
    | {"environment", "validate_model_on_init"}
)
_IDENTIFYING = {
    name: field.get_default(call_default_factory=True)
    for name, field in GenerationOptions.model_fields.items()
    if name not in _NOT_IDENTIFYING
}
VERSION = __version__

# What LangChain's own fields mean; it says so in its sources only, and an IDE does not show that.
_OF_LANGCHAIN = {
    "name": "Name of this runnable in traces.",
    "cache": "LangChain's cache of answers: True the global one, False none, or a cache; None: the "
    "global one if there is one.",
    "verbose": "Whether LangChain prints the answer.",
    "callbacks": "LangChain's callbacks of every call.",
    "tags": "Tags of every run in traces.",
    "metadata": "Metadata of every run in traces.",
    "custom_get_token_ids": "A function that counts tokens in place of the model's tokenizer.",
    "rate_limiter": "LangChain's limiter of requests per second.",
    "disable_streaming": "Whether stream() answers at once: always, never, or with tools only.",
    "output_version": "The form of a message's content: v0, or v1 for standard content blocks.",
    "profile": "What the model can do; asked of the server when it is first read.",
}


_SEVERAL = "generate() and agenerate() return several, or use batch() with the prompt several times"

# What LangChain passes to a model's call for itself, or because other models need it: we always
# stream, always tell usage, and llama.cpp holds a tool's arguments to their schema in any case.
_OF_CALLS = frozenset({"stream", "stream_usage", "strict", "structured_output_format"})


class ServedOptions(RocmOptions):
    """Options of everything here that a server stands behind."""

    _framework: ClassVar[str] = LANGCHAIN

    def _load(self) -> None:
        with model_errors():
            super()._load()

    def changed_config(self, **options: Any) -> LoadConfig:
        """The load options of a server in another mode."""
        return override(self.load_options(), options)


class LangChainOptions(ServedOptions, GenerationOptions):
    """Every option of the model and of generation, and those that LangChain adds."""

    _of_the_framework: ClassVar[frozenset[str]] = _OF_CALLS

    max_retries: int = Field(
        default=2,
        ge=0,
        description=(
            "How often a request is sent again when no slot had taken it yet: the server was "
            "busy, loading or not to be reached. An answer that has begun is never repeated."
        ),
    )

    n: int | None = Field(
        default=None,
        ge=1,
        description=(
            "How many answers generate() makes of each prompt, at most as many as the server has "
            "slots; a stream has one."
        ),
    )

    # Whether requests are chats; else raw prompts.
    _chats: ClassVar[bool] = True

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        for name, field in cls.model_fields.items():
            field.description = field.description or _OF_LANGCHAIN.get(name)

    async def _aload(self) -> None:
        with model_errors():
            await super()._aload()

    def _told_defaults(self) -> dict[str, Any]:
        with model_errors():
            return super()._told_defaults()

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Yes; the key is left out (``lc_secrets``)."""
        return True

    @property
    def lc_secrets(self) -> dict[str, str]:
        """The environment variable that LangChain's ``load`` takes the key from."""
        return {"api_key": API_KEY_VARIABLE}

    async def agenerate(self, *args: Any, **kwargs: Any) -> Any:
        """LangChain's ``agenerate``, after the files of settings: its cache's key needs them."""
        await self._aread_settings_files()
        return await super().agenerate(*args, **kwargs)  # type: ignore[misc]

    if not TYPE_CHECKING:  # their types are LangChain's
        # LangChain returns the first answer of each prompt from all of these.

        def invoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:
            """LangChain's ``invoke``; refuses ``n``, of whose answers it would return the first."""
            self._refuse_several(kwargs)
            with short_interrupts():  # one may come while LangChain's own code runs
                return super().invoke(input, config, **kwargs)

        async def ainvoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:
            """``invoke`` for asyncio."""
            self._refuse_several(kwargs)
            with short_interrupts():
                return await super().ainvoke(input, config, **kwargs)

        def batch(self, inputs: Any, config: Any = None, **kwargs: Any) -> Any:
            """LangChain's ``batch``; ``n`` as in ``invoke``."""
            self._refuse_several(kwargs)
            return super().batch(inputs, config, **kwargs)

        async def abatch(self, inputs: Any, config: Any = None, **kwargs: Any) -> Any:
            """``batch`` for asyncio."""
            self._refuse_several(kwargs)
            return await super().abatch(inputs, config, **kwargs)

    def _refuse_several(self, options: Mapping[str, Any]) -> None:
        if self._answers(options) > 1:
            with model_errors():
                raise ConfigError(f"n: one answer per call; {_SEVERAL}")

    @property
    def _identifying_params(self) -> dict[str, Any]:
        """The model and the options that differ from their defaults; no secrets, no I/O."""
        params = {"model": self.model}
        for name, default in _IDENTIFYING.items():
            if (value := getattr(self, name)) != default:
                params[name] = value
        # LangChain writes the stop strings of a call over "stop". Those of the instance must
        # stay beside them, or a cache would take two instances for one.
        if "stop" in params:
            params["default_stop"] = params.pop("stop")
        return params

    def _tracing_params(
        self, kind: Literal["chat", "llm"], stop: list[str] | None, options: Mapping[str, Any]
    ) -> LangSmithParams:
        """LangSmith's standard parameters, those of one call over the instance's."""
        params = LangSmithParams(
            ls_provider=PROVIDER,
            ls_model_name=options.get("model") or self.loaded_name(),
            ls_model_type=kind,
        )
        if (temperature := options.get("temperature", self.temperature)) is not None:
            params["ls_temperature"] = temperature
        if (max_tokens := options.get("max_tokens", self.max_tokens)) is not None:
            params["ls_max_tokens"] = max_tokens
        if stop := self.stop if stop is None else stop:
            params["ls_stop"] = stop
        return params

    def _settings(
        self, stop: list[str] | None, options: Mapping[str, Any], *, several: bool = False
    ) -> tuple[GenerateConfig, dict[str, Any]]:
        """How to generate, and the request's further fields.

        Args:
            stop: of the call; ``None`` takes the instance's, a list (even an empty one)
                replaces them.
            options: of the call: fields of ``GenerateConfig``, or of llama-server's request.
            several: whether the caller reads several answers.

        Raises:
            ConfigError: an option is unknown or out of range, or asks for several answers in
                one stream.
        """
        given = dict(options)
        if stop is not None:
            given["stop"] = stop
        if self.n is not None and not given.keys() & {"n", "n_cmpl"}:
            given["n"] = self.n
        config, fields = self.generate_config(given, chat=self._chats)
        if not several:
            fields = one_answer(fields, _SEVERAL)
        return config, fields

    def _answers(self, options: Mapping[str, Any]) -> int:
        """How many answers a call wants of each prompt; errors as ``_settings``."""
        body = {**self.extra_body, **(options.get("extra_body") or {})}
        given = {"n": self.n, **body, **options}
        with model_errors():
            return answers_wanted(given)
