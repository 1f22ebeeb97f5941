"""Known failures of a download (``-hf org/repo[:quant]``), as rows of the table."""

from __future__ import annotations

from rocm_core.diagnosis.table.row import KnownFailure

DOWNLOAD: tuple[KnownFailure, ...] = (
    KnownFailure(
        "split_unsupported",
        ("sharded gguf",),
        r"sharded GGUF",
        "Ollama cannot download a model that is split into several files",
        "take a quantization in one file, join the parts (llama-gguf-split --merge) and import the "
        "file, or give llama-rocm the first part: llama.cpp loads split models",
        "unslothai/unsloth#3594, ollama/ollama#5245",
    ),
    KnownFailure(
        "hub_unreachable",
        ("get_repo_commit: error: httplib",),
        r"get_repo_commit: error: HTTPLIB failed: (?P<what>.+)",
        "the model could not be downloaded: {what}",
        "check the network and the proxy (HTTPS_PROXY, HF_ENDPOINT), or give the path of a .gguf "
        "file on this machine",
        "common/hf-cache.cpp",
        over=("not_downloaded",),
    ),
    KnownFailure(
        "no_repository",
        ("get_repo_commit: error: get failed",),
        r"get_repo_commit: error: GET failed \((?P<what>40[134])\)",
        "the hub refuses the repository (HTTP {what}): it does not exist, or is not public",
        "check the spelling of org/repo; for a private or gated one accept its terms and set "
        "HF_TOKEN",
        "common/hf-cache.cpp",
        over=("not_downloaded",),
    ),
    KnownFailure(
        "no_file_in_repository",
        ("no gguf files found in repository",),
        r"no GGUF files found in repository (?P<what>\S+)",
        "the repository {what} has no GGUF file of that quantization",
        "name one that it has (org/repo:QUANT), or none; the log lists its files",
        "common/download.cpp",
        over=("not_downloaded",),
    ),
    KnownFailure(
        "not_downloaded",
        ("exactly one out metadata", "'(not downloaded)'"),
        r"exactly one out metadata, path_model, and file must be defined"
        r"|failed to open GGUF file '\(not downloaded\)'",
        "the model is not on this machine, and was not downloaded",
        "allow the download (without --offline), or give the path of a .gguf file on this machine",
        "llama-model-loader.cpp; the path that the embedded engine gives a download",
        over=("file_not_found",),
    ),
)
