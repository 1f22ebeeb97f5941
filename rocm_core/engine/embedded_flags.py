"""The flags of llama-server that the embedded engine understands, and what each sets.

Names and values: llama.cpp ``common/arg.cpp``; what they set: ``xllamacpp.CommonParams``, which is
llama.cpp's ``common_params`` and has no parser. Like llama.cpp's own, this one knows a flag by its
whole name only: ``-cram`` is not ``-c ram``.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

# Flags that print facts, without a model, and exit.
FACT_FLAGS = ("--version", "--list-devices")

# Templates that need no Jinja (LLM_CHAT_TEMPLATES in llama.cpp src/llama-chat.cpp, b11549).
_NAMES = """
bailing bailing-think bailing2 chatglm3 chatglm4 chatml command-r deepseek deepseek-ocr
deepseek2 deepseek3 exaone-moe exaone3 exaone4 falcon3 gemma gigachat glmedge gpt-oss
granite granite-4.0 granite-4.1 grok-2 hunyuan-dense hunyuan-moe hunyuan-vl kimi-k2
llama2 llama2-sys llama2-sys-bos llama2-sys-strip llama3 llama4 megrez minicpm mistral-v1
mistral-v3 mistral-v3-tekken mistral-v7 mistral-v7-tekken monarch openchat orion
pangu-embedded phi3 phi4 rwkv-world seed_oss smolvlm solar-open vicuna vicuna-orca yandex
zephyr
"""
BUILT_IN_TEMPLATES = frozenset(_NAMES.split())

# Takes the parameters, the text behind the flag, and the module xllamacpp.
_Setter = Callable[[Any, str, Any], None]


def _put(params: Any, name: str, value: Any) -> None:
    """Set the attribute ``name``, which may be one of a part: ``model.path``."""
    owner, _, last = name.rpartition(".")
    setattr(operator.attrgetter(owner)(params) if owner else params, last, value)


def _as(kind: Callable[[str], Any], *names: str) -> _Setter:
    def put(params: Any, text: str, x: Any) -> None:
        for name in names:
            _put(params, name, kind(text))

    return put


def _on(name: str, value: bool = True) -> _Setter:
    return lambda params, text, x: _put(params, name, value)


def _member(name: str, kind: str, prefix: str) -> _Setter:
    """Return what sets a member of one of xllamacpp's enumerations by its end."""

    def put(params: Any, text: str, x: Any) -> None:
        _put(params, name, _find(x, kind, prefix, text))

    return put


def _find(x: Any, kind: str, prefix: str, text: str) -> Any:
    word = text.upper().replace("-", "_").replace("+", "_")
    return getattr(x, kind)[f"{prefix}{word}"]


def _layers(text: str) -> int:
    return {"auto": -1, "all": -2}.get(text) or int(text)


def _on_or_off(text: str) -> bool:
    return {"on": True, "off": False}[text]


def _flash_attention(params: Any, text: str, x: Any) -> None:
    word = {"on": "ENABLED", "off": "DISABLED", "auto": "AUTO"}[text]
    params.flash_attn_type = x.llama_flash_attn_type[f"LLAMA_FLASH_ATTN_TYPE_{word}"]


def _slots(params: Any, text: str, x: Any) -> None:
    if int(text) > 0:
        params.n_parallel, params.kv_unified = int(text), False


def _tensor_split(params: Any, text: str, x: Any) -> None:
    shares = [float(part) for part in text.replace("/", ",").split(",")]
    params.tensor_split = (shares + [0.0] * len(params.tensor_split))[: len(params.tensor_split)]


def _load_mode(params: Any, text: str, x: Any) -> None:
    word = {"dio": "direct-io"}.get(text, text)
    params.load_mode = _find(x, "llama_load_mode", "LLAMA_LOAD_MODE_", word)


# llama.cpp common/common.h: LLM_FFN_EXPS_REGEX and LLM_FFN_DENSE_REGEX.
EXPERTS = r"\.ffn_(up|down|gate|gate_up)_(ch|)exps"
DENSE_FEED_FORWARD = r"\.ffn_(up|down|gate)\."


def _on_cpu(names: str) -> _Setter:
    """Return what keeps the weights of the first layers in host memory."""

    def put(params: Any, text: str, x: Any) -> None:
        # 0 layers are no rule.
        for layer in range(_whole(text)):
            _override(params, rf"blk\.{layer}{names}=CPU", x)

    return put


def _whole(text: str) -> int:
    if int(text) < 0:
        raise ValueError
    return int(text)


def _override(params: Any, text: str, x: Any) -> None:
    # The setter replaces the rules that were there.
    before = params.tensor_buft_overrides
    params.tensor_buft_overrides = f"{before},{text}" if before else text


def _lazy_mode(params: Any, text: str, x: Any) -> None:
    params.lazy_mode = _find(x, "llama_lazy_mode", "LLAMA_LAZY_MODE_", text)


def _speculative_types(params: Any, text: str, x: Any) -> None:
    prefix = "COMMON_SPECULATIVE_TYPE_"
    params.speculative.types = [
        _find(x, "common_speculative_type", prefix, word) for word in text.split(",")
    ]


def _adapter(params: Any, text: str, x: Any) -> None:
    for path in _csv_row(text):
        _add_adapter(params, path, 1.0, x)


def _scaled_adapter(params: Any, text: str, x: Any) -> None:
    for item in _csv_row(text):
        path, _, scale = item.rpartition(":")
        _add_adapter(params, path, float(scale), x)


def _add_adapter(params: Any, path: str, scale: float, x: Any) -> None:
    params.lora_adapters = [*params.lora_adapters, x.CommonAdapterLoraInfo(path, scale)]


def _csv_row(text: str) -> list[str]:
    """Return the fields of ``a,"b,c"`` as llama.cpp reads them (``parse_csv_row``)."""
    fields, quoted = [""], False
    characters = iter(text.replace('""', "\0"))
    for character in characters:
        if character == '"':
            quoted = not quoted
        elif character == "," and not quoted:
            fields.append("")
        else:
            fields[-1] += '"' if character == "\0" else character
    return fields


def _host(params: Any, text: str) -> None:
    # A list since xllamacpp 2026.10; one text before.
    if hasattr(params, "hostnames"):
        params.hostnames = [text]
    else:
        params.hostname = text


def _template_file(params: Any, text: str, x: Any) -> None:
    params.chat_template = Path(text).read_text(encoding="utf-8")


def _rerank(params: Any, text: str, x: Any) -> None:
    params.embedding = True
    params.pooling_type = x.llama_pooling_type["LLAMA_POOLING_TYPE_RANK"]


_TYPE = functools.partial(_member, kind="ggml_type", prefix="GGML_TYPE_")
_DRAFT = "speculative.draft"

_WITH_VALUE: dict[str, _Setter] = {
    "-m --model": _as(str, "model.path"),
    "-hf -hfr --hf-repo": _as(str, "model.hf_repo"),
    "-hff --hf-file": _as(str, "model.hf_file"),
    "-a --alias": lambda params, text, x: _put(params, "model_alias", {text}),
    "--host": lambda params, text, x: _host(params, text),
    "--port": _as(int, "port"),
    "-c --ctx-size": _as(int, "n_ctx"),
    "-np --parallel": _slots,
    "-ngl --gpu-layers --n-gpu-layers": _as(_layers, "n_gpu_layers"),
    "-sm --split-mode": _member("split_mode", "llama_split_mode", "LLAMA_SPLIT_MODE_"),
    "-ts --tensor-split": _tensor_split,
    "-mg --main-gpu": _as(int, "main_gpu"),
    "-lm --load-mode": _load_mode,
    "-lzm --lazy-mode": _lazy_mode,
    "-ot --override-tensor": _override,
    "-ncmoe --n-cpu-moe": _on_cpu(EXPERTS),
    "-ncffn --n-cpu-ffn": _on_cpu(DENSE_FEED_FORWARD),
    "--kv-unified-per-slot": _as(_whole, "kv_unified_per_slot"),
    "-t --threads": _as(int, "cpuparams.n_threads", "cpuparams_batch.n_threads"),
    "-tb --threads-batch": _as(int, "cpuparams_batch.n_threads"),
    "--threads-http": _as(int, "n_threads_http"),
    "-b --batch-size": _as(int, "n_batch"),
    "-ub --ubatch-size": _as(int, "n_ubatch"),
    "-fit --fit": _as(_on_or_off, "fit_params"),
    "-fa --flash-attn": _flash_attention,
    "-ctk --cache-type-k": _TYPE("cache_type_k"),
    "-ctv --cache-type-v": _TYPE("cache_type_v"),
    "-cram --cache-ram": _as(int, "cache_ram_mib"),
    "-ctxcp --ctx-checkpoints": _as(int, "n_ctx_checkpoints"),
    "--cache-reuse": _as(int, "n_cache_reuse"),
    "--slot-save-path": _as(str, "slot_save_path"),
    "-sps --slot-prompt-similarity": _as(float, "slot_prompt_similarity"),
    "--lora": _adapter,
    "--lora-scaled": _scaled_adapter,
    "-mm --mmproj": _as(str, "mmproj.path"),
    "-mmdev --mmproj-device": _as(str, "mmproj_device"),
    "-md --model-draft --spec-draft-model": _as(str, f"{_DRAFT}.mparams.path"),
    "--spec-type": _speculative_types,
    "--spec-draft-n-max": _as(int, f"{_DRAFT}.n_max"),
    "--spec-draft-n-min": _as(int, f"{_DRAFT}.n_min"),
    "--spec-draft-p-min --draft-p-min": _as(float, f"{_DRAFT}.p_min"),
    "-ngld --spec-draft-ngl --gpu-layers-draft": _as(_layers, f"{_DRAFT}.n_gpu_layers"),
    "--chat-template": _as(str, "chat_template"),
    "--chat-template-file": _template_file,
    "--pooling": _member("pooling_type", "llama_pooling_type", "LLAMA_POOLING_TYPE_"),
    "--rope-freq-base": _as(float, "rope_freq_base"),
    "--rope-freq-scale": _as(float, "rope_freq_scale"),
    "-to --timeout": _as(int, "timeout_read", "timeout_write"),
    "-lv --verbosity --log-verbosity": _as(int, "verbosity"),
}
_ALONE: dict[str, _Setter] = {
    "--embedding --embeddings": _on("embedding"),
    "--rerank --reranking": _rerank,
    "--jinja": _on("use_jinja"),
    "--no-jinja": _on("use_jinja", False),
    "--metrics": _on("endpoint_metrics"),
    "--slots": _on("endpoint_slots"),
    "--no-slots": _on("endpoint_slots", False),
    "--ui --webui": _on("ui"),
    "--no-ui --no-webui": _on("ui", False),
    "--warmup": _on("warmup"),
    "--no-warmup": _on("warmup", False),
    "-kvu --kv-unified": _on("kv_unified"),
    "-no-kvu --no-kv-unified": _on("kv_unified", False),
    "-cb --cont-batching": _on("cont_batching"),
    "-nocb --no-cont-batching": _on("cont_batching", False),
    "--cache-prompt": _on("cache_prompt"),
    "--no-cache-prompt": _on("cache_prompt", False),
    "--context-shift": _on("ctx_shift"),
    "--no-context-shift": _on("ctx_shift", False),
    "-kvo --kv-offload": _on("no_kv_offload", False),
    "-nkvo --no-kv-offload": _on("no_kv_offload"),
    "--mmproj-offload": _on("mmproj_use_gpu"),
    "--no-mmproj-offload": _on("mmproj_use_gpu", False),
    "--no-mmproj": _on("no_mmproj"),
    "--swa-full": _on("swa_full"),
    "--lora-init-without-apply": _on("lora_init_without_apply"),
    "--offline": _on("offline"),
    "--check-tensors": _on("check_tensors"),
}


def _by_name(table: dict[str, _Setter]) -> dict[str, _Setter]:
    return {name: setter for names, setter in table.items() for name in names.split()}


_VALUES, _SWITCHES = _by_name(_WITH_VALUE), _by_name(_ALONE)
FLAGS = frozenset([*FACT_FLAGS, *_VALUES, *_SWITCHES])


def flags_of(argv: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each flag of a command line with its value, which is empty where it takes none.

    Raises:
        ValueError: a flag is unknown, or the last one lacks its value.
    """
    words = iter(argv)
    for word in words:
        if word in _SWITCHES:
            yield word, ""
        elif word in _VALUES:
            value = next(words, None)
            if value is None:
                raise ValueError(f"error: expected value for argument: {word}")
            yield word, value
        else:
            raise ValueError(f"error: invalid argument: {word}")


def apply_flags(params: Any, flags: Iterable[tuple[str, str]], x: Any) -> None:
    """Set what the flags say.

    Args:
        params: an ``xllamacpp.CommonParams``.
        flags: flags and values, as ``flags_of`` yields them.
        x: the module ``xllamacpp``.

    Raises:
        ValueError: a value is wrong, or this xllamacpp has nothing that the flag could set.
    """
    for flag, value in flags:
        setter = _VALUES.get(flag) or _SWITCHES[flag]
        try:
            setter(params, value, x)
        except AttributeError:
            raise ValueError(f"error: invalid argument: {flag} (not in this xllamacpp)") from None
        except OSError as error:
            why = f"failed to open file '{value}': {error.strerror}"
            raise ValueError(f'error while handling argument "{flag}": {why}') from None
        except (ValueError, KeyError, OverflowError, UnicodeDecodeError):
            why = f"invalid value '{value}'"
            raise ValueError(f'error while handling argument "{flag}": {why}') from None
