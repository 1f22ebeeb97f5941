"""Parts of sentences and patterns that several tables share."""

GROUPS = "sudo usermod -aG render,video $USER, then log in again"
CONTAINER = (
    "in a container pass --device /dev/kfd --device /dev/dri and the numeric group ids of both "
    '(--group-add "$(getent group render | cut -d: -f3)")'
)
OTHER_BUILD = (
    "use a llama.cpp build for it, or one with Vulkan; if it is an integrated GPU beside a "
    "card, choose the card with devices=; llama-rocm doctor lists what the build has"
)
LESS_VRAM = (
    "lower context_len, gpu_layers or parallel, quantize the KV cache "
    "(cache_type_k='q8_0', cache_type_v='q8_0', flash_attn=True), or use a smaller quantization"
)
NEWER_BUILD = "use a newer llama.cpp build"
# llama.cpp compiles its CUDA code for HIP: older builds print CUDA where newer ones print ROCm.
GPU_ERROR = r"(?:ROCm|CUDA|HIP) error\b.*"
