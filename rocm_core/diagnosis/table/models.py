"""Failures of a model's files: the model, its parts, adapters, projectors."""

from __future__ import annotations

from rocm_core.diagnosis.table.row import NEWER_BUILD, Cure, KnownFailure

MODEL: tuple[KnownFailure, ...] = (
    KnownFailure(
        "projector_as_model",
        ("clip cannot be used as main model", "model architecture: 'clip'"),
        r"CLIP cannot be used as main model|unknown model architecture: 'clip'",
        "the file is a multimodal projector, not a model",
        "give it as mmproj=, and the model's own file as the model",
        "llama-model.cpp",
        over=("unknown_architecture",),
    ),
    KnownFailure(
        "mmap_failed",
        ("mmap failed: ", "mapviewoffile failed"),
        r"mmap failed: (?P<what>.+)|MapViewOfFile failed: (?P<why>.+)",
        "the file system cannot map the model file into memory: {what}",
        "use load_mode='none' (--no-mmap), or copy the file to a local disk",
        "llama-mmap.cpp, ollama/ollama#12058",
    ),
    KnownFailure(
        "bad_control_vector",
        ("control vector", "does not match previous dimensions"),
        r"failed to load control vector file from (?P<what>\S+)|control vector n_embd does not"
        r"|does not match previous dimensions",
        "a control vector does not fit the model: {what}",
        "use one that was made for this model, or leave it out of extra_args",
        "common/common.cpp",
    ),
    KnownFailure(
        "bad_draft",
        (
            "failed to load draft model",
            "doesn't contain mtp layers",
            "draft model is not eagle3",
            "failed to create mtp context",
            "speculative batch",
        ),
        r"failed to load draft model, '(?P<what>[^']+)'|model doesn't contain MTP layers"
        r"|draft model is not eagle3|failed to create MTP context"
        r"|failed to process speculative batch",
        "the draft model, or the way of drafting, does not fit the model: {what}",
        "use a draft model that was made for it (draft_model=), or none; MTP needs a file that has "
        "the MTP layers",
        "common/speculative.cpp, llama-context.cpp",
    ),
    KnownFailure(
        "split_part",
        (
            "gguf split",
            "split file",
            "must be loaded with the first split",
            "missing split",
            "corrupted model: ",
        ),
        r"failed to load GGUF split from (?P<what>\S+)"
        r"|(?:invalid|illegal) split file(?: idx| name)?: *(?P<file>[^,\s]+)"
        r"|corrupted model: \d+ tensors expected but \d+ found"
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
        (
            "unknown model architecture",
            "unsupported model architecture",
            'unsupported architecture "',
            "unknown model type: ",
        ),
        r"(?:unknown|unsupported) model architecture: '?(?P<what>[^'\s\"]+)"
        r"|unsupported architecture \"(?P<ollama>[^\"]+)\"",
        "this llama.cpp build does not know the architecture {what}",
        NEWER_BUILD,
        "llama-model-loader.cpp, #16464, mybigday/llama.rn#224, "
        "lmstudio-ai/lmstudio-bug-tracker#2378",
        cures=(
            Cure("llama.cpp", "b6096", sign="gpt-oss"),
            Cure("llama.cpp", "b6709", sign="lfm2moe"),
            Cure("llama.cpp", "b10830", sign="spark2_5"),
        ),
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
        cures=(Cure("llama.cpp", "b6096", sign=r"type 39\b"),),
    ),
    KnownFailure(
        "gguf_version",
        (
            "bad gguf version",
            "this gguf file",
            "ggufv1 is no longer",
            "combination: 46554747",
            "too old, regenerate",
        ),
        r"bad GGUF version|this GGUF file (?:is )?version (?P<what>\d+)|GGUFv1 is no longer"
        r"|unknown \(magic, version\) combination: 46554747|too old, regenerate",
        "this build cannot read that version of the GGUF format",
        f"{NEWER_BUILD}, or convert the file again",
        "ggml/src/gguf.cpp; 46554747 is GGUF itself, as builds of before August 2023 say it",
    ),
    KnownFailure(
        "not_gguf",
        (
            "invalid magic",
            "bad magic",
            "not a gguf",
            "not a valid gguf",
            "failed to read magic",
            "(magic, version)",
            "invalidmagic",
            "unknown magic",
            "invalid file magic",
        ),
        r"invalid magic (?:characters|number)|\(?bad magic|not a (?:valid )?GGUF"
        r"|failed to read magic|unknown \(magic, version\) combination: (?!46554747)"
        r"|\bInvalidMagic\b|unknown magic\b"
        r"|invalid file magic",
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
            "failed to read header",
            "unexpectedly reached end of file",
            "exceeds remaining file size",
            "fread returned 0",
            "has invalid data",
            ", expected ",
            "digest mismatch",
        ),
        r"data is not within the file bounds|corrupted or incomplete"
        r"|failed to read (?:key-value pairs|tensor (?:info|data)|header)"
        r"|unexpectedly reached end of file|exceeds remaining file size|fread returned 0 after"
        r"|tensor '[^']+' has (?:invalid data|offset \d+, expected \d)"
        r"|digest mismatch",
        "the model file is cut short or damaged",
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
            "vocab size mismatch",
            "has wrong type",
            "has wrong array length",
            "entries, but at least",
        ),
        r"invalid gguf type for (?P<what>[\w.]+)|key not found in model: (?P<key>[\w.%]+)"
        r"|vocab size mismatch|key (?P<typed>[\w.]+) has wrong (?:type|array length)"
        r"|(?P<list>[\w.]+) has \d+ entries, but at least"
        r"|error loading model hyperparameters|cannot find tokenizer \w+ in model file",
        "the header of the file does not say what this build needs ({what})",
        f"download the file again if its publisher replaced it, or {NEWER_BUILD}",
        "llama-vocab.cpp, #27254",
    ),
    KnownFailure(
        "tensors_do_not_match",
        (
            "missing tensor",
            "wrong number of tensors",
            "has wrong shape",
            "' not found",
            "not all tensors loaded",
        ),
        r"missing tensor '(?P<what>[^']+)'|wrong number of tensors|has wrong shape"
        r"|tensor '(?P<tensor>[^']+)' not found"
        r"|not all tensors loaded",
        "the tensors in the file are not those this llama.cpp build expects",
        "use a newer llama.cpp build, or a file converted for this one; of a model that is split "
        "into several files name the first, with all others beside it",
        "llama-model-loader.cpp, lmstudio-ai/configs#77",
        cures=(Cure("LM Studio", "0.2.31", sign=r"expected 292, got 291"),),
    ),
    KnownFailure(
        "file_not_found",
        ("failed to open", ".gguf: no such file", ".gguf: permission denied"),
        r"failed to open (?:(?:GGUF |model )?file )?'(?P<what>[^']+)'"
        r"|(?P<file>\S+\.gguf: (?:No such file or directory|Permission denied))",
        "the file {what} could not be opened",
        "check the path and its permissions",
        "gguf.cpp, llama-adapter.cpp",
        over=("bad_mmproj",),
    ),
    KnownFailure(
        "bad_lora",
        ("failed to apply lora adapter", "unexpected lora header"),
        r"failed to apply lora adapter: (?P<what>.*\w)|unexpected lora header file magic in"
        r" '(?P<file>[^']+)'",
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
        (
            "projector type",
            "support projector with",
        ),
        r"(?:unknown|unsupported|unexpected) (?:vision |audio )?projector type"
        r"(?::? *(?P<what>[\w-]+))?|don't support projector with",
        "this llama.cpp build does not know the multimodal projector's type: {what}",
        f"{NEWER_BUILD}, or load the model without mmproj= (it then takes text only)",
        "tools/mtmd/clip.cpp, #24120, #24567, #17138",
        over=("bad_mmproj",),
    ),
    KnownFailure(
        "bad_mmproj",
        (
            "failed to load clip model",
            "failed to load multimodal model",
            "failed to initialize multimodal model",
            "unable to find tensor",
            "does not support multimodal. please",
            "using wrong mmproj",
            "and mmproj (n_embd",
        ),
        r"failed to load CLIP model from (?P<what>.+)|failed to load multimodal model"
        r"(?:, '(?P<file>[^']+)')?|(?P<path>\S+): failed to initialize multimodal model"
        r"|unable to find tensor (?P<tensor>\S+)|does not support multimodal\. Please reconvert"
        r"|using wrong mmproj|and mmproj \(n_embd",
        "the multimodal projector cannot be used by this build: {what}",
        "give the mmproj file that belongs to the model (mmproj=), or use a newer llama.cpp build",
        "tools/mtmd/mtmd.cpp",
    ),
)
