"""Known failures of the files that go with a model (adapter, projector), as rows of the table."""

from __future__ import annotations

from rocm_core.diagnosis.failure_row import KnownFailure

COMPANIONS: tuple[KnownFailure, ...] = (
    KnownFailure(
        "bad_lora",
        r"failed to apply lora adapter: (?P<what>.*\w)",
        "a file of lora= is no LoRA adapter for this model: {what}",
        "give an adapter in GGUF that was made for this model; convert others with llama.cpp's "
        "convert_lora_to_gguf.py",
        "llama-adapter.cpp",
    ),
    KnownFailure(
        "bad_mmproj",
        r"failed to load CLIP model from (?P<what>.+)",
        "the file {what} is no multimodal projector that this build can use",
        "give the mmproj file that belongs to the model (mmproj=), or use a newer llama.cpp build",
        "tools/mtmd/mtmd.cpp",
    ),
)
