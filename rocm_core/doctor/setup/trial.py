"""Prove that an engine uses the card: a real answer of the demo model, and its speed there."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from rocm_core.config import GenerateConfig, LoadConfig
from rocm_core.diagnosis.gpu_use import Buffers, gpu_use
from rocm_core.discover.refs import resolve_ref
from rocm_core.engine.installed.choice import choose_engine, with_engine
from rocm_core.errors import ProtocolError
from rocm_core.server import Server

_PROMPT_WORDS = 160
_TOKENS = 32
_REPETITIONS = 3
_ASK = GenerateConfig(max_tokens=_TOKENS, temperature=0.0, ignore_eos=True, cache_prompt=False)


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens per second of one server, by its own clock."""

    prefill: float
    decode: float


@dataclass(frozen=True, slots=True)
class Trial:
    """What a load on the card brought.

    Attributes:
        answer: the text.
        load_seconds: from the start to a ready server; the first load on a Vulkan driver compiles
            shaders, which takes longest.
        buffers: what is on each device.
        software: names of software devices among them.
        on_device, on_cpu: the speeds, of the same program.
    """

    answer: str
    load_seconds: float
    buffers: dict[str, Buffers]
    software: tuple[str, ...]
    on_device: Speed
    on_cpu: Speed


def try_device(config: LoadConfig) -> Trial:
    """Load the demo model on the card and on the CPU, and answer on both.

    Args:
        config: ``engine``, ``server_path``, ``devices`` and ``environment`` count.

    Raises:
        GpuNotUsed: nothing of the model is on a GPU.
        BackendUnavailable: no engine reaches one.
        RocmError: a load or an answer failed.
    """
    small = replace(config, context_len=1024, parallel=1, gpu_layers=-1)
    engine = choose_engine(replace(small, require_gpu=True))
    pinned = with_engine(small, engine)
    begun = time.monotonic()
    device = Server(resolve_ref("demo"), replace(pinned, backend="auto", require_gpu=True))
    try:
        device.start()
        seconds = time.monotonic() - begun
        use = gpu_use(device.log_tail())
        answer, on_device = _measure(device)
    finally:
        device.stop()
    alone = replace(pinned, backend="cpu", gpu_layers=0, devices=(), require_gpu=False)
    cpu = Server(resolve_ref("demo"), alone)
    try:
        cpu.start()
        _, on_cpu = _measure(cpu)
    finally:
        cpu.stop()
    return Trial(answer, seconds, dict(use.buffers), tuple(use.software), on_device, on_cpu)


def _measure(server: Server) -> tuple[str, Speed]:
    """Return the answer and the best of a few speeds, after one answer that warms up."""
    speeds = []
    text = ""
    for number in range(_REPETITIONS + 1):
        prompt = f"{number} " + " ".join(str(word) for word in range(_PROMPT_WORDS))
        events = list(server.client.completion(prompt, _ASK))
        text = "".join(event.text for event in events)
        timings = next((event.timings for event in events[::-1] if event.timings), None)
        if timings is None or not timings.prompt_ms or not timings.predicted_ms:
            raise ProtocolError("the server tells no timings, so there is nothing to measure")
        prefill = 1000 * timings.prompt_n / timings.prompt_ms
        speeds.append(Speed(prefill, 1000 * (timings.predicted_n - 1) / timings.predicted_ms))
    measured = speeds[1:]
    best = Speed(max(s.prefill for s in measured), max(s.decode for s in measured))
    return text, best
