"""How a program fell over, and what is seen of it from outside: the last resort."""

from __future__ import annotations

from rocm_core.diagnosis.table.row import NEWER_BUILD, Cure, KnownFailure

# The last resort: how the program fell over, and the reason that it gave itself.
CRASH: tuple[KnownFailure, ...] = (
    KnownFailure(
        "load_timeout",
        (
            "timed out waiting for llama",
            "failed to start within",
            "health check of container",
            "did not become healthy",
            "still waiting for llama-server",
            "waiting for llama-server to be ready: timeout",
            "did not start within",
            "startup timeout",
        ),
        r"timed out waiting for llama[- ](?:runner|server) to start"
        r"|failed to start within (?:the )?timeout"
        r"|health check of container '?[^ ']+'? timed out|did not become healthy"
        r"|still waiting for llama-server|waiting for llama-server to be ready: timeout"
        r"|did not start within|startup timeout",
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
        (
            "rocm error",
            "cuda error",
            "hip error",
            "hiperror",
            "ggml_cuda_error",
            "hsa_status_error",
        ),
        r"\bggml_cuda_error\(|\b(?P<hsa>HSA_STATUS_ERROR\w*)"
        r"|(?:ROCm|CUDA|HIP) error(?:: | \d+ at \S+: )(?P<what>[a-z].+)"
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
            "'vk::",
            "libggml-vulkan.so",
        ),
        r"vk::(?:Instance|PhysicalDevice|Device|Queue|Command|create)\S*: (?P<what>Error\w+)"
        r"|\b(?P<code>VK_ERROR_\w+)|'vk::(?P<thrown>\w+)Error'"
        # A stack of calls that ends in the back end.
        r"|^#\d+ .*\bfrom \S*libggml-vulkan\.so",
        "the Vulkan driver reports an error: {what}",
        "update Mesa or the driver, or use another llama.cpp build; choose another GPU with "
        "devices=",
        "Vulkan-Hpp, ggml-vulkan.cpp",
        backend="vulkan",
        over=("check_failed", "load_failed", "uncaught_error", "aborted", "crashed"),
    ),
    KnownFailure(
        "backend_error",
        (
            "error op ",
            "sycl error",
            "exception caught at file",
            "ur_result_error",
            "ze_result_error",
            "command buffer",
            "opencl error",
            "pi_error",
            "native api failed",
        ),
        r"\bError OP (?P<what>[A-Z_]+)|SYCL error: *(?P<sycl>.*)|Exception caught at file"
        r"|(?P<code>(?:UR|ZE)_RESULT_ERROR_\w+)|command buffer \d+ failed with status"
        r"|opencl error|\bPI_ERROR_\w+|native api failed",
        "the GPU's back end (SYCL, Metal or OpenCL) reports an error: {what}",
        "update the GPU's driver and llama.cpp; use a Vulkan build; gpu_layers=0 tells whether "
        "the GPU's part is at fault",
        "ggml-sycl.cpp, ggml-metal, ggml-opencl, #17364",
        over=("load_failed", "check_failed", "uncaught_error", "aborted", "crashed"),
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
        (
            "ggml_assert",
            "assertion ",
            "llama.cpp abort:",
            "unexpected graph reallocation",
            "llama_assert:",
            "ggml_abort(",
            "ggml-",
            ".cpp:",
        ),
        r"GGML_ASSERT(?:\((?P<what>.+)\)|: *(?P<old>\S.*))"
        r"|assertion [`'\"](?P<check>.+)' failed|llama\.cpp abort:|unexpected graph reallocation"
        r"|LLAMA_ASSERT: *(?P<llama>\S.*)"
        r"|^\S{0,300}ggml-\S{1,80}:\d+: (?!warning|note|error: )(?P<abort>\S.*)"
        r"|^\S{0,300}\.cpp:\d+: (?!warning|note|error: )(?P<stop>\S.*)",
        "a check of the program itself failed ({what}): a fault of this build, or a model that it "
        "does not fit",
        f"{NEWER_BUILD}, or an older one if it began with an update; leave out the options that "
        "are unusual (speculative decoding, cache types, several GPUs) to see which one it needs",
        "ggml.h (GGML_ASSERT), assert(3), #14506, #27674, ollama/ollama#10808",
        over=("uncaught_error", "aborted", "crashed"),
    ),
    KnownFailure(
        "uncaught_error",
        (
            "what(): ",
            "panic: ",
            "0xe06d7363",
            "-529697949",
            "18446744073179853",
            "ggml_uncaught_exception",
            "terminate called",
            "foreign exception",
            "panicked at",
            "sehexception",
        ),
        r"ggml_uncaught_exception|terminate called (?:after|without)|foreign exceptions?\b"
        r"|panicked at '(?P<rust>[^']+)|panicked at \S+:\d|SEHException"
        r"|what\(\): +(?P<what>\S.*)|^panic: (?P<go>\S.*)|0xe06d7363|-529697949"
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
            "bus error",
            "floating point exception",
            "breakpoint trap",
            "exc_bad_access",
            "unexpected signal during runtime",
            "signal arrived during",
        ),
        r"segmentation fault|\bSIGSEGV\b|0xc0000005|-1073741819|\b3221225477\b|access violation"
        # JavaScript rounds a negative number of Windows.
        r"|\b184467440726358(?:10000|09\d+)\b|\b1844674407370951\d+|segfault at|general protection"
        r"|\bfree\(\): |double free or corruption"
        r"|malloc\(\): |stack smashing detected|(?:exit code:?|status) 139\b"
        r"|\bBus error\b|Floating point exception|breakpoint trap|EXC_BAD_ACCESS"
        r"|unexpected signal during runtime|signal arrived during (?:cgo|external code) execution",
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
            "abort trap",
            "ggml_print_backtrace",
            "ggml_abort",
            "(process ",
            "aborted",
        ),
        r"\bSIGABRT\b|signal: abort|Aborted \(core dumped\)|0xc0000409|-1073740791"
        r"|\b3221226505\b|\b1844674407263581(?:2000|1\d+|0825)\b|(?:exit code:?|status) 134\b"
        r"|Abort trap|ggml_print_backtrace|\bggml_abort\b|\[Inferior \d+ \(process \d+\) detached"
        r"|^Aborted$",
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
            "rpc error: code = ",
            "grpc service not ready",
            "do load request: post",
            "do completion request: post",
            "post predict: post",
            "health resp: get",
            "failed to start. check that the gguf",
            "llama.cpp terminated unexpectedly",
            "core dumped",
            "failed to start a llama runner",
            "see the ollama server logs",
            "failed to start runner",
        ),
        r"llama runner process (?:no longer running|has terminated)|model runner has unexpectedly"
        r" stopped|llama-server process has terminated|error reading from server: EOF"
        r"|exited prematurely|The model has crashed|Exit code: null"
        r"|an error was encountered while running the model"
        r"|rpc error: code = (?:Canceled|Unavailable|Unknown|Internal)|grpc service not ready"
        r"|do (?:load|completion) request: Post|POST predict: Post|health resp: Get"
        r"|failed to start\. Check that the GGUF|llama\.cpp terminated unexpectedly"
        r"|\(core dumped\)"
        r"|failed to start a llama runner|see the ollama server logs|failed to start runner",
        "the program that ran the model ended, and this log does not say why",
        "look at that program's own log (journalctl -u ollama; the developer log of LM Studio; "
        "DEBUG=true for LocalAI) and at sudo dmesg: memory is the most common reason",
        "Ollama, LM Studio, LocalAI, llama-swap, ollama/ollama#11710",
        over=("load_reason_hidden",),
        cures=(Cure("Ollama", "0.11.3", since="0.11.0", sign="error:fault"),),
    ),
    KnownFailure(
        "load_reason_hidden",
        (
            "load model",
            "load the model",
            "load llama model",
            "load the llama model",
            "loading model",
            "loading the model",
            "loading llama model",
            "loading the llama model",
            "null result from llama",
            "nullresult",
            "object has no attribute '",
            "failed to create llama_context",
            "failed to create context",
            "loadweightsfailedexception",
            "assert self.",
            "could not load text model",
            "model loading error",
            "llama error: ",
            "invalid model file",
        ),
        r"(?:failed to|unable to|could not|error) load(?:ing)? (?:the )?(?:llama )?model\b"
        r"|failed loading model|null result from llama|\bNullResult\b"
        r"|'Llama(?:Model)?' object has no attribute '|LoadWeightsFailedException"
        r"|failed to create (?:llama_)?context"
        r"|assert self\.(?:model|ctx|_model) is not None|could not load text model"
        r"|model loading error"
        r"|LLAMA ERROR: |invalid model file",
        "the model could not be loaded, and this log does not say why: the program around "
        "llama.cpp keeps the reason to itself",
        "let it show llama.cpp's own log (verbose=True of llama-cpp-python and node-llama-cpp, "
        "a log callback of other bindings, the developer log of LM Studio), or load the file with "
        "llama-server -m FILE; most common: a build that is older than the model, a file that "
        "is cut short, too little memory",
        "abetlen/llama-cpp-python#2187, utilityai/llama-cpp-rs#887, LM Studio, Jan, LocalAI",
    ),
    KnownFailure(
        "request_refused",
        ("got exception: {", "send_error: task"),
        r"got exception: \{.*\"message\": ?\"(?P<what>[^\"]+)|send_error: task.*error: (?P<why>.+)",
        "the server refuses a request: {what}",
        "correct what the message names in the client that asks",
        "tools/server/server-http.cpp, #22510",
        over=("runner_ended", "load_reason_hidden", "server_not_there", "no_device_listed"),
        ends=False,
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
            "errno 111]",
            "winerror 10061",
            "connectionrefusederror",
        ),
        r"could not connect to ollama app|connect: connection refused|ECONNREFUSED"
        r"|actively refused it"
        r"|\[Errno 111\]|WinError 10061|ConnectionRefusedError",
        "nothing listens at the address that a client asks",
        "start the server, and check host and port; in a container 127.0.0.1 is the container "
        "itself (host.docker.internal, or the name of the other container)",
        "connect(2), ECONNREFUSED",
        ends=False,
    ),
)
