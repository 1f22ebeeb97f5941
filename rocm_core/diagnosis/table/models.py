"""Failures of a model's files: the model, its parts, adapters, projectors."""

from __future__ import annotations

from rocm_core.diagnosis.table.row import KnownFailure
from rocm_core.diagnosis.table.words import NEWER_BUILD

MODEL: tuple[KnownFailure, ...] = (
    KnownFailure(
        "split_part",
        ("gguf split", "split file", "must be loaded with the first split", "missing split"),
        r"failed to load GGUF split from (?P<what>\S+)"
        r"|(?:invalid|illegal) split file(?: idx)?: *(?P<file>[^,\s]+)"
        r"|must be loaded with the first split|missing split",
        "a part of a model that is split into several files is missing, or is not the first: "
        "{what}",
        "put all parts (…-00001-of-000NN.gguf and so on) under their published names into one "
        "directory, and name the first; parts that end in .part1of2 are joined with cat, the "
        "others never (llama-gguf-split --merge)",
        "llama-model-loader.cpp, #9613",
        over=("file_not_found", "not_gguf"),
    ),
    KnownFailure(
        "unknown_architecture",
        ("unknown model architecture", "unsupported model architecture"),
        r"(?:unknown|unsupported) model architecture: '?(?P<what>[^'\s\"]+)",
        "this llama.cpp build does not know the architecture {what}",
        NEWER_BUILD,
        "llama-model-loader.cpp",
    ),
    KnownFailure(
        "incomplete_vocabulary",
        ("error loading model vocabulary",),
        r"error loading model vocabulary: (?:_Map_base|(?:unordered_)?map)::at",
        "the vocabulary lacks a token that llama.cpp asks for: if general.name has phi-3 in it, "
        "<unk>, <s>, </s> or <|endoftext|>",
        "give a model that is no Phi-3 another name (--override-kv general.name=str:NAME)",
        "llama-vocab.cpp (llama_vocab::impl::load)",
    ),
    KnownFailure(
        "unknown_tokenizer",
        ("unknown pre-tokenizer", "unknown tokenizer"),
        r"unknown (?:pre-)?tokenizer(?: type)?: '(?P<what>[^']+)'",
        "this llama.cpp build does not know the tokenizer {what}",
        f"{NEWER_BUILD}; in LM Studio, Jan or Ollama update the runtime",
        "llama-vocab.cpp, #12021, ollama/ollama#4529, lmstudio-ai/configs#44",
    ),
    KnownFailure(
        "unknown_tensor_type",
        ("invalid ggml type", "unrecognized tensor type", "unknown tensor type"),
        r"has invalid ggml type (?P<what>\d+)|(?:unrecognized|unknown) tensor type (?P<type>\d+)",
        "the file has tensors of a type ({what}) that this build does not know: it is too old for "
        "the file, or the file was made for a fork",
        f"{NEWER_BUILD} (type 39, MXFP4, since b6096); or take another quantization",
        "ggml/src/gguf.cpp",
        over=("truncated",),
    ),
    KnownFailure(
        "gguf_version",
        ("bad gguf version", "this gguf file", "ggufv1 is no longer"),
        r"bad GGUF version|this GGUF file (?:is )?version (?P<what>\d+)|GGUFv1 is no longer",
        "this build cannot read that version of the GGUF format",
        f"{NEWER_BUILD}, or convert the file again",
        "ggml/src/gguf.cpp",
    ),
    KnownFailure(
        "not_gguf",
        (
            "invalid magic",
            "not a gguf",
            "not a valid gguf",
            "failed to read magic",
            "(magic, version)",
        ),
        r"invalid magic characters|not a (?:valid )?GGUF|failed to read magic"
        r"|unknown \(magic, version\) combination",
        "the file is not a GGUF model",
        "give a .gguf file; convert other formats with llama.cpp's convert_hf_to_gguf.py",
        "gguf.cpp",
    ),
    KnownFailure(
        "read_failed",
        ("read error:",),
        r"error loading model: read error: (?P<what>.+)",
        "the system could not read the model file: {what}",
        'look at dmesg for errors of the disk; try load_mode="mmap" if the file was read '
        "without, and the reverse; copy the file to a local disk",
        "lmstudio-ai/lmstudio-bug-tracker#1343, llama-mmap.cpp",
    ),
    KnownFailure(
        "truncated",
        (
            "not within the file bounds",
            "corrupted or incomplete",
            "failed to read key-value pairs",
            "failed to read tensor",
        ),
        r"data is not within the file bounds|corrupted or incomplete"
        r"|failed to read (?:key-value pairs|tensor (?:info|data))",
        "the model file is cut short",
        "download or copy it again and compare its size",
        "llama-model-loader.cpp, oobabooga/textgen#6080",
    ),
    KnownFailure(
        "bad_metadata",
        (
            "invalid gguf type",
            "key not found in model",
            "error loading model hyperparameters",
            "cannot find tokenizer",
        ),
        r"invalid gguf type for (?P<what>[\w.]+)|key not found in model: (?P<key>[\w.%]+)"
        r"|error loading model hyperparameters|cannot find tokenizer \w+ in model file",
        "the header of the file does not say what this build needs ({what})",
        f"download the file again if its publisher replaced it, or {NEWER_BUILD}",
        "llama-vocab.cpp, #27254",
    ),
    KnownFailure(
        "tensors_do_not_match",
        ("missing tensor", "wrong number of tensors", "has wrong shape"),
        r"missing tensor '(?P<what>[^']+)'|wrong number of tensors|has wrong shape",
        "the tensors in the file are not those this llama.cpp build expects",
        "use a newer llama.cpp build, or a file converted for this one",
        "llama-model-loader.cpp",
    ),
    KnownFailure(
        "file_not_found",
        ("failed to open",),
        r"failed to open (?:(?:GGUF |model )?file )?'(?P<what>[^']+)'",
        "the file {what} could not be opened",
        "check the path and its permissions",
        "gguf.cpp, llama-adapter.cpp",
        over=("bad_mmproj",),
    ),
    KnownFailure(
        "bad_lora",
        ("failed to apply lora adapter",),
        r"failed to apply lora adapter: (?P<what>.*\w)",
        "a file of lora= is no LoRA adapter for this model: {what}",
        "give an adapter in GGUF that was made for this model; convert others with llama.cpp's "
        "convert_lora_to_gguf.py",
        "llama-adapter.cpp",
    ),
    KnownFailure(
        "draft_vocabulary",
        ("draft model vocab", "draft vocab"),
        r"draft model vocab(?: type)? must match"
        r"|draft vocab\w* (?:is not|does not) (?:compatible|match)",
        "the draft model has another vocabulary than the model",
        "use a draft model of the same family (draft_model=), or none",
        "common/speculative.cpp, #3812, LostRuins/koboldcpp#2325",
        ends=False,
    ),
    KnownFailure(
        "unknown_projector",
        ("unknown projector type", "unsupported projector type"),
        r"(?:unknown|unsupported) projector type(?:: *(?P<what>[\w-]+))?",
        "this llama.cpp build does not know the multimodal projector's type: {what}",
        f"{NEWER_BUILD}, or load the model without mmproj= (it then takes text only)",
        "tools/mtmd/clip.cpp, #24120, #24567, #17138",
        over=("bad_mmproj",),
    ),
    KnownFailure(
        "bad_mmproj",
        ("failed to load clip model", "failed to load multimodal model"),
        r"failed to load CLIP model from (?P<what>.+)|failed to load multimodal model"
        r"(?:, '(?P<file>[^']+)')?",
        "the multimodal projector cannot be used by this build: {what}",
        "give the mmproj file that belongs to the model (mmproj=), or use a newer llama.cpp build",
        "tools/mtmd/mtmd.cpp",
    ),
)
