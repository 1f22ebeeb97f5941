"""Failures of ROCm: code for the wrong GPU, faults of the GPU, its libraries and its driver."""

from __future__ import annotations

from rocm_core.diagnosis.table.row import GPU_ERROR, OTHER_BUILD, Cure, KnownFailure

KERNELS: tuple[KnownFailure, ...] = (
    KnownFailure(
        "no_code_object",
        ("no compatible code objects",),
        r"No compatible code objects found for: (?P<gfx>gfx\w+)",
        "the build has no code for {gfx}",
        OTHER_BUILD,
        "#19949",
        backend="hip",
        over=(
            "no_kernel_image",
            "invalid_kernel_image",
            "invalid_device_function",
            "gpu_page_fault",
        ),
    ),
    KnownFailure(
        "no_rocblas_kernels",
        ("tensilelibrary", "could not initialize tensile library"),
        # hipBLASLt's message has quotes, and rocBLAS goes on without it.
        r"(?:rocBLAS error: |\berror: ?)(?:Cannot read|Could not load) [^\"]*TensileLibrary\S*"
        r"(?:.*for GPU arch *: *(?P<gfx>gfx\w+))?|Could not initialize Tensile library",
        "the rocBLAS in use has no kernels for {gfx}",
        OTHER_BUILD,
        "#14421, ROCm/Tensile#1936, ROCm/rocBLAS#1397, iacopPBK/llama.cpp-gfx906#12, "
        "ROCm/rocm-libraries#2653 (what each ROCm has)",
        backend="hip",
        over=("no_kernel_image", "invalid_kernel_image", "invalid_device_function", "blas_failed"),
        cures=(
            Cure("ROCm", "6.3", sign="gfx120[01]"),
            Cure("ROCm", "7.0", sign="gfx1150"),
            Cure("ROCm", "7.1", sign="gfx1103"),
        ),
    ),
    KnownFailure(
        "no_kernel_image",
        ("no kernel image", "hiperrornobinaryforgpu", "shared object init"),
        r"no kernel image is available for execution|hipErrorNoBinaryForGpu"
        rf"|{GPU_ERROR}shared object initialization failed",
        "the build has no code for this GPU, or lies under a path with a space",
        f"{OTHER_BUILD}; move the build to a path without spaces",
        "YellowRoseCx/koboldcpp-rocm#148, ollama/ollama#8765",
        backend="hip",
        over=("invalid_device_function", "gpu_reset", "gpu_page_fault"),
    ),
    KnownFailure(
        "invalid_kernel_image",
        (
            "device kernel image is invalid",
            "hsa_status_error_invalid_",
            "hsa_status_error_illegal_instruction",
            "aborting with status: 0x10",
        ),
        r"device kernel image is invalid|HSA_STATUS_ERROR_INVALID_(?:CODE_OBJECT|ISA)"
        r"|HSA_STATUS_ERROR_ILLEGAL_INSTRUCTION|aborting with status: 0x10(?:0f|10|2a)",
        "the build's code does not run on the chosen GPU",
        f"{OTHER_BUILD}; unset HSA_OVERRIDE_GFX_VERSION",
        "#23934, lemonade-sdk/llamacpp-rocm#92, ROCm/legacy-rocm-build#6042, "
        "oobabooga/textgen#7319",
        backend="hip",
        over=("invalid_device_function", "gpu_reset", "gpu_page_fault"),
    ),
    KnownFailure(
        "invalid_device_function",
        ("invalid device function", "hiperrorinvaliddevicefunction", "named symbol not found"),
        r"invalid device function|hipErrorInvalidDeviceFunction|named symbol not found",
        "the build was not compiled for this GPU",
        f"{OTHER_BUILD}; unset HSA_OVERRIDE_GFX_VERSION",
        "#8504, #3320, #14370, #16795, abetlen/llama-cpp-python#1008",
        backend="hip",
        over=("gpu_page_fault",),
    ),
    KnownFailure(
        "blas_failed",
        ("cublas_status_", "hipblas_status_", "rocblas_status_", "tensile solution found"),
        r"(?P<what>(?:CU|HIP|roc)BLAS_STATUS_(?!SUCCESS)\w+)|Tensile solution found, but exception",
        "ROCm's library for matrices failed on this GPU ({what}): it does not fit the card or "
        "the driver",
        "use the ROCm version that the build was made for, or another llama.cpp build (with "
        "Vulkan, it needs no such library); unset HSA_OVERRIDE_GFX_VERSION",
        "#15244, ROCm/legacy-rocm-build#5534, lmstudio-ai/lmstudio-bug-tracker#1394",
        backend="hip",
        versions="seen with ROCm 6.2 (Arch), 6.4 on gfx1032, and 7.0 to 7.12 on gfx1151",
    ),
    KnownFailure(
        "illegal_memory_access",
        ("illegal memory access", "hiperrorillegaladdress"),
        r"an illegal memory access was encountered|hipErrorIllegalAddress",
        "the GPU's code touched memory that is not its own: a bug of this build or this ROCm",
        "use another llama.cpp build (newer, or with Vulkan); on gfx1151 and newer also a newer "
        "kernel and ROCm",
        "llama.cpp ggml-cuda.cu",
        backend="hip",
        over=("gpu_reset",),
    ),
    KnownFailure(
        "gpu_page_fault",
        (
            "memory access fault by gpu",
            "memory critical error by agent",
            "gfxhub",
            "hsa_status_error_memory_",
        ),
        r"Memory access fault by GPU node-\d+|Memory critical error by agent"
        r"|HSA_STATUS_ERROR_MEMORY_(?:APERTURE_VIOLATION|FAULT)"
        r"|gfxhub\d*\]? page fault",
        "the GPU touched memory that is not there: a wrong HSA_OVERRIDE_GFX_VERSION, or a bug of "
        "driver or firmware",
        "unset HSA_OVERRIDE_GFX_VERSION; update kernel, firmware and ROCm",
        "ollama/ollama#12131, #8851 there, ROCm/legacy-rocm-build#4554",
        backend="hip",
        over=("gpu_reset",),
    ),
    KnownFailure(
        "gpu_reset",
        (
            "unspecified launch failure",
            "hiperrorlaunchfailure",
            "hsa_status_error_exception",
            "the launch timed out",
        ),
        rf"{GPU_ERROR}unspecified launch failure|hipErrorLaunchFailure"
        r"|HSA_STATUS_ERROR_EXCEPTION|the launch timed out and was terminated",
        "the GPU failed in the middle of its work and was reset",
        "start again; if it returns, update kernel and firmware, or use a Vulkan build",
        "lemonade-sdk/llamacpp-rocm#122",
        backend="hip",
    ),
    KnownFailure(
        "hsa_out_of_resources",
        ("hsa_status_error_out_of_resources", "call returned 4104"),
        r"HSA_STATUS_ERROR_OUT_OF_RESOURCES|hsa api call failure.*Call returned 4104",
        "ROCm's runtime cannot start on this machine: the driver gives it no GPU, or ran out of "
        "queues after many loads",
        "check sudo dmesg | grep kfd (a card may be left out) and the permissions of /dev/kfd; if "
        "it worked before, restart the machine",
        "ROCm/legacy-rocm-build#95, #1064 and #4382 there",
        backend="hip",
    ),
    KnownFailure(
        "rpc_server_lost",
        ("remote rpc server", "failed to connect to", "rpc server version mismatch"),
        r"Remote RPC server crashed|RPC server version mismatch"
        r"|\bFailed to connect to (?P<what>(?:RPC|[\d.]+:\d+|\S+:500\d\d)\S*)",
        "a machine of rpc_servers does not answer, ended, or runs another llama.cpp build: {what}",
        "look at the log of its rpc-server (out of memory there?); use the same build on every "
        "machine; leave it out of rpc_servers",
        "ggml-rpc.cpp, #14076, #15055",
    ),
    KnownFailure(
        "operation_impossible",
        ("that cannot run the operation",),
        r"pre-allocated tensor \((?P<what>.*)\) in a buffer \(.*\) that cannot run the operation",
        "the device that has the tensor {what} cannot compute with it",
        "of a tensor cache_k or cache_v: leave cache_type_k and cache_type_v out, or set "
        "flash_attn=True; of another: keep the draft model on the GPUs of the model, and take "
        "--override-tensor out of extra_args; or use another build",
        "#13684, ggml-backend.cpp",
    ),
    KnownFailure(
        "driver_too_old",
        ("failed to finish discovery before timeout",),
        r"failed to finish discovery before timeout",
        "the GPU did not answer in time: the kernel driver is often older than the ROCm build",
        "update the kernel or the amdgpu driver",
        "ollama docs/troubleshooting",
        backend="hip",
        ends=False,
    ),
    KnownFailure(
        "memory_unknown",
        (
            "hipmemgetinfo(",
            "cuda_get_device_memory at",
            "cuda_device_get_memory at",
            "failed to get memory info",
        ),
        r"hipMemGetInfo\(|ggml_backend_cuda_(?:device_get_memory|get_device_memory) at"
        r"|failed to get memory info",
        "ROCm sees the card but cannot ask it for its memory: the kernel's driver and this ROCm do "
        "not fit together, or the card is one that this ROCm no longer supports",
        "update the kernel or the amdgpu driver, or use a build with an older ROCm (gfx803 to "
        "gfx906), or with Vulkan",
        "ollama/ollama#3840, robertrosenbusch/gfx803_rocm#49",
        backend="hip",
        over=("probe_crashed",),
    ),
    KnownFailure(
        "probe_crashed",
        (
            "failure during gpu discovery",
            "error surveying hardware",
            "survey was unsuccessful",
            "survey unsuccessful",
            "survey software was unsuccessful",
        ),
        r"failure during GPU discovery"
        r"|error surveying hardware|survey (?:was |software was )?unsuccessful",
        "looking for GPUs crashed: the driver, or a GPU that this ROCm no longer supports",
        "keep the GPU out with ROCR_VISIBLE_DEVICES, use another build, or the CPU (gpu_layers=0)",
        "ollama/ollama#12774, #13070 and #15762 there",
        backend="hip",
        ends=False,
    ),
)

# The server runs on without a GPU after these lines, so any other cause explains its end better.
WITHOUT_GPU: tuple[KnownFailure, ...] = (
    KnownFailure(
        "backend_not_loaded",
        ("load_backend", "is not supported on this system"),
        r"load_backend: failed to load .*"
        r"(?P<what>(?:lib)?ggml-(?:hip|cuda|vulkan|sycl)\S*?\.(?:so|dll))"
        r"|backend \S*(?:hip|cuda|vulkan|sycl)\S* is not supported on this system"
        r"|load_backend: .*incompatible API version",
        "the GPU part of llama.cpp could not be loaded",
        "llama-server --list-devices shows the loader's words; install the missing ROCm "
        "libraries or reinstall the build whole",
        "ggml-backend-reg.cpp, docs/docker.md, ollama/ollama#12303",
        over=("no_usable_gpu", "no_rocm_device"),
    ),
    KnownFailure(
        "igpu_dropped",
        ("dropping integrated gpu",),
        r"dropping integrated GPU.*?(?:description=\"(?P<what>[^\"]+)\"|$)",
        "Ollama (0.30 and newer) leaves an integrated GPU out on purpose: {what}",
        "set OLLAMA_IGPU_ENABLE=1 for Ollama's server; llama-rocm uses such a GPU if it is the "
        "only one, or with devices=",
        "ollama/ollama#16690, SirUli/homeassistant-ollama-addon#319",
        versions="Ollama 0.30 and newer; gfx1151 is kept, others only with the variable",
        cures=(Cure("Ollama", "0.30.2", since="0.30.0", sign="gfx1151"),),
        over=("no_rocm_device", "no_usable_gpu"),
        ends=False,
    ),
    KnownFailure(
        "igpu_masked",
        ("rocm integrated gpu detected",),
        r"ROCm integrated GPU detected - (?P<what>ROCR_VISIBLE_DEVICES=\S+\b)",
        "an early Ollama hides the integrated GPU by {what}, and can hide the card instead: it "
        "counts the GPUs in another order than ROCm",
        "set ROCR_VISIBLE_DEVICES to the card's number yourself, or update Ollama",
        "ollama/ollama#2277, #2869 there, ollama/ollama#2749",
        backend="hip",
        versions="Ollama 0.1.22 to 0.1.28",
        over=("no_rocm_device", "no_usable_gpu", "gpu_memory_too_small"),
        ends=False,
        cures=(Cure("Ollama", "0.1.29"),),
    ),
    KnownFailure(
        "gpu_memory_too_small",
        (
            "not enough vram available, falling back",
            "too little memory to allocate any layers",
            "insufficient vram to load any model layers",
        ),
        r"not enough vram available, falling back to CPU|too little memory to allocate any layers"
        r"|insufficient VRAM to load any model layers",
        "Ollama finds too little free memory on the GPU for one layer, and runs the model on the "
        "CPU",
        "an integrated GPU has the memory that the firmware's setup gives it (UMA frame buffer), "
        "and newer kernels and versions of Ollama count the shared memory too: update both; with "
        "a card, end what holds its memory",
        "ollama/ollama#2566, #738 there, MooreThreads/ollama-musa#22",
        ends=False,
    ),
    KnownFailure(
        "igpu_memory",
        ("unsupported radeon igpu detected",),
        r"unsupported Radeon iGPU detected",
        "older versions of Ollama leave out an integrated GPU with less than 1 GiB of memory",
        "update Ollama, or give the GPU 1 GiB or more in the firmware's setup (UMA frame buffer)",
        "ollama/ollama#4836",
        backend="hip",
        over=("no_rocm_device", "no_usable_gpu"),
        ends=False,
    ),
    KnownFailure(
        "gpu_not_supported",
        (
            "amdgpu is not supported",
            "filtering device which",
            "amdgpu too old",
            "no compatible rocm gpus found",
        ),
        r"amdgpu is not supported.*?(?:gpu_type=(?P<gfx>gfx\w+)|$)"
        r"|filtering device which didn't fully initialize|amdgpu too old (?P<old>gfx\w+)"
        r"|No compatible ROCm GPUs found",
        "the program's ROCm libraries have no code for {gfx}, so it is left out",
        f"{OTHER_BUILD}; remove HSA_OVERRIDE_GFX_VERSION if it is set",
        "likelovewant/ollama-for-amd#67, ollama/ollama#14562, ollama/ollama#13061",
        backend="hip",
        over=("no_rocm_device", "no_usable_gpu"),
        ends=False,
        cures=(Cure("Ollama", "0.12.11", since="0.12.6", sign="fully initialize"),),
    ),
    KnownFailure(
        "no_rocm_library",
        ("no compatible rocm library found", "no suitable rocm found"),
        r"no compatible rocm library found|no suitable rocm found",
        "Ollama found the card, but no ROCm libraries that it can use",
        "install Ollama's ROCm archive (ollama-linux-amd64-rocm) or the distribution's ollama-rocm",
        "whyvl/ollama-vulkan#15, NixOS/nixpkgs#375910",
        backend="hip",
        over=("no_rocm_device", "no_usable_gpu"),
        ends=False,
    ),
    KnownFailure(
        "cuda_driver",
        ("cuda driver version is insufficient", "forward compatibility was attempted"),
        r"CUDA driver version is insufficient|forward compatibility was attempted",
        "this is a CUDA build, and the NVIDIA driver is older than it needs",
        "update the NVIDIA driver; for an AMD card use a ROCm or Vulkan build",
        "ggml-cuda.cu, #24418",
        over=("no_rocm_device", "no_usable_gpu"),
        ends=False,
    ),
    KnownFailure(
        "no_rocm_device",
        (
            "failed to initialize",
            "could not initialize tensile host",
            "no compatible gpus",
            "no hip devices found",
            "no hip gpus are available",
            "hiperrornodevice",
            "hsa_init failed",
            "rock module is not loaded",
        ),
        r"failed to initialize (?:ROCm|CUDA|HIP): (?P<what>.+)"
        r"|Could not initialize Tensile host:.*No devices found"
        r"|no compatible GPUs were discovered|No hip devices found"
        r"|No HIP GPUs are available|hipErrorNoDevice|hsa_init Failed"
        r"|ROCk module is NOT loaded",
        "ROCm found no GPU that it can use",
        "check that /dev/kfd exists and is yours to use (sudo usermod -aG render,video $USER, then "
        "log in again); in a container pass --device /dev/kfd --device /dev/dri; unset "
        "ROCR_VISIBLE_DEVICES and HIP_VISIBLE_DEVICES; llama-rocm doctor names the reason; if all "
        "of it is right, the build's ROCm is newer than the driver",
        "#20142, lemonade-sdk/llamacpp-rocm#63, lemonade-sdk/llamacpp-rocm#3, ollama/ollama#6423",
        backend="hip",
        over=("no_usable_gpu",),
    ),
    KnownFailure(
        "no_usable_gpu",
        ("no usable gpu found", "compiled without gpu support", "not compiled with gpu offload"),
        r"no usable GPU found|compiled without GPU support|not compiled with GPU offload support",
        "the build has no GPU support, or it could not be loaded",
        "use a ROCm or Vulkan build of llama-server (server_path=); llama-rocm doctor shows what "
        "this one has; gpu_layers=0 for the CPU",
        "common/arg.cpp, docs/docker.md, #9153, mozilla-ai/llamafile#965",
        ends=False,
    ),
)
