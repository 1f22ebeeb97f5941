"""Never silently slow: a GPU that was asked for and is not used is told at once.

There is no GPU in these tests: the real engines say so themselves, and a wrapper around one of
them prints the lines of a load that did use one.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rocm_core import LoadConfig, Server, State, load_model, resolve_ref
from rocm_core.backend import choose_backend, get_backend
from rocm_core.config import Engine
from rocm_core.engine.locate import PATH_VARIABLE
from rocm_core.errors import BackendUnavailable, ConfigError, GpuNotUsed
from rocm_core.gpu import list_gpus
from rocm_core.supervisor import owned_process
from tests.support.engines import wrapped
from tests.support.gpu_trees import build
from tests.support.machine import run_on
from tests.support.models.reciter import RECITER
from tests.support.servers.fake_engines import EMPTY, hip_program, vulkan_program

# The count of offloaded layers proves nothing: a build without a device prints it too.
OFFLOADED = "load_tensors:        ROCm0 model buffer size =  4403.49 MiB"


@pytest.fixture
def started() -> Iterator[Any]:
    servers: list[Server] = []

    def start(**options: Any) -> Server:
        server = Server(resolve_ref(RECITER), LoadConfig(**options))
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a card, as the kernel shows it; the engines here are CPU builds."""
    run_on(build("rx_7900_xtx", tmp_path / "machine"), monkeypatch)


def test_required_and_not_used_raises_with_the_remedy(engine: Engine) -> None:
    server = Server(resolve_ref(RECITER), LoadConfig(engine=engine, require_gpu=True))
    with pytest.raises(GpuNotUsed, match=r"would run on the CPU.*server_path=") as caught:
        server.start()
    assert any("no usable GPU" in line for line in caught.value.log_tail)
    assert server.state is State.FAILED
    assert server.pid is None


@pytest.mark.usefixtures("card")
def test_asked_for_by_the_backend_warns(engine: Engine, started: Any) -> None:
    with pytest.warns(RuntimeWarning, match="reciter runs on the CPU: no layer is on a GPU"):
        assert started(engine=engine, backend="rocm").is_running


@pytest.mark.parametrize(
    "options",
    [
        {"require_gpu": False},
        {"require_gpu": False, "backend": "rocm"},
        {"gpu_layers": 0, "backend": "rocm"},
        {"backend": "cpu"},
    ],
)
@pytest.mark.usefixtures("card")
def test_nobody_asked_so_nobody_is_told(
    engine: Engine, started: Any, options: dict[str, Any]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert started(engine=engine, **options).is_running


@pytest.mark.usefixtures("llama_server", "card")
def test_required_and_used_is_ready(tmp_path: Path, started: Any) -> None:
    path = wrapped("binary", tmp_path, f"echo '{OFFLOADED}' >&2")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert started(server_path=path, require_gpu=True).is_running
        assert started(server_path=path, backend="rocm").is_running


@pytest.mark.usefixtures("llama_server")
def test_none_offloaded_raises_whatever_else_is_said(tmp_path: Path) -> None:
    # ollama/ollama#12303
    path = wrapped("binary", tmp_path, "echo 'offloaded 0/35 layers to GPU' >&2")
    server = Server(resolve_ref(RECITER), LoadConfig(server_path=path, require_gpu=True))
    with pytest.raises(GpuNotUsed, match="offloaded 0/35"):
        server.start()


def test_contradictions_are_refused() -> None:
    with pytest.raises(ConfigError, match="require_gpu=True and gpu_layers=0"):
        LoadConfig(require_gpu=True, gpu_layers=0)


@pytest.mark.parametrize("backend", ["auto", "cpu"])
def test_the_cpu_backend_refuses_what_requires_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    monkeypatch.setattr("rocm_core.engine.gpu_judgment.kfd_problem", lambda: "no card")
    monkeypatch.setenv(PATH_VARIABLE, hip_program(tmp_path).argv[0])
    reason = {"auto": "no card", "cpu": "backend='cpu' was asked for"}[backend]
    words = f"require_gpu=True, and no GPU can be used: {reason}"
    with pytest.raises(BackendUnavailable, match=words):
        load_model(RECITER, backend=backend, require_gpu=True)


def test_a_vulkan_build_needs_no_kfd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rocm_core.engine.gpu_judgment.kfd_problem", lambda: "no card")
    monkeypatch.setenv(PATH_VARIABLE, vulkan_program(tmp_path).argv[0])
    assert get_backend("rocm").probe().ok
    assert choose_backend(resolve_ref(RECITER), LoadConfig()).name == "rocm"


def test_a_hip_build_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rocm_core.engine.gpu_judgment.kfd_problem", lambda: "no card")
    monkeypatch.setenv(PATH_VARIABLE, hip_program(tmp_path).argv[0])
    assert get_backend("rocm").probe().reasons == ("no card",)


def test_a_vulkan_build_without_a_gpu_is_no_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rocm_core.engine.gpu_judgment.kfd_problem", lambda: "no card")
    engine = vulkan_program(tmp_path, EMPTY)
    monkeypatch.setenv(PATH_VARIABLE, engine.argv[0])
    reasons = get_backend("rocm").probe().reasons
    assert reasons == (f"{engine.argv[0]} has Vulkan, and sees no device",)


USING = (
    "llama_prepare_model_devices: using device Vulkan0 (AMD Radeon RX 7900 XTX) ({}) - 24000 MiB"
)
LOADED = "load_tensors:   Vulkan0 model buffer size = 4403.49 MiB"


@pytest.mark.parametrize("word", ["0000:86:00.0", "GPU-a1ffc9d1799c317f"])
def test_a_load_on_another_card_than_the_one_that_was_named_is_refused(
    engine: Engine, started: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    """``devices`` has the kernel's words; what a Vulkan load says of its cards has the last one."""
    monkeypatch.setattr(
        owned_process, "list_gpus", lambda: list_gpus(build("rx_7900_xtx", tmp_path / "machine"))
    )
    monkeypatch.setattr(owned_process, "place_on_gpus", lambda config, **_: config)
    told = f"echo '{USING.format('{}')}' >&2; echo '{LOADED}' >&2"
    options = {"backend": "rocm", "devices": (word,), "require_gpu": True}
    here = wrapped(engine, tmp_path, told.format("0000:86:00.0"))
    assert started(server_path=here, **options).is_running
    there = wrapped(engine, tmp_path, told.format("0000:03:00.0"))
    with pytest.raises(GpuNotUsed, match="is on another GPU: Vulkan0 is 0000:03:00.0, and devic"):
        started(server_path=there, **options)
