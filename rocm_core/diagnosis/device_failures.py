"""Known failures of choosing and sharing devices, as rows of the table."""

from __future__ import annotations

from rocm_core.diagnosis.failure_row import KnownFailure

DEVICES: tuple[KnownFailure, ...] = (
    KnownFailure(
        "no_split_buffers",
        r"device (?P<what>\S+) does not support split buffers",
        "{what} cannot share a model by rows: its back end has no split buffers",
        "use split_mode='layer' (the default), or a HIP build for split_mode='row'",
        "llama-model.cpp; Vulkan, b10434",
    ),
    KnownFailure(
        "main_gpu_missing",
        r"invalid value for main_gpu: (?P<what>\d+ \(available devices: \d+\))",
        "there is no device of the number that main_gpu names: {what}",
        "count main_gpu from 0 among the devices that the load uses, or leave it out; with "
        "devices= name the one GPU instead",
        "llama.cpp, llama_prepare_model_devices",
    ),
    KnownFailure(
        "operation_impossible",
        r"pre-allocated tensor \((?P<what>.*)\) in a buffer \(.*\) that cannot run the operation",
        "the device that has the tensor {what} cannot compute with it",
        "of a tensor cache_k or cache_v: leave cache_type_k and cache_type_v out, or set "
        "flash_attn=True; of another: keep the draft model on the GPUs of the model, and take "
        "--override-tensor out of extra_args; or use another build",
        "#13684, ggml-backend.cpp",
    ),
)

# The server runs on without the device.
UNSEEN: tuple[KnownFailure, ...] = (
    KnownFailure(
        "vulkan_index",
        r"Invalid device index (?P<what>\d+) in GGML_VK_VISIBLE_DEVICES",
        "GGML_VK_VISIBLE_DEVICES names device {what}, which the Vulkan loader does not have",
        "unset it, or count from 0 among the devices of vulkaninfo --summary",
        "ggml-vulkan.cpp",
    ),
)
