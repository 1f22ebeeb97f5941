"""What the options of other integrations are called here, as data.

For each class that users come from, every field of its constructor: the option of ours, what to
use instead, or why there is none. ``hints`` makes error messages of it, ``scripts/generate.py`` the
page ``docs/migrating.md``; a test holds the tables to the real classes. No framework is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from rocm_core.adapter.call_options import FRAMEWORKS

Kind = Literal["option", "instead", "none"]
LANGCHAIN, LLAMA_INDEX = FRAMEWORKS


@dataclass(frozen=True, slots=True)
class Counterpart:
    """What stands here for one field of another class.

    Attributes:
        kind: ``option``: an option of ours; ``instead``: something else does it; ``none``:
            nothing does.
        text: the option's name; what to use ("nothing: " and the reason, if it happens anyway);
            or the reason.
        note: how its values differ; empty for not at all.
    """

    kind: Kind
    text: str
    note: str = ""

    @property
    def reason(self) -> str:
        """Return why nothing has to be given, or nothing can be."""
        return self.text.removeprefix("nothing: ")


@dataclass(frozen=True, slots=True)
class Rival:
    """A class of another integration.

    Attributes:
        name: of the class.
        package: its distribution, with the version whose fields these are.
        framework: ``LANGCHAIN`` or ``LLAMA_INDEX``.
        ours: the class that replaces it.
        fields: every field of its constructor, and every alias of one.
    """

    name: str
    package: str
    framework: str
    ours: str
    fields: Mapping[str, Counterpart]


def _same(names: str) -> dict[str, Counterpart]:
    return {name: Counterpart("option", name) for name in names.split()}


def _to(**names: str | tuple[str, str]) -> dict[str, Counterpart]:
    return {
        name: Counterpart("option", *([ours] if isinstance(ours, str) else ours))
        for name, ours in names.items()
    }


def _instead(**texts: str) -> dict[str, Counterpart]:
    return {name: Counterpart("instead", text) for name, text in texts.items()}


def _none(**reasons: str) -> dict[str, Counterpart]:
    return {name: Counterpart("none", reason) for name, reason in reasons.items()}


_OF_LANGCHAIN = _same(
    "name cache verbose callbacks tags metadata custom_get_token_ids rate_limiter "
    "disable_streaming output_version profile"
)
_OF_LLAMA_INDEX = _same(
    "callback_manager rate_limiter system_prompt messages_to_prompt completion_to_prompt "
    "output_parser pydantic_program_mode query_wrapper_prompt"
)
_SCHEMA = "with_structured_output(schema), or response_format={…} of a call"
_CLIENT = "the HTTP client is our own; headers, ca_file, client_cert and verify_tls configure it"
_RESPONSES = "it belongs to OpenAI's Responses API, which is not used here"
_OPENAI = "it belongs to OpenAI's service; llama-server has no such field"
_SEVERAL = ("n", "generate() returns them all; a stream has one")
_TEMPLATE_TELLS = "the model's own chat template tells"
_LOG = "llama-server's log goes to the logger rocm_core.server"
_URL = "of a running llama-server; without it one is started here"
_TRUE = "True or False; top_logprobs for the number of alternatives"
_MMAP = ("load_mode", '"mmap", or "none"')
_MLOCK = ("load_mode", '"mlock", or "mmap+mlock"')
_ROPE = 'extra_args=["--rope-freq-base", "10000", "--rope-freq-scale", "0.5"]'
_NO_TFS = "llama.cpp has no tail-free sampling any more; min_p does a similar thing"
_KV = "cache_type_k and cache_type_v; f16 is their default"
_LOAD = "the load options by name, such as gpu_layers=…; llama-server's other flags in extra_args"
_RETRIES = "requests wait in a fair queue (max_queue, queue_timeout), a crash restarts (restart)"
_LOGPROBS = "logprobs=True of a call"
_VOCABULARY = "a server generates; a tokenizer alone is no server"

CHAT_OLLAMA = Rival(
    "ChatOllama",
    "langchain-ollama 1.1.0",
    LANGCHAIN,
    "`langchain_rocm.ChatRocm`",
    {
        **_OF_LANGCHAIN,
        **_same("reasoning validate_model_on_init mirostat mirostat_eta mirostat_tau"),
        **_same("repeat_last_n repeat_penalty temperature seed logprobs top_logprobs stop"),
        **_same("top_k top_p"),
        **_to(
            model=("model", "a GGUF file, org/repo[:quant], or a name in ROCM_MODEL_DIR"),
            num_ctx="context_len",
            num_gpu=("gpu_layers", "layers; all of them is the default"),
            num_thread="threads",
            num_predict=("max_tokens", "-1: no limit; there is no -2"),
            keep_alive=("keep_alive", "how long the server outlives its last use; 0 by default"),
            base_url=("base_url", _URL),
        ),
        **_instead(
            format=_SCHEMA,
            client_kwargs="headers, timeout, ca_file, client_cert, verify_tls",
            async_client_kwargs="headers, timeout, ca_file, client_cert, verify_tls",
            sync_client_kwargs="headers, timeout, ca_file, client_cert, verify_tls",
        ),
        **_none(tfs_z=_NO_TFS),
    },
)

CHAT_OPENAI = Rival(
    "ChatOpenAI",
    "langchain-openai 1.7.4",
    LANGCHAIN,
    "`langchain_rocm.ChatRocm`",
    {
        **_OF_LANGCHAIN,
        **_same("model api_key base_url timeout temperature max_retries presence_penalty"),
        **_same("frequency_penalty seed logprobs top_logprobs logit_bias streaming top_p"),
        **_same("max_tokens stop extra_body"),
        **_to(
            n=_SEVERAL,
            model_name=("model", "with base_url the model's name there"),
            openai_api_key="api_key",
            openai_api_base=("base_url", _URL),
            request_timeout=("timeout", "seconds of a whole answer"),
            max_completion_tokens="max_tokens",
            model_kwargs="extra_body",
            reasoning_effort="reasoning",
            reasoning=("reasoning", "True, False or an effort; not a dict"),
            default_headers="headers",
            stream_chunk_timeout="idle_timeout",
            stop_sequences="stop",
        ),
        **_instead(
            tiktoken_model_name="nothing: token counts come from the model's own tokenizer",
            stream_usage="nothing: every answer has usage_metadata",
            disabled_params="nothing: an option that is not given is not sent",
            prompt_cache_options="cache_prompt, which is on in llama-server",
        ),
        **_none(
            client=_CLIENT,
            async_client=_CLIENT,
            root_client=_CLIENT,
            root_async_client=_CLIENT,
            http_client=_CLIENT,
            http_async_client=_CLIENT,
            http_socket_options=_CLIENT,
            openai_proxy="requests go straight to base_url; give the proxy's own address there",
            openai_organization=_OPENAI,
            organization=_OPENAI,
            default_query="the base URL takes no query",
            include_response_headers="response_metadata has the server's timings, not headers",
            verbosity=_OPENAI,
            service_tier=_OPENAI,
            store=_OPENAI,
            context_management=_RESPONSES,
            include=_RESPONSES,
            truncation=_RESPONSES,
            use_previous_response_id=_RESPONSES,
            use_responses_api=_RESPONSES,
        ),
    },
)

CHAT_LLAMA_CPP = Rival(
    "ChatLlamaCpp",
    "langchain-community 0.4.2",
    LANGCHAIN,
    "`langchain_rocm.ChatRocm`",
    {
        **_OF_LANGCHAIN,
        **_same("seed max_tokens temperature top_p stop repeat_penalty top_k streaming grammar"),
        **_to(
            model_path="model",
            lora_path="lora",
            n_ctx=("context_len", "0 by default: the model's own"),
            n_threads="threads",
            n_batch="batch_size",
            n_gpu_layers="gpu_layers",
            last_n_tokens_size="repeat_last_n",
            use_mmap=_MMAP,
            use_mlock=_MLOCK,
            logprobs=("logprobs", _TRUE),
        ),
        **_instead(
            f16_kv=_KV,
            rope_freq_scale=_ROPE,
            rope_freq_base=_ROPE,
            grammar_path="grammar=Path(…).read_text()",
            suffix="RocmLLM(…).invoke(prompt, suffix=…), for models that can fill in",
            logits_all="logprobs=True",
            model_kwargs=_LOAD,
        ),
        **_none(
            client="llama.cpp runs in a server of its own, not in this process",
            lora_base="llama.cpp applies adapters to the loaded model",
            n_parts="a GGUF that was split is found by its first part",
            vocab_only=_VOCABULARY,
            echo="an answer never repeats the prompt",
        ),
    },
)

CHAT_LLAMA = Rival(
    "ChatLlama",
    "langchain-llama-cpp 0.1.0",
    LANGCHAIN,
    "`langchain_rocm.ChatRocm`",
    {
        **_OF_LANGCHAIN,
        **_same("max_tokens stop ignore_eos temperature dynatemp_range dynatemp_exponent top_k"),
        **_same("top_p min_p typical_p top_n_sigma xtc_probability xtc_threshold mirostat"),
        **_same("mirostat_tau mirostat_eta min_keep samplers seed repeat_penalty repeat_last_n"),
        **_same("frequency_penalty presence_penalty dry_multiplier dry_base dry_allowed_length"),
        **_same("dry_penalty_last_n dry_sequence_breakers logit_bias grammar logprobs"),
        **_same("chat_template_kwargs top_logprobs cache_prompt n_keep id_slot timeout"),
        **_same("max_retries streaming n_probs post_sampling_probs n_indent t_max_predict_ms"),
        **_same("adaptive_target adaptive_decay backend_sampling n_cache_reuse n_discard"),
        **_same("reasoning_format reasoning_budget_message reasoning_control"),
        **_same("add_generation_prompt continue_final_message"),
        **_to(
            n=_SEVERAL,
            model=("model", "with base_url the model's name there"),
            base_url=("base_url", _URL),
            reasoning_effort="reasoning",
            reasoning_budget_tokens="reasoning_budget",
            lora=("lora", "files to load; their scales: lora=[{…}] of a call"),
            **dict.fromkeys(
                ("return_tokens", "timings_per_token", "return_progress", "sse_ping_interval"),
                ("extra_body", "extra_body={name: value}, or under its own name in a call"),
            ),
        ),
        **_instead(
            json_schema="json_schema=… or response_format={…} of a call, or structured output",
            stream_usage="nothing: every answer has usage_metadata",
        ),
        **_none(
            echo="an answer never repeats the prompt",
            response_fields="the answer is read from fields that this would leave out",
            http_client=_CLIENT,
            http_async_client=_CLIENT,
        ),
    },
)

OLLAMA = Rival(
    "Ollama",
    "llama-index-llms-ollama 0.11.0",
    LLAMA_INDEX,
    "`llama_index_rocm.RocmLLM`",
    {
        **_OF_LLAMA_INDEX,
        **_same("temperature headers"),
        **_to(
            model=("model", "a GGUF file, org/repo[:quant], or a name in ROCM_MODEL_DIR"),
            base_url=("base_url", _URL),
            context_window="context_len",
            request_timeout=("timeout", "seconds of a whole answer"),
            additional_kwargs=("extra_body", "or each option by its own name here"),
            keep_alive=("keep_alive", "how long the server outlives its last use; 0 by default"),
            thinking="reasoning",
        ),
        **_instead(
            json_mode="as_structured_llm(cls), structured_predict, or response_format of a call",
            is_function_calling_model=f"nothing: {_TEMPLATE_TELLS}",
            prompt_key="nothing: complete(prompt) takes the prompt by position",
        ),
        **_none(client=_CLIENT, async_client=_CLIENT),
    },
)

OPENAI_LIKE = Rival(
    "OpenAILike",
    "llama-index-llms-openai-like 0.8.1",
    LLAMA_INDEX,
    "`llama_index_rocm.RocmLLM`",
    {
        **_OF_LLAMA_INDEX,
        **_same("model temperature max_tokens timeout api_key"),
        **_to(
            additional_kwargs=("extra_body", "or each option by its own name here"),
            default_headers="headers",
            api_base=("base_url", _URL),
            reasoning_effort="reasoning",
            context_window=("context_len", "a running server tells its own"),
        ),
        **_instead(
            logprobs=_LOGPROBS,
            top_logprobs="top_logprobs=… of a call",
            strict="nothing: llama.cpp holds arguments to their schema in any case",
            max_retries=_RETRIES,
            is_chat_model="nothing: complete(prompt, formatted=True) sends a prompt as it is",
            is_function_calling_model=f"nothing: {_TEMPLATE_TELLS}",
            should_use_structured_outputs="nothing: the server enforces every schema",
            tokenizer="Settings.tokenizer = RocmTokenizer(llm)",
        ),
        **_none(
            reuse_client=_CLIENT,
            http_client=_CLIENT,
            async_http_client=_CLIENT,
            openai_client=_CLIENT,
            async_openai_client=_CLIENT,
            api_version=_OPENAI,
            modalities="llama-server answers in text",
            audio_config="llama-server answers in text",
        ),
    },
)

LLAMA_CPP = Rival(
    "LlamaCPP",
    "llama-index-llms-llama-cpp 0.7.0",
    LLAMA_INDEX,
    "`llama_index_rocm.RocmLLM`",
    {
        **_OF_LLAMA_INDEX,
        **_same("temperature"),
        **_to(
            model_path="model",
            max_new_tokens="max_tokens",
            context_window="context_len",
            generate_kwargs=("extra_body", "or each option by its own name here"),
        ),
        **_instead(
            model_url='model="org/repo:quant", which is downloaded once',
            model_kwargs=_LOAD,
            verbose=_LOG,
        ),
    },
)

OLLAMA_OPTIONS = Rival(
    "ollama.Options",
    "ollama 0.6.3",
    "Ollama",
    "each option by its own name",
    {
        **_same("main_gpu seed top_k top_p typical_p repeat_last_n temperature repeat_penalty"),
        **_same("presence_penalty frequency_penalty mirostat mirostat_tau mirostat_eta stop"),
        **_to(
            num_ctx="context_len",
            num_batch="batch_size",
            num_gpu="gpu_layers",
            num_thread="threads",
            num_keep="n_keep",
            num_predict="max_tokens",
            use_mmap=_MMAP,
            use_mlock=_MLOCK,
        ),
        **_instead(
            f16_kv=_KV,
            logits_all="logprobs=True",
            numa='extra_args=["--numa", "distribute"]',
            low_vram='gpu_layers="auto", or fewer of them',
            embedding_only="the classes for embeddings",
        ),
        **_none(
            tfs_z=_NO_TFS,
            vocab_only=_VOCABULARY,
            penalize_newline="llama.cpp treats a line break like any other token",
        ),
    },
)

RIVALS = (
    *(CHAT_OLLAMA, CHAT_OPENAI, CHAT_LLAMA_CPP, CHAT_LLAMA),
    *(OLLAMA, OPENAI_LIKE, LLAMA_CPP, OLLAMA_OPTIONS),
)
