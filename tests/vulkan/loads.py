"""Loads on the software device, and what their logs say."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rocm_core import GenerateConfig, LoadConfig, Server, resolve_ref
from rocm_core.backend import server_config
from rocm_core.diagnosis.gpu_use import GpuUse, gpu_use
from tests.support.models.trained import TRAINED

LLVMPIPE = ("llvmpipe",)
TWO = {"GGML_VK_VISIBLE_DEVICES": "0,0"}
VERBOSE = ("--log-verbosity", "4")
GREEDY = GenerateConfig(max_tokens=12, temperature=0.0)


def config_of(**options: Any) -> LoadConfig:
    """A small load with a log that names its buffers, on the software device by default."""
    small = {"context_len": 512, "parallel": 1, "extra_args": VERBOSE, "devices": LLVMPIPE}
    return LoadConfig(**{**small, **options})


@contextmanager
def loaded(**options: Any) -> Iterator[Server]:
    """A server of the trained model with these options, as ``load_model`` would run it."""
    ref = resolve_ref(TRAINED)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        server = Server(ref, server_config(ref, config_of(**options)))
    try:
        server.start()
        yield server
    finally:
        server.stop()


def use_of(server: Server) -> GpuUse:
    """Which buffers its load put where."""
    return gpu_use(server.log_tail())


def answer_of(server: Server) -> str:
    """Its greedy answer."""
    return "".join(event.text for event in server.client.completion("Hello", GREEDY))
