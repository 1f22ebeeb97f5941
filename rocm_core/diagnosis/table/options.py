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
        ("invalid argument:", "unknown argument:", "not recognized in preset"),
        r"(?:invalid|unknown) argument: (?P<what>[-\w][^\s'\"]*)"
        r"|not recognized in preset",
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
        "cache_types_differ",
        ("does not support different k",),
        r"model does not support different K \((?P<what>[^)]*)\) and V",
        "this model's cache needs one type for keys and values",
        "give cache_type_k and cache_type_v the same value",
        "llama-context.cpp",
    ),
    KnownFailure(
        "no_tensor_split",
        ("split_mode_tensor",),
        r"SPLIT_MODE_TENSOR (?:requires flash_attn|needs >= 1|not implemented for architecture"
        r" '?(?P<what>[\w-]*))",
        "this model cannot be shared by split_mode='tensor' with these options",
        "use split_mode='layer' (the default), or set flash_attn=True",
        "llama-context.cpp, llama-model.cpp",
    ),
    KnownFailure(
        "bad_argument",
        (
            "error while handling argument",
            "error while handling environment",
            "error: unknown value for --",
            "expected value for argument",
            "error: invalid url format",
            "error: invalid hf repo format",
            "error: invalid value for",
            "malformed kv override",
        ),
        r"error while handling (?:argument|environment variable) \"(?P<what>[^\"]+)\""
        r"|error: unknown value for (?P<name>--[\w-]+)|expected value for argument"
        r"|error: invalid (?:(?P<form>URL|HF repo) format|value for (?P<other>\w+))"
        r"|malformed KV override",
        "the value of an argument is wrong: {what}",
        "correct it; llama-server --help tells what it takes",
        "common/arg.cpp",
    ),
    KnownFailure(
        "no_console",
        ("received error fileno", "unsupportedoperation: fileno", "has no attribute 'fileno'"),
        r"Received error fileno|UnsupportedOperation: fileno|has no attribute 'fileno'",
        "llama-cpp-python with verbose=False silences the output's file, and here the output is "
        "none (a notebook, a service, a GUI)",
        "use verbose=True, or a newer llama-cpp-python",
        "abetlen/llama-cpp-python#796, amaiya/onprem#37",
    ),
    KnownFailure(
        "port_in_use",
        (
            "couldn't bind",
            "address already in use",
            "bind: address",
            "another server answers on",
            "only one usage of each socket",
            "winerror 10048",
            "eaddrinuse",
        ),
        r"couldn't bind|address already in use|bind: Address|another server answers on port"
        r"|Only one usage of each socket address|WinError 10048|EADDRINUSE",
        "the TCP port is taken",
        "choose another port, port=0 for a free one, or none for a unix socket",
        "tools/server/server-http.cpp; #26822 (Windows lets two servers share a port)",
    ),
    KnownFailure(
        "address_not_here",
        (
            "cannot assign requested address",
            "can't assign requested address",
            "not valid in its context",
            "eaddrnotavail",
            "failed to bind ip address",
        ),
        r"can(?:no|')t assign requested address|address is not valid in its context"
        r"|EADDRNOTAVAIL|Failed to bind IP address",
        "no network interface of this machine has the address that the server should listen on",
        "use host='127.0.0.1' (0.0.0.0 for every interface); a container may have no IPv6",
        "bind(2), EADDRNOTAVAIL, abetlen/llama-cpp-python#77",
    ),
    KnownFailure(
        "port_forbidden",
        ("permission denied", "forbidden by its access permissions", "winerror 10013"),
        r"bind: permission denied|forbidden by its access permissions|WinError 10013",
        "this user may not use that TCP port: it is below 1024, or Windows keeps it for itself",
        "choose another port, or port=0 for a free one; netsh interface ipv4 show "
        "excludedportrange protocol=tcp lists what Windows keeps",
        "bind(2), EACCES; Windows, WSAEACCES",
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
