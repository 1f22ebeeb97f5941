"""The adapters' fields.

Generated from rocm_core.config by `python -m scripts.generate`; change it there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, SecretStr

from rocm_core.adapter.declared import declared
from rocm_core.config import (
    Api,
    Engine,
    FlashAttention,
    GpuLayers,
    LazyMode,
    LoadMode,
    RestartPolicy,
    SplitMode,
)


class LoadFields(BaseModel):
    """Which model, where it runs, how to load it, and how long to wait for it."""

    model_config = ConfigDict(defer_build=True)

    model: str = declared("model")
    """GGUF file, directory, org/repo[:quant], a name in ROCM_MODEL_DIR, demo, or the URL of a
    running server. With base_url: the model's name there, if it has several."""
    base_url: str | None = declared("base_url")
    """URL of a running server to use instead of starting one; http:// may be left out."""
    api_key: SecretStr | None = declared("api_key")
    """Key of that server, sent as a bearer token; never shown."""
    headers: Mapping[str, SecretStr] | None = declared("headers")
    """Further headers of every request, for a proxy in front of it; never shown."""
    api: Api = declared("api")
    """Which endpoints to use: openai (/v1/chat/completions, /v1/completions), native (/completion,
    /apply-template), or auto: what GET /v1/models says, asked once per base URL (404: native)."""
    ca_file: str | None = declared("ca_file")
    """PEM file of certificates to trust instead of the system's."""
    client_cert: str | None = declared("client_cert")
    """PEM file of the certificate that we show, with its key, or with the key in client_key."""
    client_key: str | None = declared("client_key")
    """PEM file of the key of client_cert."""
    verify_tls: bool = declared("verify_tls")
    """Whether to check the server's certificate; False trusts any."""
    connect_timeout: float | None = declared("connect_timeout")
    """Limit to reach the server, for each request of a call. Unit: seconds."""
    first_token_timeout: float | None = declared("first_token_timeout")
    """Limit of each request from being sent to the first byte of its answer: queueing for a slot
    and prefill (llama-server sends no headers before that); of an answer that is no stream (embed,
    rerank, tokenize, facts of the server, …) to its last byte. None: no limit. In the adapters None
    means 600 s for a remote server and no limit for one of our own: its death is noticed at once,
    and after stall_timeout that it hangs. Unit: seconds."""
    idle_timeout: float | None = declared("idle_timeout")
    """Limit between two pieces of a stream; llama-server pings every 30 s (sse_ping_interval), so
    the default lets two pings go missing. Unit: seconds."""
    timeout: float | None = declared("timeout")
    """Limit of a whole call, whatever it does: waiting for the model to load, probing the server,
    waiting in the queue, every request and retry, the answer to its end. A load that others wait
    for goes on. None: no limit but those of each request. Unit: seconds."""
    backend: str = declared("backend")
    """Who runs the model: rocm, cpu, remote, a registered name, or auto."""
    engine: Engine = declared("engine")
    """binary (a llama-server program), embedded (llama.cpp from the package xllamacpp), or auto: a
    program if there is one."""
    server_path: str | None = declared("server_path")
    """The llama-server to run: a file, or a directory that holds it."""
    context_len: int = declared("context_len")
    """Context length of each slot; 0: the model's own. Unit: tokens."""
    gpu_layers: GpuLayers = declared("gpu_layers")
    """Layers on the GPU; -1 or all: all of them, 0: none, auto: as many as llama-server finds room
    for. Unit: layers."""
    require_gpu: bool | None = declared("require_gpu")
    """If the load uses no GPU: True raises (GpuNotUsed where the load log shows it), None warns
    where a GPU was asked for or is in the machine, False says nothing."""
    devices: list[int | str] = declared("devices")
    """GPUs to use: each an index, UUID, PCI address or name as rocm_core.list_gpus shows them, or
    for a Vulkan or CUDA build as it lists them itself; empty: every card, or the APU if there is no
    card."""
    split_mode: SplitMode | None = declared("split_mode")
    """How several GPUs share a model: none, layer, row or tensor; None: by layers."""
    tensor_split: list[float] = declared("tensor_split")
    """Proportions of the model for each of several GPUs; empty: as their free memory."""
    main_gpu: int | None = declared("main_gpu")
    """With split_mode none, the GPU to use, counted among the chosen ones."""
    override_tensor: list[str] = declared("override_tensor")
    """Where single weights lie: rules of a regular expression for their names, =, and a buffer type
    that the build lists (CPU, Vulkan0, ROCm0); the first rule that matches counts, before n_cpu_moe
    and n_cpu_ffn."""
    n_cpu_moe: int | None = declared("n_cpu_moe")
    """Layers, from the first, whose experts' weights stay in host memory (mixture of experts): the
    rest of a model that is too large goes to the GPU; more than there are: all. Unit: layers."""
    n_cpu_ffn: int | None = declared("n_cpu_ffn")
    """Layers, from the first, whose dense feed-forward weights stay in host memory; for experts
    n_cpu_moe. Unit: layers."""
    parallel: int | None = declared("parallel")
    """Slots with a context of their own each; None: 4 slots that share one KV cache of context_len
    tokens. Unit: slots."""
    kv_unified_per_slot: int | None = declared("kv_unified_per_slot")
    """Slots that share one KV cache, with at most so many tokens each: one conversation may be
    longer than its share while others are short. context_len is then the whole cache (0: room for
    every slot); None: with parallel every slot has a cache of its own. Unit: tokens."""
    load_mode: LoadMode | None = declared("load_mode")
    """How the model's file gets into memory: mmap (mapped), none (read), mlock and mmap+mlock (kept
    from being swapped out), dio (read past the page cache) or auto; None: the build's own default.
    The flags --no-mmap, --mlock and -dio of older builds in one option."""
    lazy_mode: LazyMode | None = declared("lazy_mode")
    """Weights of which a token needs a few rows (embeddings per layer): on reads them from the file
    when they are needed, off keeps them in memory, auto: on above 4 GiB; None: the build's own
    default."""
    threads: int | None = declared("threads")
    """CPU threads; None: by physical cores and model size."""
    batch_size: int | None = declared("batch_size")
    """Logical batch of prefill; None: llama-server's. Unit: tokens."""
    ubatch_size: int | None = declared("ubatch_size")
    """Physical batch of prefill; None: llama-server's, or a whole input for embedding, reranking
    and some decision models. Unit: tokens."""
    flash_attn: FlashAttention | None = declared("flash_attn")
    """Flash attention: on, off, or auto; None: not sent, the build's own default."""
    cache_type_k: str | None = declared("cache_type_k")
    """Type of the KV cache's keys: f32, f16, bf16, q8_0, q4_0, q4_1, iq4_nl, q5_0 or q5_1; None:
    f16."""
    cache_type_v: str | None = declared("cache_type_v")
    """Type of the KV cache's values: f32, f16, bf16, q8_0, q4_0, q4_1, iq4_nl, q5_0 or q5_1; None:
    f16. A quantized one needs flash attention."""
    prompt_cache: int | str = declared("prompt_cache")
    """Most host memory for the state of prompts that left their slot, so that a conversation that
    comes back is not computed again: a size, off, or auto: what 16 prompts that fill their context
    take, at most 4 GiB and 1/8 of the memory available at start (1/16 if the model lies there too:
    CPU, APU)."""
    lora: list[str] = declared("lora")
    """LoRA adapter files, each as path or path:scale; with a scale of 0 it is loaded and off."""
    mmproj: str | None = declared("mmproj")
    """File of the multimodal projector."""
    mmproj_device: str | None = declared("mmproj_device")
    """The GPU for the projector, by the name that the build lists (Vulkan0), or none for the CPU;
    None: the first GPU."""
    draft_model: str | None = declared("draft_model")
    """GGUF of a draft model for speculative decoding; its vocabulary must be the model's."""
    chat_template: str | None = declared("chat_template")
    """What replaces the model's chat template: Jinja text, the path of a file of it, or the name of
    a template that llama.cpp has built in (llama-server --help lists them)."""
    chat_template_file: str | None = declared("chat_template_file")
    """File of Jinja text that replaces the model's chat template."""
    rpc_servers: list[str] = declared("rpc_servers")
    """Addresses of llama.cpp RPC workers, host:port (fragile, never on open networks)."""
    allow_insecure_rpc: bool = declared("allow_insecure_rpc")
    """rpc_servers may name other machines: their port lets whoever reaches it run code there, and
    nothing is encrypted."""
    model_name: str | None = declared("model_name")
    """The name that requests carry and the server shows; a router or proxy with several models
    needs it. None: the file's name, or nothing for a remote server."""
    port: int | None = declared("port")
    """TCP port on loopback, 0 for a free one; None: a private unix socket."""
    stall_timeout: float = declared("stall_timeout")
    """Time without any sign of progress after which loading has failed. Requests to a loaded server
    of our own end after the same time without a sign of life (CPU time, memory, log, GET /health),
    for example of one that was stopped with SIGSTOP. Unit: seconds."""
    max_in_flight: int | None = declared("max_in_flight")
    """Most requests that this process has under way at the server at once; None: as many as it has
    slots. Those above it wait in a fair queue. Unit: requests."""
    max_queue: int | None = declared("max_queue")
    """Most requests that wait there; one more raises ServerBusy. None: no limit, as in the
    adapters, where a batch of any size waits for its turn. Unit: requests."""
    queue_timeout: float | None = declared("queue_timeout")
    """Time that a request waits there before it raises ServerBusy; None: no limit, as in the
    adapters. Unit: seconds."""
    media_root: str | None = declared("media_root")
    """Directory below which a user's message may name image and audio files (file:///…); None: a
    message opens no file."""
    media_max_size: int = declared("media_max_size")
    """Longest file that is opened so. Unit: bytes."""
    keep_alive: float = declared("keep_alive")
    """How long the server outlives its last use; -1: forever. Programs of this user that ask for
    the same model and options share it. 0: private, and gone with this program. Unit: seconds."""
    restart: RestartPolicy = declared("restart")
    """on-failure: the next request after a crash starts the server again, at most 5 times within
    300 s; never: it raises ServerDied."""
    extra_args: list[str] = declared("extra_args")
    """Further arguments for llama-server, as they are."""
    environment: Mapping[str, SecretStr | None] | None = declared("environment")
    """Variables for the server's process over those it inherits; None removes one. A mask of GPUs
    in here counts like one in this process's own environment."""


class GenerationFields(BaseModel):
    """How to generate one answer; unset options are not sent."""

    model_config = ConfigDict(defer_build=True)

    max_tokens: int | None = declared("max_tokens")
    """Most tokens to generate; -1 or None: no limit but the context. llama-server makes 1 of 0.
    Unit: tokens."""
    temperature: float | None = declared("temperature")
    """Temperature of sampling; 0 is greedy."""
    top_k: int | None = declared("top_k")
    """Sample among the k likeliest tokens; 0: all."""
    top_p: float | None = declared("top_p")
    """Sample among the likeliest tokens whose probabilities add up to p; 1: all."""
    min_p: float | None = declared("min_p")
    """Least probability of a token, relative to the likeliest; 0: any."""
    typical_p: float | None = declared("typical_p")
    """Locally typical sampling with p; 1: off."""
    repeat_penalty: float | None = declared("repeat_penalty")
    """Penalty of repeated tokens; 1: none."""
    repeat_last_n: int | None = declared("repeat_last_n")
    """How far back a repetition counts; 0: off, -1: the context. Unit: tokens."""
    presence_penalty: float | None = declared("presence_penalty")
    """Penalty of tokens that have occurred; 0: none."""
    frequency_penalty: float | None = declared("frequency_penalty")
    """Penalty of tokens by how often they have occurred; 0: none."""
    top_n_sigma: float | None = declared("top_n_sigma")
    """Sample among tokens within n standard deviations of the best logit; -1: off."""
    xtc_probability: float | None = declared("xtc_probability")
    """How likely the likeliest tokens are excluded (XTC); 0: never."""
    xtc_threshold: float | None = declared("xtc_threshold")
    """Least probability of tokens that XTC excludes; above 0.5: off."""
    dynatemp_range: float | None = declared("dynatemp_range")
    """Range of the dynamic temperature; 0: off."""
    dynatemp_exponent: float | None = declared("dynatemp_exponent")
    """How entropy becomes temperature within that range."""
    dry_multiplier: float | None = declared("dry_multiplier")
    """Strength of the DRY penalty of repeated sequences; 0: off."""
    dry_base: float | None = declared("dry_base")
    """How the DRY penalty grows with the length."""
    dry_allowed_length: int | None = declared("dry_allowed_length")
    """Longest repetition that DRY does not penalize. Unit: tokens."""
    dry_penalty_last_n: int | None = declared("dry_penalty_last_n")
    """How far back DRY looks; 0: off, -1: the context. Unit: tokens."""
    dry_sequence_breakers: list[str] | None = declared("dry_sequence_breakers")
    """Texts that end a repetition for DRY."""
    mirostat: int | None = declared("mirostat")
    """Mirostat sampling: 0 (off), 1 or 2."""
    mirostat_tau: float | None = declared("mirostat_tau")
    """Target entropy of Mirostat."""
    mirostat_eta: float | None = declared("mirostat_eta")
    """Learning rate of Mirostat."""
    adaptive_target: float | None = declared("adaptive_target")
    """Probability that the adaptive sampler (adaptive_p, last in samplers) aims at, 0 to 1; below
    0: off."""
    adaptive_decay: float | None = declared("adaptive_decay")
    """How slowly the adaptive sampler forgets, 0 to 0.99: it sees some 1/(1-decay) tokens."""
    samplers: list[str] | None = declared("samplers")
    """The samplers to use, in this order."""
    min_keep: int | None = declared("min_keep")
    """Least number of tokens that every sampler keeps; 0: no minimum."""
    seed: int | None = declared("seed")
    """Seed of the random numbers; -1: a random one."""
    stop: list[str] | None = declared("stop")
    """Texts that end the answer; they are not part of it."""
    template_date: str | None = declared("template_date")
    """The date that a chat template which prints today's gets instead, so that the prompt's
    beginning stays in the cache over midnight; unset: the server's own clock. Sent as the template
    variables date_string and datetime; no effect on raw prompts."""
    stop_token_ids: list[int] = declared("stop_token_ids")
    """Token ids that end the answer (our own: llama-server has no such field)."""
    grammar: str | None = declared("grammar")
    """GBNF grammar of the answer; excludes json_schema."""
    logit_bias: Any = declared("logit_bias")
    """Changes of the logits of tokens, by id or text."""
    ignore_eos: bool | None = declared("ignore_eos")
    """Go on after the end-of-sequence token."""
    backend_sampling: bool | None = declared("backend_sampling")
    """Sample on the device, where the engine was started for that (llama-server's
    --backend-sampling)."""
    t_max_predict_ms: int | None = declared("t_max_predict_ms")
    """End the answer at the first line break after this time, counted from its first token; -1:
    never. Unit: milliseconds."""
    n_indent: int | None = declared("n_indent")
    """End the answer at a line that is indented by fewer spaces; 0: off."""
    n_probs: int | None = declared("n_probs")
    """How many likeliest tokens to report, with their log probabilities, per token."""
    post_sampling_probs: bool | None = declared("post_sampling_probs")
    """Report probabilities after the samplers, not before; for n_probs."""
    n_keep: int | None = declared("n_keep")
    """Tokens of the prompt to keep when the context is shifted; -1: all."""
    n_discard: int | None = declared("n_discard")
    """Tokens after n_keep to drop when the context is shifted; 0: half of them."""
    n_cache_reuse: int | None = declared("n_cache_reuse")
    """Least length of a piece of the prompt to reuse from the cache by shifting it."""
    id_slot: int | None = declared("id_slot")
    """The slot to use, for a prompt that should stay in its cache; -1: any."""
    cache_prompt: bool | None = declared("cache_prompt")
    """Reuse the KV cache of the slot's previous prompt."""
    coalesce: bool = declared("coalesce")
    """One event for all pieces that arrived while the consumer was busy; not sent. Off with
    stop_token_ids, which need every token."""
    allow_long_runs: bool = declared("allow_long_runs")
    """Send a prompt with more than 10,000 characters in a row without a break, which some engines
    do not survive; not sent."""
