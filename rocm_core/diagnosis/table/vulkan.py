"""Failures of Vulkan: its loader, its drivers, its limits."""

from __future__ import annotations

from rocm_core.diagnosis.table.row import Cure, KnownFailure

_DRIVER = (
    "install the card's Vulkan driver (mesa-vulkan-drivers, vulkan-radeon); in a container pass "
    "--device /dev/dri and the group of /dev/dri/renderD* by number, and use an image whose Mesa "
    "knows the card; vulkaninfo --summary shows what the loader sees"
)

VULKAN: tuple[KnownFailure, ...] = (
    KnownFailure(
        "device_lost",
        (
            "errordevicelost",
            "devicelosterror",
            "ggml_vulkan: device lost",
            "device_lost",
            "ggml_vulkan: device fault",
            "waitforfences error",
        ),
        r"ErrorDeviceLost|DeviceLostError|VK_ERROR_DEVICE_LOST"
        r"|ggml_vulkan: device (?:lost|fault) on|ggml_vulkan: waitForFences error",
        "the GPU stopped answering Vulkan, mostly because one step took longer than the driver "
        "allows, and was reset",
        "lower the batch (extra_args=['-ub', '256']) and context_len; update Mesa, kernel and "
        "linux-firmware; sudo dmesg | grep amdgpu names the ring that timed out; raise the "
        "driver's limit with amdgpu.lockup_timeout",
        "#13248, #19955, #21724, #25664, #27076",
        backend="vulkan",
    ),
    KnownFailure(
        "vulkan_unsupported_device",
        ("does not support 16-bit storage", "unsupported device", "errorextensionnotpresent"),
        r"device (?P<what>\S+) does not support 16-bit storage"
        r"|error loading model: unsupported device\b|createDevice: ErrorExtensionNotPresent",
        "Vulkan sees a GPU, {what}, whose driver lacks what llama.cpp needs (16-bit storage, or "
        "an extension)",
        "update the driver; choose another GPU with devices= (GGML_VK_VISIBLE_DEVICES), or the "
        "CPU (gpu_layers=0)",
        "#27723, #14559, ggml-vulkan.cpp",
        backend="vulkan",
        versions="such a device beside a better one is left out since b6500 (PR 15976)",
        cures=(Cure("llama.cpp", "b6500"),),
    ),
    KnownFailure(
        "vulkan_too_old",
        ("ggml_vulkan: error: vulkan 1", "vulkan 1.2 required"),
        r"ggml_vulkan: Error: Vulkan (?P<what>1\.\d) required|Vulkan (?P<min>1\.2) required",
        "the Vulkan driver is too old: llama.cpp needs {what}",
        "update Mesa or the driver; in a container update the image",
        "ggml-vulkan.cpp",
        backend="vulkan",
    ),
    KnownFailure(
        "vulkan_pipeline",
        ("compute pipeline creation failed", "shared memory size too small"),
        r"Compute pipeline creation failed for (?P<what>\S+)|Shared memory size too small",
        "the Vulkan driver cannot compile a program of llama.cpp ({what})",
        "update Mesa or the driver, or use another llama.cpp build",
        "ggml-vulkan.cpp",
        backend="vulkan",
    ),
)

# The server runs on without a GPU, or without that device.
NO_VULKAN: tuple[KnownFailure, ...] = (
    KnownFailure(
        "vulkan_no_driver",
        (
            "errorincompatibledriver",
            "error_incompatible_driver",
            "could not get 'vkcreateinstance'",
            "found no drivers",
            "enumeratephysicaldevices: errorinitializationfailed",
            "vkenumeratephysicaldevices failed",
            "failed to detect any valid gpus",
            "failed to createinstance in icd",
        ),
        r"ErrorIncompatibleDriver|ERROR_INCOMPATIBLE_DRIVER|Could not get 'vkCreateInstance'"
        r"|Found no drivers|enumeratePhysicalDevices: ErrorInitializationFailed"
        r"|vkEnumeratePhysicalDevices failed|Failed to detect any valid GPUs"
        r"|Failed to CreateInstance in ICD",
        "the Vulkan loader has no driver that works",
        _DRIVER,
        "ggml-vulkan.cpp, Vulkan-Loader",
        backend="vulkan",
        over=("vulkan_no_devices", "no_usable_gpu", "no_rocm_device"),
    ),
    KnownFailure(
        "vulkan_no_devices",
        ("ggml_vulkan: no devices found", "no vulkan devices"),
        r"ggml_vulkan: No devices found|no Vulkan devices (?:were )?found",
        "the Vulkan loader sees no GPU",
        _DRIVER,
        "ggml-vulkan.cpp",
        backend="vulkan",
        over=("no_usable_gpu", "no_rocm_device"),
    ),
    KnownFailure(
        "vulkan_index",
        (
            "ggml_vk_visible_devices",
            "invalid vulkan device index",
            "ggml_vulkan: device with index",
        ),
        r"Invalid device index (?P<what>\d+) in GGML_VK_VISIBLE_DEVICES"
        r"|Invalid Vulkan device index"
        r"|ggml_vulkan: Device with index (?P<index>\d+) does not exist",
        "GGML_VK_VISIBLE_DEVICES names device {what}, which the Vulkan loader does not have",
        "unset it, or count from 0 among the devices of vulkaninfo --summary",
        "ggml-vulkan.cpp",
        backend="vulkan",
        over=("vulkan_no_devices", "no_usable_gpu"),
    ),
)
