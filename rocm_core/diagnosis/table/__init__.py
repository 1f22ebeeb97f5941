"""Known failures of llama.cpp, ROCm, Vulkan and the kernel, as data: log line → cause → remedy.

Sources are public threads as ``repository#number`` (``ggml-org/llama.cpp`` unless another
repository is named), or the source file or document that has the line.

Stages are in the order in which a failure of one explains an end better than one of the next:
what comes earlier on the way from a program to its answer is the reason of what comes later.
"""

from __future__ import annotations

from rocm_core.diagnosis.table.access import ACCESS, KERNEL
from rocm_core.diagnosis.table.crashes import CRASH, ENDED
from rocm_core.diagnosis.table.downloads import DOWNLOAD
from rocm_core.diagnosis.table.loading import LOADER, PROCESSOR
from rocm_core.diagnosis.table.memory import MEMORY
from rocm_core.diagnosis.table.models import MODEL
from rocm_core.diagnosis.table.options import ARGUMENTS
from rocm_core.diagnosis.table.requests import REQUEST, TEMPLATE
from rocm_core.diagnosis.table.rocm import KERNELS, WITHOUT_GPU
from rocm_core.diagnosis.table.row import KnownFailure, Stage
from rocm_core.diagnosis.table.vulkan import NO_VULKAN, VULKAN

__all__ = ["ENVIRONMENT", "KEEPS_GPU_AWAY", "KNOWN", "STAGES", "KnownFailure", "Stage"]

ENVIRONMENT: tuple[KnownFailure, ...] = (
    KnownFailure(
        "bad_gfx_override",
        ("hsa_override_gfx_version",),
        r"HSA_OVERRIDE_GFX_VERSION (?P<what>\S*) is invalid",
        "HSA_OVERRIDE_GFX_VERSION={what} is not of the form major.minor.step",
        "unset it, or write it like 10.3.0, without quotes",
        "libhsakmt topology.c",
        backend="hip",
        over=("wrong_gfx_override", "gpus_hidden"),
    ),
)

STAGES: tuple[Stage, ...] = (
    Stage(
        "processor",
        "The processor",
        "the processor refused an instruction, which ends a program at once",
        PROCESSOR,
    ),
    Stage(
        "loader",
        "Starting the program",
        "a program that cannot be loaded never comes to what a later stage does",
        LOADER,
    ),
    Stage(
        "arguments",
        "Arguments and address",
        "the server refuses its arguments whatever model and GPU there are",
        ARGUMENTS,
    ),
    Stage(
        "model",
        "Model files",
        "a file that cannot be used ends the load whatever GPU there is",
        (*DOWNLOAD, *MODEL, *TEMPLATE),
    ),
    Stage(
        "kernel",
        "The kernel and the card",
        "what the kernel refuses or resets, no program above it can use",
        KERNEL,
    ),
    Stage(
        "access",
        "Device files and containers",
        "without the device files no library sees a GPU",
        ACCESS,
    ),
    Stage(
        "environment",
        "Variables of the environment",
        "a variable decides which GPU the libraries see, and what they take it for",
        ENVIRONMENT,
    ),
    Stage(
        "device",
        "The GPU at work",
        "a GPU whose code or driver fails makes what follows fail",
        (*KERNELS, *VULKAN),
    ),
    Stage("memory", "Memory", "the process ended for want of memory", MEMORY),
    Stage("request", "Requests", "the server says so of one request, not of itself", REQUEST),
    Stage(
        "degraded",
        "Running without a GPU",
        "the server runs on without a GPU after such a line",
        (*NO_VULKAN, *WITHOUT_GPU),
    ),
    Stage("crash", "Crashes", "a crash says more than that the program is gone", CRASH),
    Stage("ended", "Seen from outside", "it alone says nothing of its cause", ENDED),
)

KNOWN: tuple[KnownFailure, ...] = tuple(row for stage in STAGES for row in stage.rows)

# Failures after which a server still starts, but without a GPU.
KEEPS_GPU_AWAY: tuple[KnownFailure, ...] = (
    *LOADER,
    *ENVIRONMENT,
    *ACCESS,
    *KERNEL,
    *KERNELS,
    *NO_VULKAN,
    *WITHOUT_GPU,
)
