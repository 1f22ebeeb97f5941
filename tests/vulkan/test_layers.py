"""Layers on a real GPU back end: what each number of them puts where, and who is told."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

from rocm_core import Server, resolve_ref
from rocm_core.diagnosis.gpu_use import Buffers, GpuUse
from rocm_core.errors import GpuNotUsed, ServerStartError
from tests.vulkan.loads import LLVMPIPE, TWO, answer_of, config_of, loaded, use_of

# Of the host: nothing may be there that the device was asked for.
WEIGHTS_MIB, CACHE_MIB = 2.55, 1.88


@pytest.fixture(scope="module")
def on_cpu(wheel: Path) -> str:
    """The same program's greedy answer on the CPU."""
    with loaded(server_path=wheel, devices=(), backend="cpu") as server:
        assert use_of(server).used is False
        return answer_of(server)


@pytest.mark.parametrize(
    ("layers", "counted"), [(-1, (6, 6)), ("all", (6, 6)), ("auto", (6, 6)), (3, (3, 6))]
)
def test_layers_are_on_the_device_and_answer_alike(
    wheel: Path, on_cpu: str, layers: int | str, counted: tuple[int, int]
) -> None:
    with loaded(gpu_layers=layers, require_gpu=True) as server:
        use = use_of(server)
        assert use.used is True
        assert use.layers == counted
        held = use.buffers["Vulkan0"]
        if counted[0] == counted[1]:
            assert held == Buffers(pytest.approx(WEIGHTS_MIB), pytest.approx(CACHE_MIB))  # type: ignore[arg-type]
        else:
            assert 0 < held.weights < WEIGHTS_MIB
            assert 0 < held.cache < CACHE_MIB
        assert answer_of(server) == on_cpu


def test_without_layers_nothing_is_there(wheel: Path, on_cpu: str) -> None:
    ref = resolve_ref("demo")
    asked = config_of(server_path=wheel, backend="rocm", gpu_layers=0)
    server = Server(ref, asked)
    try:
        server.start()
        use = use_of(server)
        assert (use.used, use.layers, dict(use.buffers)) == (False, (0, 6), {})
    finally:
        server.stop()


def test_the_line_about_offloaded_layers_deceives_nobody(wheel: Path) -> None:
    none = (*config_of().extra_args, "--device", "none")
    options: dict[str, Any] = {"server_path": wheel, "devices": (), "extra_args": none}
    server = Server(resolve_ref("demo"), config_of(backend="rocm", require_gpu=True, **options))
    with pytest.raises(GpuNotUsed, match="no layer is on a GPU .*CPU_Mapped model buffer"):
        server.start()
    server.stop()


@pytest.mark.parametrize("required", [None, False])
def test_without_require_gpu_it_starts_and_warns_where_one_was_asked_for(
    wheel: Path, required: bool | None
) -> None:
    none = (*config_of().extra_args, "--device", "none")
    options: dict[str, Any] = {"server_path": wheel, "devices": (), "extra_args": none}
    server = Server(resolve_ref("demo"), config_of(backend="rocm", require_gpu=required, **options))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        server.start()
    assert any("runs on the CPU" in str(told.message) for told in caught) is (required is None)
    assert answer_of(server)
    server.stop()


# -- several devices -----------------------------------------------------------------------------


def of_two(wheel: Path, **options: Any) -> GpuUse:
    both = {"devices": LLVMPIPE, "environment": TWO, "require_gpu": True, "server_path": wheel}
    with loaded(**{**both, **options}) as server:
        assert answer_of(server)
        return use_of(server)


def test_layers_are_shared_by_two_devices(wheel: Path) -> None:
    held = of_two(wheel, split_mode="layer").buffers
    assert list(held) == ["Vulkan0", "Vulkan1"]
    assert sum(part.weights for part in held.values()) == pytest.approx(WEIGHTS_MIB, abs=0.02)
    assert sum(part.cache for part in held.values()) == pytest.approx(CACHE_MIB, abs=0.02)


def test_a_split_has_the_proportions_that_were_asked_for(wheel: Path) -> None:
    first, second = of_two(wheel, tensor_split=(3, 1)).buffers.values()
    assert first.cache > 2 * second.cache


def test_one_of_two_devices_has_it_all(wheel: Path) -> None:
    held = of_two(wheel, split_mode="none", main_gpu=1).buffers
    assert list(held) == ["Vulkan1"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"split_mode": "row"}, "Vulkan0 cannot share a model by rows.*split_mode='layer'"),
        ({"split_mode": "none", "main_gpu": 3}, r"main_gpu names: 3 \(available devices: 2\)"),
    ],
)
def test_what_the_back_end_cannot_do_has_its_cause_and_remedy(
    wheel: Path, options: dict[str, Any], why: str
) -> None:
    with pytest.raises(ServerStartError, match=why):
        of_two(wheel, **options)
