"""Known failures of llama.cpp and ROCm, as data: log line → cause → remedy.

Sources are public threads as ``repository#number`` (``ggml-org/llama.cpp`` unless another
repository is named), or the source file or document that has the line. ``explain_failure`` takes
the first row that matches any line, so rows with the more specific cause come first.
"""

from __future__ import annotations

from rocm_core.diagnosis.companion_failures import COMPANIONS
from rocm_core.diagnosis.device_failures import DEVICES, UNSEEN
from rocm_core.diagnosis.download_failures import DOWNLOAD
from rocm_core.diagnosis.failure_row import KnownFailure
from rocm_core.diagnosis.limit_failures import THREADS

__all__ = ["ACCESS", "KERNELS", "KNOWN", "LOADER", "MEMORY", "MODEL", "WITHOUT_GPU", "KnownFailure"]


# llama.cpp compiles its CUDA code for HIP: older builds print CUDA where newer ones print ROCm.
_GPU_ERROR = r"(?:ROCm|CUDA|HIP) error\b.*"
_ROCM_LIBRARY = (
    r"lib(?:amd|hip|hsa|roc|MIOpen|rccl|rocm)[\w.+-]*\.so[\w.]*|libamdhip64\.so[\w.]*"
    r"|amdhip64\w*\.dll|(?:hip|roc)blas\w*\.dll"
)
_NOT_FOUND = r": (?:cannot open shared object|failed to load library)"
_GROUPS = "sudo usermod -aG render,video $USER, then log in again"
_CONTAINER = (
    "in a container pass --device /dev/kfd --device /dev/dri and the numeric group ids of both "
    '(--group-add "$(getent group render | cut -d: -f3)")'
)
_NO_DEVICE = (
    f"check that /dev/kfd exists and is yours to use ({_GROUPS}); {_CONTAINER}; unset "
    "ROCR_VISIBLE_DEVICES and HIP_VISIBLE_DEVICES; llama-rocm doctor names the reason"
)
_OTHER_BUILD = (
    "use a llama.cpp build for it, or one with Vulkan; if it is an integrated GPU beside a "
    "card, choose the card with devices=; llama-rocm doctor lists what the build has"
)
_LESS_VRAM = (
    "lower context_len, gpu_layers or parallel, quantize the KV cache "
    "(cache_type_k='q8_0', cache_type_v='q8_0', flash_attn=True), or use a smaller quantization"
)

LOADER: tuple[KnownFailure, ...] = (
    KnownFailure(
        "missing_llama_library",
        r"(?P<what>lib(?:llama|ggml|mtmd)[\w-]*\.so[\w.]*): cannot open shared object",
        "a library of llama.cpp itself is missing: {what}",
        "keep llama-server in one directory with its lib*.so files, or reinstall it",
        "#17950, #23550",
    ),
    KnownFailure(
        "missing_rocm_library",
        rf"(?P<what>{_ROCM_LIBRARY}){_NOT_FOUND}",
        "the build needs {what}, and this ROCm is another version or not installed",
        "install the ROCm version the build was made for, put its directory into LD_LIBRARY_PATH "
        "(/opt/rocm/core/lib since ROCm 7.14 and for ROCm 10, else /opt/rocm/lib), or use a build "
        "that brings ROCm along",
        "#25807, lemonade-sdk/llamacpp-rocm#44, mozilla-ai/llamafile#547; rocm.docs.amd.com, "
        "transition guide (paths)",
    ),
    KnownFailure(
        "missing_library",
        rf"(?P<what>[\w.+-]+\.so[\w.]*){_NOT_FOUND}",
        "the program needs {what}, which is not on this machine",
        "install the package that has it (libgomp1 for libgomp.so.1)",
        "#25807",
    ),
    KnownFailure(
        "old_system_libraries",
        r"version [`'\"](?P<what>GLIBC(?:XX)?_[\d.]+)'? not found",
        "the build needs {what}: it was made on a newer Linux than this one",
        "use a newer distribution, a container, or compile it here "
        '(pip install "llama-rocm[server]")',
        "#9794, OpenCSGs/csglite#150",
    ),
    KnownFailure(
        "mixed_rocm_libraries",
        r"(?:undefined symbol: *|symbol lookup error: .*?)(?P<what>(?:roc|hip|hsa|amd)\w+)",
        "libraries of two ROCm versions are mixed ({what} is missing in one of them)",
        "leave only one ROCm in LD_LIBRARY_PATH, or unset it for builds that bring ROCm along",
        "ollama/ollama#8108",
    ),
    KnownFailure(
        "bad_gfx_override",
        r"HSA_OVERRIDE_GFX_VERSION (?P<what>\S*) is invalid",
        "HSA_OVERRIDE_GFX_VERSION={what} is not of the form major.minor.step",
        "unset it, or write it like 10.3.0",
        "libhsakmt topology.c",
    ),
)

ACCESS: tuple[KnownFailure, ...] = (
    KnownFailure(
        "no_kfd_on_host",
        r'adding custom device "/dev/kfd": no such file',
        "the host has no /dev/kfd to pass into the container",
        "load the amdgpu driver on a native Linux host; WSL and Docker Desktop have no /dev/kfd",
        "ROCm/legacy-rocm-build#3734, l1na-forever/stable-diffusion-rocm-docker#8",
    ),
    KnownFailure(
        "kfd_permission",
        r"/dev/kfd\b.*(?:permission denied|EACCES)",
        "no permission for /dev/kfd",
        f"{_GROUPS}; {_CONTAINER}",
        "viebrix/pytorch-gfx803-for-Whisper#1",
    ),
    KnownFailure(
        "render_node_permission",
        r"(?P<what>(?:/dev/dri/)?renderD\d+|/dev/dri/\S+).*(?:permission denied|EACCES)",
        "no permission for {what}",
        f"{_GROUPS}; {_CONTAINER}; with SELinux: sudo setsebool container_use_devices=1",
        "ROCm/TheRock#4240, ROCm/amdsmi#184",
    ),
    KnownFailure(
        "kfd_unusable",
        r"/dev/kfd\b.*(?P<what>operation not permitted|invalid argument|cannot allocate memory"
        r"|bad address)",
        "/dev/kfd cannot be opened ({what}): a container or cgroup hides the GPU, or the driver "
        "does not support it",
        f"{_CONTAINER}; sudo dmesg | grep kfd says whether the card is supported",
        "ROCm/legacy-rocm-build#1211, #2232, #5379 there",
    ),
    KnownFailure(
        "driver_too_old",
        r"failed to finish discovery before timeout",
        "the GPU did not answer in time: the kernel driver is often older than the ROCm build",
        "update the kernel or the amdgpu driver",
        "ollama docs/troubleshooting",
    ),
    KnownFailure(
        "probe_crashed",
        r"failure during GPU discovery",
        "looking for GPUs crashed: the driver, or a GPU that this ROCm no longer supports",
        "keep the GPU out with ROCR_VISIBLE_DEVICES, use another build, or the CPU (gpu_layers=0)",
        "ollama/ollama#12774, #13070 and #15762 there",
    ),
)

KERNELS: tuple[KnownFailure, ...] = (
    KnownFailure(
        "no_code_object",
        r"No compatible code objects found for: (?P<gfx>gfx\w+)",
        "the build has no code for {gfx}",
        _OTHER_BUILD,
        "#19949",
    ),
    KnownFailure(
        "no_rocblas_kernels",
        r"rocBLAS error: Cannot read .*TensileLibrary\S*"
        r"(?:.*for GPU arch *: *(?P<gfx>gfx\w+))?",
        "the rocBLAS in use has no kernels for {gfx}",
        _OTHER_BUILD,
        "#14421, ROCm/Tensile#1936, iacopPBK/llama.cpp-gfx906#12",
    ),
    KnownFailure(
        "no_kernel_image",
        r"no kernel image is available for execution|hipErrorNoBinaryForGpu"
        rf"|{_GPU_ERROR}shared object initialization failed",
        "the build has no code for this GPU, or lies under a path with a space",
        f"{_OTHER_BUILD}; move the build to a path without spaces",
        "YellowRoseCx/koboldcpp-rocm#148, ollama/ollama#8765",
    ),
    KnownFailure(
        "invalid_kernel_image",
        r"device kernel image is invalid|HSA_STATUS_ERROR_INVALID_(?:CODE_OBJECT|ISA)",
        "the build's code does not run on the chosen GPU",
        f"{_OTHER_BUILD}; unset HSA_OVERRIDE_GFX_VERSION",
        "#23934, lemonade-sdk/llamacpp-rocm#92, ROCm/legacy-rocm-build#6042",
    ),
    KnownFailure(
        "invalid_device_function",
        r"invalid device function|hipErrorInvalidDeviceFunction",
        "the build was not compiled for this GPU",
        f"{_OTHER_BUILD}; unset HSA_OVERRIDE_GFX_VERSION",
        "#8504, #3320, abetlen/llama-cpp-python#1008",
    ),
    KnownFailure(
        "gpu_page_fault",
        r"Memory access fault by GPU node-\d+|gfxhub\] page fault",
        "the GPU touched memory that is not there: a wrong HSA_OVERRIDE_GFX_VERSION, or a bug of "
        "driver or firmware",
        "unset HSA_OVERRIDE_GFX_VERSION; update kernel, firmware and ROCm",
        "ollama/ollama#12131, #8851 there, ROCm/legacy-rocm-build#4554",
    ),
    KnownFailure(
        "gpu_hang",
        r"MES failed to respon(?:d|se)|GPU Hang|amdgpu.*GPU reset begin|ring \S+ timeout",
        "the GPU's firmware stopped answering and the driver reset it",
        "update kernel and linux-firmware; on gfx1150 and gfx1151 avoid MES firmware 0x83",
        "ROCm/legacy-rocm-build#5151, #5724 and #6598 there",
    ),
    KnownFailure(
        "gpu_reset",
        rf"{_GPU_ERROR}unspecified launch failure|hipErrorLaunchFailure",
        "the GPU failed in the middle of its work and was reset",
        "start again; if it returns, update kernel and firmware, or use a Vulkan build",
        "lemonade-sdk/llamacpp-rocm#122",
    ),
)

MEMORY: tuple[KnownFailure, ...] = (
    KnownFailure(
        "vmm_broken",
        r"HipVMM Failure",
        "the virtual memory pool of this HIP build fails on this driver",
        "use a build made with GGML_HIP_NO_VMM=ON",
        "#11405, #18650, YellowRoseCx/koboldcpp-rocm#105",
    ),
    KnownFailure(
        "weights_do_not_fit",
        r"error loading model: unable to allocate (?P<what>(?:ROCm|CUDA|Vulkan|SYCL|MTL)\d*"
        r"|backend) buffer",
        "there is not enough memory on the GPU for the weights",
        "lower gpu_layers or use a smaller quantization; on an APU raise the kernel's limit "
        "(ttm.pages_limit); llama-rocm fit MODEL says what fits",
        "#20431, #7366, ollama/ollama#7556",
    ),
    KnownFailure(
        "vram_short",
        r"(?:cuda|hip)Malloc failed: out of memory|ErrorOutOfDeviceMemory"
        r"|failed to allocate (?:ROCm|CUDA|Vulkan|SYCL|MTL)\d+ buffer",
        "there is not enough memory on the GPU for the context",
        f"{_LESS_VRAM}; llama-rocm fit MODEL says what fits",
        "#16725",
    ),
    KnownFailure(
        "gpu_out_of_memory",
        rf"{_GPU_ERROR}out of memory|hipErrorOutOfMemory",
        "there is not enough memory on the GPU while it works",
        f"{_LESS_VRAM}; end other programs that use the GPU",
        "ollama/ollama#3765",
    ),
    KnownFailure(
        "out_of_memory",
        r"bad_alloc|ggml_aligned_malloc: insufficient memory|defaultAllocator|\boom-kill"
        r"|(?:failed|unable) to allocate (?:CPU\w*|Host|compute \w*|KV|buffer|memory)"
        r"|failed to allocate buffer for kv cache",
        "there is not enough memory for the model and its context",
        "lower context_len, gpu_layers or parallel, or use a smaller quantization",
        "ggml.c, llama-kv-cache.cpp",
    ),
)

MODEL: tuple[KnownFailure, ...] = (
    KnownFailure(
        "incomplete_vocabulary",
        r"error loading model vocabulary: (?:_Map_base|(?:unordered_)?map)::at",
        "the vocabulary lacks a token that llama.cpp asks for: if general.name has phi-3 in it, "
        "<unk>, <s>, </s> or <|endoftext|>",
        "give a model that is no Phi-3 another name (--override-kv general.name=str:NAME)",
        "llama-vocab.cpp (llama_vocab::impl::load)",
    ),
    KnownFailure(
        "replaced_argument",
        r"invalid argument: (?P<what>--(?:no-)?mmap|--mlock|(?:--(?:no-)?direct-io|-n?dio))\b",
        "this llama.cpp build no longer has the argument {what}",
        "use the option load_mode in its place: 'none' for --no-mmap, 'mmap+mlock' for --mlock, "
        "'dio' for -dio",
        "common/arg.cpp (--load-mode)",
    ),
    KnownFailure(
        "removed_argument",
        r"(?P<what>--\S+)(?: \S+)? +the argument has been removed\. use ",
        "this llama.cpp build no longer has the argument {what}",
        "use the one that the line names in its place",
        "common/arg.cpp",
    ),
    KnownFailure(
        "unknown_argument",
        r"invalid argument: (?P<what>\S+)",
        "it does not know the argument {what}",
        "remove it from extra_args, or use a build that has it (llama-server --help; server_path=, "
        "engine='binary')",
        "common/arg.cpp",
    ),
    KnownFailure(
        "no_rpc",
        r"RPC not supported in this build",
        "this llama.cpp build cannot use rpc_servers",
        "use a build made with GGML_RPC=ON (server_path=), or remove rpc_servers",
        "common/arg.cpp",
    ),
    KnownFailure(
        "bad_cache_type",
        r"unsupported cache type: (?P<what>\S+)",
        "llama-server knows no type {what} of the KV cache",
        "use f16, bf16, q8_0, q5_0, q5_1, q4_0, q4_1 or iq4_nl; llama-server --help lists what it "
        "takes (--cache-type-k)",
        "common/arg.cpp",
    ),
    KnownFailure(
        "quantized_v_cache",
        r"(?:quantized V cache|V cache quantization) requires flash_attn",
        "a quantized cache of values (cache_type_v) needs flash attention, which is off",
        "use flash_attn=True, or leave it out; or cache_type_v='f16'",
        "llama-context.cpp",
    ),
    KnownFailure(
        "bad_argument",
        r"error while handling argument \"(?P<what>[^\"]+)\"",
        "the value of the argument {what} is wrong",
        "correct it; llama-server --help tells what it takes",
        "common/arg.cpp",
    ),
    KnownFailure(
        "port_in_use",
        r"couldn't bind|address already in use|bind: Address|another server answers on port",
        "the TCP port is taken",
        "choose another port, port=0 for a free one, or none for a unix socket",
        "tools/server/server-http.cpp; #26822 (Windows lets two servers share a port)",
    ),
    KnownFailure(
        "unknown_architecture",
        r"unknown model architecture: '?(?P<what>[^'\s]+)",
        "this llama.cpp build does not know the architecture {what}",
        "use a newer llama.cpp build",
        "llama-model-loader.cpp",
    ),
    KnownFailure(
        "not_gguf",
        r"invalid magic characters|not a (?:valid )?GGUF|failed to read magic",
        "the file is not a GGUF model",
        "give a .gguf file; convert other formats with llama.cpp's convert_hf_to_gguf.py",
        "gguf.cpp",
    ),
    KnownFailure(
        "truncated",
        r"data is not within the file bounds|corrupted or incomplete"
        r"|failed to read (?:key-value pairs|tensor info)",
        "the model file is cut short",
        "download or copy it again and compare its size",
        "llama-model-loader.cpp",
    ),
    KnownFailure(
        "tensors_do_not_match",
        r"missing tensor '(?P<what>[^']+)'|wrong number of tensors|has wrong shape",
        "the tensors in the file are not those this llama.cpp build expects",
        "use a newer llama.cpp build, or a file converted for this one",
        "llama-model-loader.cpp",
    ),
    KnownFailure(
        "file_not_found",
        r"failed to open (?:(?:GGUF |model )?file )?'(?P<what>[^']+)'",
        "the file {what} could not be opened",
        "check the path and its permissions",
        "gguf.cpp, llama-adapter.cpp",
    ),
    KnownFailure(
        "bad_chat_template",
        r"failed to initialize chat template|supplied chat template is not supported"
        r"|chat template parsing error",
        "the chat template cannot be used",
        "correct chat_template=; without it the template in the model file is used",
        "common/chat.cpp, common/arg.cpp",
    ),
)

# The server runs on without a GPU after these lines, so any other cause explains its end better.
WITHOUT_GPU: tuple[KnownFailure, ...] = (
    KnownFailure(
        "backend_not_loaded",
        r"load_backend: failed to load .*(?P<what>libggml-(?:hip|cuda|vulkan|sycl)\S*?\.so)"
        r"|backend \S*(?:hip|cuda|vulkan|sycl)\S* is not supported on this system"
        r"|load_backend: .*incompatible API version",
        "the GPU part of llama.cpp could not be loaded",
        "llama-server --list-devices shows the loader's words; install the missing ROCm "
        "libraries or reinstall the build whole",
        "ggml-backend-reg.cpp, docs/docker.md, ollama/ollama#12303",
    ),
    KnownFailure(
        "no_rocm_device",
        r"failed to initialize (?:ROCm|CUDA|HIP): (?P<what>.+)"
        r"|Could not initialize Tensile host:.*No devices found",
        "ROCm found no GPU that it can use",
        f"{_NO_DEVICE}; if all of it is right, the build's ROCm is newer than the driver",
        "#20142, lemonade-sdk/llamacpp-rocm#63, ollama/ollama#6423",
    ),
    KnownFailure(
        "no_usable_gpu",
        r"no usable GPU found|compiled without GPU support|not compiled with GPU offload support",
        "the build has no GPU support, or it could not be loaded",
        "use a ROCm or Vulkan build of llama-server (server_path=); llama-rocm doctor shows what "
        "this one has; gpu_layers=0 for the CPU",
        "common/arg.cpp, docs/docker.md, #9153",
    ),
)

KNOWN: tuple[KnownFailure, ...] = (
    *LOADER,
    *ACCESS,
    *KERNELS,
    *THREADS,
    *MEMORY,
    *DEVICES,
    *DOWNLOAD,
    *MODEL,
    *COMPANIONS,
    *UNSEEN,
    *WITHOUT_GPU,
)
