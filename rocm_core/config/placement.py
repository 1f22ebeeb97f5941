"""``Placement``: which program runs a model, and where its weights lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from rocm_core.config.option import option
from rocm_core.config.values import (
    Choice,
    Device,
    FilePath,
    Number,
    Rule,
    Several,
    Switch,
    Text,
    Whole,
)

Engine = Literal["auto", "binary", "embedded"]
SplitMode = Literal["none", "layer", "row", "tensor"]
GpuLayers = int | Literal["auto"]

ALL_LAYERS = -1
_TOKENS = "tokens"


@dataclass(frozen=True)
class Placement:
    """The options of ``LoadConfig`` that choose a program, its GPUs, and what goes to them."""

    backend: str = option(
        "auto", Text(), "Who runs the model: rocm, cpu, remote, a registered name, or auto."
    )
    engine: Engine = option(
        "auto",
        Choice(*get_args(Engine)),
        "binary (a llama-server program), embedded (llama.cpp from the package xllamacpp), or "
        "auto: a program if there is one.",
    )
    server_path: str | Path | None = option(
        None,
        FilePath(),
        "The llama-server to run: a file, or a directory that holds it.",
        example="/opt/llama.cpp/build/bin/llama-server",
    )
    context_len: int = option(
        0,
        Whole(0),
        "Context length of each slot; 0: the model's own.",
        unit=_TOKENS,
        wire="-c",
        example="8k",
    )
    gpu_layers: GpuLayers = option(
        ALL_LAYERS,
        Whole(-1, all=ALL_LAYERS, auto="auto"),
        "Layers on the GPU; -1 or all: all of them, 0: none, auto: as many as llama-server finds "
        "room for.",
        unit="layers",
        wire="-ngl",
        example="all",
    )
    require_gpu: bool | None = option(
        None,
        Switch(),
        "If the load uses no GPU: True raises (GpuNotUsed where the load log shows it), None warns "
        "where a GPU was asked for or is in the machine, False says nothing.",
        example="true",
    )
    devices: Sequence[int | str] = option(
        (),
        Several(Device(), "a list of GPUs, each an index, a UUID, a PCI address or a name"),
        "GPUs to use: each an index, UUID, PCI address or name as rocm_core.list_gpus shows them, "
        "or for a Vulkan or CUDA build as it lists them itself; empty: every card, or the APU if "
        "there is no card.",
        flag="device",
        example="0,1",
    )
    split_mode: SplitMode | None = option(
        None,
        Choice(*get_args(SplitMode)),
        "How several GPUs share a model: none, layer, row or tensor; None: by layers.",
        wire="-sm",
        example="layer",
    )
    tensor_split: Sequence[float] = option(
        (),
        Several(Number(0), "proportions such as (3, 1)"),
        "Proportions of the model for each of several GPUs; empty: as their free memory.",
        wire="-ts",
        example="3,1",
    )
    main_gpu: int | None = option(
        None,
        Whole(0),
        "With split_mode none, the GPU to use, counted among the chosen ones.",
        wire="-mg",
        example="0",
    )
    override_tensor: Sequence[str] = option(
        (),
        Several(Rule(), "a list of rules, each pattern=buffer"),
        "Where single weights lie: rules of a regular expression for their names, =, and a buffer "
        "type that the build lists (CPU, Vulkan0, ROCm0); the first rule that matches counts, "
        "before n_cpu_moe and n_cpu_ffn.",
        wire="--override-tensor",
        example=r"blk\.(3|4)\.ffn_.*=CPU",
    )
    n_cpu_moe: int | None = option(
        None,
        Whole(0),
        "Layers, from the first, whose experts' weights stay in host memory (mixture of experts): "
        "the rest of a model that is too large goes to the GPU; more than there are: all.",
        unit="layers",
        wire="--n-cpu-moe",
        example="20",
    )
    n_cpu_ffn: int | None = option(
        None,
        Whole(0),
        "Layers, from the first, whose dense feed-forward weights stay in host memory; for experts "
        "n_cpu_moe.",
        unit="layers",
        wire="--n-cpu-ffn",
        example="8",
    )

    def layers_on_gpu(self, layers: int) -> int:
        """Return how many of a model's ``layers`` are asked to be on a GPU; auto asks for all."""
        wanted = self.gpu_layers
        return layers if wanted in ("auto", ALL_LAYERS) else min(int(wanted), layers)

    @property
    def counts_gpu_layers(self) -> bool:
        """Whether a number of layers was asked for, rather than all or what fits."""
        return self.gpu_layers not in ("auto", ALL_LAYERS)
