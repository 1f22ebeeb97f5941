"""Failures of the server's arguments and its address."""

from __future__ import annotations

from rocm_core.diagnosis.table.row import KnownFailure

ARGUMENTS: tuple[KnownFailure, ...] = (
    KnownFailure(
        "replaced_argument",
        ("invalid argument:",),
        r"invalid argument: (?P<what>--(?:no-)?mmap|--mlock|(?:--(?:no-)?direct-io|-n?dio))\b",
        "this llama.cpp build no longer has the argument {what}",
        "use the option load_mode in its place: 'none' for --no-mmap, 'mmap+mlock' for --mlock, "
        "'dio' for -dio",
        "common/arg.cpp (--load-mode)",
        over=("unknown_argument",),
    ),
    KnownFailure(
        "removed_argument",
        ("the argument has been removed",),
        r"(?P<what>--\S+)(?: \S+)? +the argument has been removed\. use ",
        "this llama.cpp build no longer has the argument {what}",
        "use the one that the line names in its place",
        "common/arg.cpp",
        over=("bad_argument",),
    ),
    KnownFailure(
        "unknown_argument",
        ("invalid argument:", "unknown argument:"),
        r"(?:invalid|unknown) argument: (?P<what>[-\w][^\s'\"]*)",
        "it does not know the argument {what}",
        "remove it from extra_args, or use a build that has it (llama-server --help; server_path=, "
        "engine='binary'); quote a path with spaces",
        "common/arg.cpp",
    ),
    KnownFailure(
        "no_rpc",
        ("rpc not supported in this build",),
        r"RPC not supported in this build",
        "this llama.cpp build cannot use rpc_servers",
        "use a build made with GGML_RPC=ON (server_path=), or remove rpc_servers",
        "common/arg.cpp",
        over=("bad_argument",),
    ),
    KnownFailure(
        "bad_cache_type",
        ("unsupported cache type",),
        r"unsupported cache type: (?P<what>\S+)",
        "llama-server knows no type {what} of the KV cache",
        "use f16, bf16, q8_0, q5_0, q5_1, q4_0, q4_1 or iq4_nl; llama-server --help lists what it "
        "takes (--cache-type-k)",
        "common/arg.cpp",
        over=("bad_argument",),
    ),
    KnownFailure(
        "unknown_device",
        ("invalid device:",),
        r"invalid device: (?P<what>[\w\[\]:.]+)",
        "there is no device {what}, or the back end of that name is not loaded",
        "llama-server --list-devices shows the names; leave devices= out to let llama-rocm choose",
        "common/arg.cpp",
        over=("bad_argument",),
    ),
    KnownFailure(
        "quantized_v_cache",
        ("requires flash",),
        r"(?:quantized V cache|V cache quantization) (?:was requested, but this )?requires "
        r"flash[_ ]att",
        "a quantized cache of values (cache_type_v) needs flash attention, which is off or which "
        "this model cannot use",
        "use flash_attn=True, or leave it out; or cache_type_v='f16'",
        "llama-context.cpp, #28524, ollama/ollama#15043, lmstudio-ai/lmstudio-bug-tracker#1390",
    ),
    KnownFailure(
        "cache_block_size",
        ("does not divide n_embd_head",),
        r"(?P<what>[KV] cache type \S+) with block size \d+ does not divide n_embd_head",
        "the model's heads are too narrow for the {what}",
        "use cache_type_k='f16' and cache_type_v='f16', or another type (q8_0 has the smallest "
        "block)",
        "llama-context.cpp",
    ),
    KnownFailure(
        "bad_argument",
        ("error while handling argument",),
        r"error while handling argument \"(?P<what>[^\"]+)\"",
        "the value of the argument {what} is wrong",
        "correct it; llama-server --help tells what it takes",
        "common/arg.cpp",
    ),
    KnownFailure(
        "port_in_use",
        ("couldn't bind", "address already in use", "bind: address", "another server answers on"),
        r"couldn't bind|address already in use|bind: Address|another server answers on port",
        "the TCP port is taken",
        "choose another port, port=0 for a free one, or none for a unix socket",
        "tools/server/server-http.cpp; #26822 (Windows lets two servers share a port)",
    ),
    KnownFailure(
        "no_split_buffers",
        ("does not support split buffers",),
        r"device (?P<what>\S+) does not support split buffers",
        "{what} cannot share a model by rows: its back end has no split buffers",
        "use split_mode='layer' (the default), or a HIP build for split_mode='row'",
        "llama-model.cpp; Vulkan, b10434",
    ),
    KnownFailure(
        "main_gpu_missing",
        ("invalid value for main_gpu",),
        r"invalid value for main_gpu: (?P<what>\d+ \(available devices: \d+\))",
        "there is no device of the number that main_gpu names: {what}",
        "count main_gpu from 0 among the devices that the load uses, or leave it out; with "
        "devices= name the one GPU instead",
        "llama.cpp, llama_prepare_model_devices",
    ),
)
