"""Failures of memory: the GPU's and the host's."""

from __future__ import annotations

from rocm_core.diagnosis.table.row import GPU_ERROR, LESS_VRAM, Cure, KnownFailure

MEMORY: tuple[KnownFailure, ...] = (
    KnownFailure(
        "too_many_files",
        ("too many open files",),
        r"too many open files",
        "the process may open no more files",
        "raise the limit: ulimit -n, LimitNOFILE of a systemd unit, docker run --ulimit nofile=…",
        "open(2), EMFILE",
    ),
    KnownFailure(
        "no_threads",
        ("resource temporarily unavailable", "can't start new thread"),
        r"(?:what\(\)|error|fork|retry): *Resource temporarily unavailable"
        r"|can't start new thread",
        "the machine lets this user or container start no more processes and threads",
        "end other programs, or raise the limit: ulimit -u, pids.max of the container "
        "(docker run --pids-limit), TasksMax of a systemd unit; fewer threads= need less",
        "pthread_create(3), EAGAIN; llama-server b11434 and xllamacpp b11549 under ulimit -u",
    ),
    KnownFailure(
        "killed_for_memory",
        (
            "killed by the oom killer",
            "oom-kill",
            "oomkilled",
            "oom_kill",
            "killed process",
            "systemd-oomd killed",
        ),
        r"killed by the OOM killer|\boom-kill\b(?!:)|\boom_kill\b|OOMKilled|systemd-oomd killed"
        r"|oom-kill:.*\btask=[^,]*(?:llama|lmstudio|python)"
        r"|Killed process \d+ \((?P<what>[^)]*(?:llama|ollama|lmstudio|python)[^)]*)\)",
        "the kernel ended it because memory ran out",
        "lower context_len, parallel or gpu_layers=-1's rest on the host, use a smaller "
        "quantization, bound the host prompt cache (prompt_cache=), or raise the container's limit",
        "#22629, #20509",
        over=("killed", "out_of_memory", "vram_short"),
    ),
    KnownFailure(
        "killed",
        (
            "code 137",
            "code: 137",
            "status 137",
            "signal: killed",
            "killed",
            "sigkill",
        ),
        r"\b(?:code 137|code: 137|status 137)\b|signal: killed|^Killed$|Killed: 9"
        r"|\b(?:zsh|bash|sh): killed\b|\bSIGKILL\b|: line \d+: +\d+ Killed\b",
        "it was killed (SIGKILL), often by the kernel's out-of-memory killer",
        "look at dmesg (llama-rocm explain reads it); lower context_len, bound the host prompt "
        "cache (prompt_cache=), or use a smaller model",
        "vectorch-ai/ScaleLLM#38, tscibilia/home-ops#3446",
    ),
    KnownFailure(
        "vmm_broken",
        ("hipvmm failure",),
        r"HipVMM Failure",
        "the virtual memory pool of this HIP build fails on this driver",
        "use a build made with GGML_HIP_NO_VMM=ON",
        "#11405, #18650, YellowRoseCx/koboldcpp-rocm#105",
        backend="hip",
        versions="ROCm 7.1 and others; builds without VMM (the default since b4700) have it not",
        over=("gpu_out_of_memory",),
        cures=(Cure("llama.cpp", "b4700"),),
    ),
    KnownFailure(
        "vulkan_allocation_limit",
        ("requested buffer size exceeds", "maxmemoryallocationsize"),
        r"Requested buffer size exceeds device (?:memory allocation|buffer size) limit",
        "one buffer is larger than the Vulkan driver gives in one piece (often 2 or 4 GiB), "
        "however much memory is free",
        "lower context_len or the batch (extra_args=['-ub', '256']), set flash_attn=True, or "
        "update the driver; a HIP build has no such limit",
        "#12728, #13024",
        backend="vulkan",
        over=("vram_short", "weights_do_not_fit", "out_of_memory"),
    ),
    KnownFailure(
        "weights_do_not_fit",
        ("unable to allocate",),
        r"error loading model: unable to allocate (?P<what>(?:ROCm|CUDA|Vulkan|SYCL|MTL)\w*"
        r"|backend) buffer",
        "there is not enough memory on the GPU for the weights",
        "lower gpu_layers or use a smaller quantization; on an APU raise the kernel's limit "
        "(ttm.pages_limit); llama-rocm fit MODEL says what fits",
        "#20431, #7366, #22368, #18764, ollama/ollama#7556",
        over=("vram_short", "out_of_memory", "gpu_out_of_memory"),
    ),
    KnownFailure(
        "vram_short",
        (
            "malloc failed: out of memory",
            "erroroutofdevicememory",
            "failed to allocate",
            "device memory allocation of size",
            "out_of_device_memory",
            "no suitable memory type found",
        ),
        r"(?:cuda|hip)Malloc failed: out of memory|ErrorOutOfDeviceMemory"
        r"|failed to allocate (?:ROCm|CUDA|Vulkan|SYCL|MTL)\d+ buffer"
        r"|Device memory allocation of size \d+ failed|OUT_OF_DEVICE_MEMORY"
        r"|no suitable memory type found",
        "there is not enough memory on the GPU for the context",
        f"{LESS_VRAM}; llama-rocm fit MODEL says what fits",
        "#16725, #12817, ollama/ollama#13029, ikawrakow/ik_llama.cpp#1289",
        over=("out_of_memory", "gpu_out_of_memory"),
    ),
    KnownFailure(
        "gpu_out_of_memory",
        (
            "out of memory",
            "hiperroroutofmemory",
            "callbackerroroutofmemory",
            "result_error_out_of_device",
        ),
        rf"{GPU_ERROR}out of memory|hipErrorOutOfMemory|HIP out of memory"
        r"|CallbackErrorOutOfMemory|RESULT_ERROR_OUT_OF_DEVICE_MEMORY",
        "there is not enough memory on the GPU while it works",
        f"{LESS_VRAM}; end other programs that use the GPU; if it is the processor's own GPU "
        "beside a card, leave it out (devices=)",
        "ollama/ollama#3765, #14787, #8618",
        over=("out_of_memory",),
    ),
    KnownFailure(
        "out_of_memory",
        (
            "bad_alloc",
            "insufficient memory",
            "defaultallocator",
            "to allocate",
            "outofhostmemory",
            "requires more system memory",
            "not have enough available memory",
            "out_of_host_memory",
            "cannot allocate memory",
            "memoryerror",
            "not enough memory",
            "paging file is too small",
            "memory allocation of ",
            "out of memory",
            "insufficient system resources",
            "winerror 1455",
        ),
        r"bad_alloc|ggml_aligned_malloc: insufficient memory|defaultAllocator"
        r"|ErrorOutOfHostMemory|OUT_OF_HOST_MEMORY|requires more system memory"
        r"|not have enough available memory"
        r"|(?:failed|unable) to allocate (?:CPU\w*|Host|compute \w*|KV|buffer|memory)"
        r"|failed to allocate buffer for kv cache"
        r"|^(?!.*(?:mlock|pinned|/dev/kfd|TLS block)).*Cannot allocate memory|\bMemoryError\b"
        r"|not enough memory|paging file is too small|WinError 1455"
        r"|memory allocation of \d+ bytes failed"
        r"|runtime: out of memory|heap out of memory|insufficient system resources",
        "there is not enough memory for the model and its context",
        "lower context_len, gpu_layers or parallel, or use a smaller quantization",
        "ggml.c, llama-kv-cache.cpp",
    ),
)
