"""How a program fell over, and what is seen of it from outside: the last resort."""

from __future__ import annotations

from rocm_core.diagnosis.table.row import KnownFailure
from rocm_core.diagnosis.table.words import NEWER_BUILD

# The last resort: how the program fell over, and the reason that it gave itself.
CRASH: tuple[KnownFailure, ...] = (
    KnownFailure(
        "load_timeout",
        (
            "timed out waiting for llama",
            "failed to start within",
            "health check of container",
            "did not become healthy",
        ),
        r"timed out waiting for llama[- ](?:runner|server) to start"
        r"|failed to start within (?:the )?timeout"
        r"|health check of container '?[^ ']+'? timed out|did not become healthy",
        "the program that waited for the server gave up before the model was loaded",
        "allow more time (start_timeout=; OLLAMA_LOAD_TIMEOUT=30m for Ollama), put the file on a "
        "faster disk, or use a smaller model; a load that stands still on a GPU that hangs shows "
        "in sudo dmesg | grep amdgpu",
        "ollama/ollama#4131, #8690 there, containers/ramalama#2215",
    ),
    KnownFailure(
        "graph_too_large",
        ("not enough space in the context", "ggml_sched_max_splits"),
        r"not enough space in the context's memory pool|GGML_SCHED_MAX_SPLITS\b",
        "the model needs a larger graph than this build has room for",
        f"{NEWER_BUILD}; with one adapter or one GPU fewer the graph is smaller",
        "ggml.c, ggml-backend.cpp, #6379, #9044",
        over=("check_failed", "uncaught_error", "aborted", "crashed"),
    ),
    KnownFailure(
        "gpu_error",
        ("rocm error", "cuda error", "hip error", "hiperror"),
        r"(?:ROCm|CUDA|HIP) error(?:: | \d+ at \S+: )(?P<what>[a-z].+)"
        r"|\b(?P<name>hipError(?!Success)\w+)",
        "ROCm reports an error: {what}",
        "use another llama.cpp build (newer, or with Vulkan); update the driver and ROCm; leave "
        "out GPUs one by one with devices= to see which one it is",
        "ggml-cuda.cu",
        backend="hip",
        over=("load_failed", "check_failed", "uncaught_error", "aborted", "crashed"),
    ),
    KnownFailure(
        "vulkan_error",
        (
            "vk::instance",
            "vk::physicaldevice",
            "vk::device",
            "vk::queue",
            "vk::command",
            "vk::create",
            "vk_error_",
        ),
        r"vk::(?:Instance|PhysicalDevice|Device|Queue|Command|create)\S*: (?P<what>Error\w+)"
        r"|\b(?P<code>VK_ERROR_\w+)",
        "the Vulkan driver reports an error: {what}",
        "update Mesa or the driver, or use another llama.cpp build; choose another GPU with "
        "devices=",
        "Vulkan-Hpp, ggml-vulkan.cpp",
        backend="vulkan",
        over=("load_failed", "uncaught_error", "aborted", "crashed"),
    ),
    KnownFailure(
        "load_failed",
        ("error loading model: ", "failed to initialize the context: "),
        r"error loading model: (?P<what>\S.+)|failed to initialize the context: (?P<why>\S.+)",
        "llama.cpp could not load the model: {what}",
        "download the file again or take another one of the same model, and a newer llama.cpp "
        "build; if it is about memory or a GPU, gpu_layers=0 tells",
        "llama.cpp, llama-context.cpp",
        over=("check_failed", "uncaught_error", "aborted", "crashed"),
    ),
    KnownFailure(
        "check_failed",
        ("ggml_assert", "assertion ", "llama.cpp abort:", "unexpected graph reallocation"),
        r"GGML_ASSERT(?:\((?P<what>.+)\) failed|: *(?P<old>\S.*))"
        r"|assertion [`'\"](?P<check>.+)' failed|llama\.cpp abort:|unexpected graph reallocation",
        "a check of the program itself failed ({what}): a fault of this build, or a model that it "
        "does not fit",
        f"{NEWER_BUILD}, or an older one if it began with an update; leave out the options that "
        "are unusual (speculative decoding, cache types, several GPUs) to see which one it needs",
        "ggml.h (GGML_ASSERT), assert(3), #14506, #27674, ollama/ollama#10808",
        over=("uncaught_error", "aborted", "crashed"),
    ),
    KnownFailure(
        "uncaught_error",
        ("what(): ", "panic: ", "0xe06d7363", "-529697949", "18446744073179853"),
        r"what\(\): +(?P<what>\S.*)|^panic: (?P<go>\S.*)|0xe06d7363|-529697949"
        r"|\b18446744073179853\d+",
        "the program ended at an error that it does not handle: {what}",
        f"{NEWER_BUILD}; the line before may say what it was doing",
        "std::terminate, Go's panic",
        over=("aborted", "crashed"),
    ),
    KnownFailure(
        "crashed",
        (
            "segmentation fault",
            "sigsegv",
            "0xc0000005",
            "-1073741819",
            "3221225477",
            "access violation",
            "184467440726358",
            "1844674407370951",
            "segfault at",
            "general protection",
            "free(): ",
            "double free or corruption",
            "malloc(): ",
            "stack smashing detected",
            "exit code: 139",
            "exit code 139",
            "status 139",
        ),
        r"segmentation fault|\bSIGSEGV\b|0xc0000005|-1073741819|\b3221225477\b|access violation"
        # JavaScript rounds a negative number of Windows.
        r"|\b184467440726358(?:10000|09\d+)\b|\b1844674407370951\d+|segfault at|general protection"
        r"|\bfree\(\): |double free or corruption"
        r"|malloc\(\): |stack smashing detected|(?:exit code:?|status) 139\b",
        "the program used memory that is not its own: a fault of the build, or of the GPU's driver",
        "update the GPU's driver; try another build; gpu_layers=0 tells whether the GPU's part is "
        "at fault",
        "ollama/ollama#5629, ollama/ollama#4334, docker/model-runner#479, janhq/jan#8432, "
        "lmstudio-ai/lmstudio-bug-tracker#417",
        over=("aborted",),
    ),
    KnownFailure(
        "aborted",
        (
            "sigabrt",
            "signal: abort",
            "aborted (core dumped)",
            "0xc0000409",
            "-1073740791",
            "3221226505",
            "184467440726358",
            "exit code: 134",
            "exit code 134",
            "status 134",
        ),
        r"\bSIGABRT\b|signal: abort|Aborted \(core dumped\)|0xc0000409|-1073740791"
        r"|\b3221226505\b|\b1844674407263581(?:2000|1\d+|0825)\b|(?:exit code:?|status) 134\b",
        "the program gave up (abort), after an error that this log does not show",
        "run llama-server itself with the same model, its log names the error; try another "
        "build; gpu_layers=0 tells whether the GPU's part is at fault",
        "abort(3); Windows, STATUS_STACK_BUFFER_OVERRUN; lmstudio-ai/lmstudio-bug-tracker#1950",
    ),
)

# What is seen from outside: the server ended, is not there, or has no GPU, and nothing says why.
ENDED: tuple[KnownFailure, ...] = (
    KnownFailure(
        "runner_ended",
        (
            "llama runner process",
            "llama-server process has terminated",
            "model runner has unexpectedly stopped",
            "error reading from server: eof",
            "exited prematurely",
            "the model has crashed",
            "exit code: null",
            "encountered while running the model",
        ),
        r"llama runner process (?:no longer running|has terminated)|model runner has unexpectedly"
        r" stopped|llama-server process has terminated|error reading from server: EOF"
        r"|exited prematurely|The model has crashed|Exit code: null"
        r"|an error was encountered while running the model",
        "the program that ran the model ended, and this log does not say why",
        "look at that program's own log (journalctl -u ollama; the developer log of LM Studio; "
        "DEBUG=true for LocalAI) and at sudo dmesg: memory is the most common reason",
        "Ollama, LM Studio, LocalAI, llama-swap",
    ),
    KnownFailure(
        "no_device_listed",
        ("(none)",),
        r"^\(none\)$",
        "llama-server --list-devices lists no GPU",
        "the build has no back end for one, or it cannot be loaded: look for a missing library "
        "(hipblas, rocblas, the Vulkan loader), and at llama-rocm doctor",
        "common/arg.cpp, #26996",
    ),
    KnownFailure(
        "server_not_there",
        (
            "could not connect to ollama app",
            "connect: connection refused",
            "econnrefused",
            "actively refused it",
        ),
        r"could not connect to ollama app|connect: connection refused|ECONNREFUSED"
        r"|actively refused it",
        "nothing listens at the address that a client asks",
        "start the server, and check host and port; in a container 127.0.0.1 is the container "
        "itself (host.docker.internal, or the name of the other container)",
        "connect(2), ECONNREFUSED",
        ends=False,
    ),
)
