"""``llama-rocm fit``: what a model takes, and the largest load that fits the GPUs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, get_args

from rocm_core.cli.options import add_option, load_options
from rocm_core.cli.screen import say
from rocm_core.cli.sizes import parse_memory, parse_size, show_size
from rocm_core.config import LoadConfig, options_of
from rocm_core.config.option import expanded
from rocm_core.discover.refs import resolve_ref
from rocm_core.engine.gpu_placement import PlacedDevice, devices_of_load
from rocm_core.errors import ConfigError
from rocm_core.gguf import GGUFInfo, read_gguf, read_model
from rocm_core.gpu import list_gpus, select_gpus
from rocm_core.gpu.host_limits import host_memory
from rocm_core.memory.estimate import Companions, Device, MemoryEstimate, estimate_memory
from rocm_core.memory.fit import Goal, fit_model
from rocm_core.settings import current_settings

# llama-server's own --fit keeps as much free on each GPU, and never goes below such a context
# (--fit-target and --fit-ctx, common/arg.cpp).
_MARGIN, _LEAST_CONTEXT = 1 << 30, 4096

# Option of LoadConfig: (llama-rocm's flag, llama-server's flag)
_FLAGS = {
    "gpu_layers": ("--gpu-layers", "-ngl"),
    "parallel": ("--parallel", "-np"),
    "context_len": ("--context-len", "-c"),
    "ubatch_size": ("--ubatch-size", "-ub"),
    "cache_type_k": ("--cache-type-k", "-ctk"),
    "cache_type_v": ("--cache-type-v", "-ctv"),
    "tensor_split": ("--tensor-split", "-ts"),
    "n_cpu_moe": ("--n-cpu-moe", "--n-cpu-moe"),
    "n_cpu_ffn": ("--n-cpu-ffn", "--n-cpu-ffn"),
    "mmproj": ("--mmproj", "--mmproj"),
    "mmproj_device": ("--mmproj-device", "--mmproj-device"),
    "draft_model": ("--draft-model", "-md"),
    "lora": ("--lora", "--lora"),
}
# Options that decide how much memory a load takes.
_SIZING = (
    "context_len",
    "gpu_layers",
    "parallel",
    "ubatch_size",
    "cache_type_k",
    "cache_type_v",
    "flash_attn",
    "prompt_cache",
    "tensor_split",
    "n_cpu_moe",
    "n_cpu_ffn",
    "mmproj",
    "mmproj_device",
    "draft_model",
    "lora",
)

# Options that decide which engine loads a model, and on which GPUs.
_PLACING = ("devices", "engine", "server_path")


class Machine(NamedTuple):
    """What there is to fit into, and what has to fit beside the model.

    Attributes:
        devices: the GPUs.
        available: available memory of the host in bytes.
        companions: projector, draft model and adapters.
    """

    devices: list[Device]
    available: int | None
    companions: Companions


def add_command(commands: Any) -> None:
    """Register ``fit``."""
    parser = commands.add_parser("fit", help="how much of a model fits the GPUs")
    parser.add_argument("model", metavar="MODEL", help="GGUF file, directory, name, or demo")
    for name in (*_SIZING, *_PLACING):
        more_flags = ("--ctx",) if name == "context_len" else ()
        add_option(parser, options_of(LoadConfig)[name], *more_flags)
    add = parser.add_argument
    add(  # its name before --flash-attn took a value
        "--no-flash-attn",
        action="store_const",
        const=False,
        dest="flash_attn",
        default=argparse.SUPPRESS,
        help=argparse.SUPPRESS,
    )
    add(
        "--vram",
        action="append",
        type=parse_memory,
        metavar="SIZE",
        help="free memory of a GPU, such as 24G (so is 24), once for each; default: as this "
        "machine's GPUs have now",
    )
    add("--margin", type=parse_size, default=_MARGIN, help="to leave free per GPU (default: 1G)")
    add("--max", choices=get_args(Goal), dest="goal", help="what to make as large as fits")
    add("--root", default="/", metavar="DIR", help="take the GPUs of a recorded machine")
    add("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Reckon and tell.

    Returns:
        0 if the printed load fits, else 1.
    """
    info = read_model(_file(options.model))
    asked = _config(options)
    devices = _devices(options)
    machine = Machine(devices, host_memory(options.root), _companions(asked))
    config, estimate = _solve(info, asked, machine, options.goal, options.margin)
    if options.json:
        say(json.dumps(_facts(config, estimate, options.margin), indent=2))
    else:
        _print(config, estimate, options.margin)
    return 0 if _fits(estimate, options.margin) else 1


def _fits(estimate: MemoryEstimate, margin: int) -> bool:
    # A load without a layer on a GPU always fits the GPUs, but nobody asks for that.
    return estimate.gpu_layers > 0 and estimate.fits(margin)


def _file(model: str) -> str:
    ref = resolve_ref(model)
    if ref.kind != "file":
        raise ConfigError(f"{model} is not on this machine; `llama-rocm models` lists what is")
    return ref.value


def _devices(options: argparse.Namespace) -> list[Device]:
    """Return the devices to fit into: those given, else those of the engine that a load gets.

    Without an engine for GPUs, and on a recorded machine: those that a HIP build would use.
    """
    if options.vram:
        return [Device(f"ROCm{number}", size) for number, size in enumerate(options.vram)]
    placed = devices_of_load(_engine_config(options)) if options.root == "/" else []
    if not placed:
        chosen = select_gpus(list_gpus(options.root), _given(options, _PLACING).get("devices"))
        placed = [PlacedDevice(gpu.name, gpu.memory_free, gpu) for gpu in chosen]
    found = [
        Device(name, free, unified=gpu is not None and gpu.uses_host_memory)
        for name, free, gpu in placed
        if free is not None
    ]
    if not found:
        raise ConfigError(
            "no AMD GPU with known free memory here; tell what to fit into: --vram 24G "
            "(once for each GPU)"
        )
    return found


def _engine_config(options: argparse.Namespace) -> LoadConfig:
    """Return what decides on engine and GPUs: the given options over the settings."""
    given = _given(options, _PLACING)
    settings = current_settings(complete=True).load(False, given)
    kept = {name: value for name, value in settings.items() if name in _PLACING}
    return LoadConfig(**{**kept, **given})


def _given(options: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in load_options(options).items() if name in names}


def _config(options: argparse.Namespace) -> LoadConfig:
    return LoadConfig(**_given(options, _SIZING))


def _companions(config: LoadConfig) -> Companions:
    return Companions(
        projector=read_gguf(expanded(config.mmproj)) if config.mmproj else None,
        draft=read_model(_file(str(config.draft_model))) if config.draft_model else None,
        adapters=tuple(read_gguf(path) for path, _ in config.lora_adapters),
    )


def _solve(
    info: GGUFInfo, config: LoadConfig, machine: Machine, goal: Goal | None, margin: int
) -> tuple[LoadConfig, MemoryEstimate]:
    devices, available, beside = machine

    def largest(config: LoadConfig, goal: Goal) -> tuple[LoadConfig, MemoryEstimate]:
        return fit_model(
            info,
            config,
            devices,
            goal=goal,
            margin=margin,
            available=available,
            companions=beside,
        )

    if goal:
        return largest(config, goal)
    estimate = estimate_memory(info, config, devices, available=available, companions=beside)
    if estimate.fits(margin):
        return config, estimate
    if not config.context_len:
        # As llama-server's own --fit: a smaller context first, fewer layers when that is not
        # enough.
        chosen, estimate = largest(config, "context")
        least = min(_LEAST_CONTEXT, info.context_length or _LEAST_CONTEXT)
        if estimate.fits(margin) and estimate.context_len >= least:
            return chosen, estimate
        config = replace(config, context_len=least)
    if info.experts and config.n_cpu_moe is None and not config.counts_gpu_layers:
        return largest(config, "experts")
    return largest(config, "layers")


def _facts(config: LoadConfig, estimate: MemoryEstimate, margin: int) -> dict[str, Any]:
    return {
        "fits": _fits(estimate, margin),
        "margin": margin,
        "context_len": estimate.context_len,
        "parallel": estimate.parallel,
        "shared_cache": estimate.shared,
        "gpu_layers": estimate.gpu_layers,
        "layers": estimate.layers,
        "n_cpu_moe": config.n_cpu_moe or 0,
        "total": estimate.total,
        "prompt_cache": estimate.prompt_cache,
        "devices": [
            {
                "name": d.name,
                "layers": d.layers,
                "weights": d.weights,
                "kv_cache": d.kv_cache,
                "compute": d.compute,
                "output": d.output,
                "adapters": d.adapters,
                "projector": d.projector,
                "draft": d.draft,
                "prompt_cache": d.prompt_cache,
                "total": d.total,
                "free": d.free,
            }
            for d in estimate.devices
        ],
        "flags": _flags(config, estimate, 0),
        "llama_server_flags": _flags(config, estimate, 1),
    }


def _flags(config: LoadConfig, estimate: MemoryEstimate, which: int) -> list[str]:
    values: dict[str, object] = {
        "gpu_layers": estimate.gpu_layers,
        "parallel": config.parallel,
        "context_len": estimate.context_len,
        "ubatch_size": config.ubatch_size,
        "cache_type_k": config.cache_type_k,
        "cache_type_v": config.cache_type_v,
        "tensor_split": ",".join(f"{share:g}" for share in config.tensor_split) or None,
        "n_cpu_moe": config.n_cpu_moe,
        "n_cpu_ffn": config.n_cpu_ffn,
        "mmproj": config.mmproj,
        "mmproj_device": config.mmproj_device,
        "draft_model": config.draft_model,
        "lora": ",".join(str(path) for path in config.lora) or None,
    }
    if which and config.parallel:
        # llama-server divides -c among the slots of an explicit -np.
        values["context_len"] = estimate.context_len * config.parallel
    flags = []
    for name, value in values.items():
        if value is not None:
            *before, flag = _FLAGS[name][which].split()
            flags += [*before, f"{flag}={value}"] if not which else [flag, str(value)]
    if which:
        flags += ["--cache-ram", str(estimate.prompt_cache >> 20)]
    elif config.prompt_cache != "auto":
        flags += [f"--prompt-cache={int(config.prompt_cache) >> 20}M"]
    if config.flash_attn is False:
        flags += ["-fa", "off"] if which else ["--flash-attn=off"]
    return flags


def _print(config: LoadConfig, estimate: MemoryEstimate, margin: int) -> None:
    shared = " that share one cache" if estimate.shared else ""
    say(
        f"{estimate.gpu_layers} of {estimate.layers} layers on GPUs, "
        f"{estimate.parallel} slots{shared}, context length {estimate.context_len}"
    )
    if config.n_cpu_moe:
        say(f"experts of the first {config.n_cpu_moe} layers in host memory (--n-cpu-moe)")
    heads = ("", "layers", "weights", "KV cache", "compute", "beside", "total", "free")
    rows = [
        (
            d.name,
            str(d.layers),
            *(show_size(n) for n in (d.weights, d.kv_cache, d.compute + d.output)),
            show_size(d.adapters + d.projector + d.draft),
            show_size(d.total),
            "" if d.free is None else show_size(d.free),
        )
        for d in estimate.devices
    ]
    for row in (heads, *rows):
        say("".join(f"{cell:<7}" if not n else f"{cell:>12}" for n, cell in enumerate(row)))
    say(_prompt_cache(estimate))
    if _fits(estimate, margin):
        say(f"It fits, with {show_size(margin)} to spare on each GPU:")
    else:
        say(f"It does not fit with {show_size(margin)} to spare. The nearest:")
    say("  llama-rocm    " + " ".join(_flags(config, estimate, 0)))
    say("  llama-server  " + " ".join(_flags(config, estimate, 1)))


def _prompt_cache(estimate: MemoryEstimate) -> str:
    if not estimate.prompt_cache:
        return "The prompt cache is off (--prompt-cache)."
    place = next(d.name for d in estimate.devices if d.prompt_cache)
    where = "host memory" if place == estimate.devices[-1].name else f"the memory of {place}"
    size = show_size(estimate.prompt_cache)
    return f"Earlier prompts take up to {size} of {where} in time (--prompt-cache)."
