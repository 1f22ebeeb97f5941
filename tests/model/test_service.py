"""The facade: five verbs, from any thread, over the one supervisor."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from rocm_core import LlamaService
from rocm_core.config import Engine
from rocm_core.errors import ConfigError, ModelNotFound, ServerStopped
from rocm_core.gpu import list_gpus
from rocm_core.types import Message
from tests.support.engines import make_server
from tests.support.gpu_trees import rx_7900_xtx
from tests.support.machine import Machine
from tests.support.models.reciter import ANSWER, RECITER
from tests.support.servers.fake_server import PATIENCE, STALL, FakeServer, Reply, answer


@pytest.fixture
def service() -> Iterator[LlamaService]:
    with LlamaService() as service:
        yield service


def text(tokens: object) -> str:
    return "".join(token.text for token in tokens)  # type: ignore[attr-defined]


def pid(service: LlamaService) -> int:
    number: int = service._running().connection.server.pid  # type: ignore[attr-defined]
    return number


def test_start_ask_measure_stop(service: LlamaService, engine: Engine) -> None:
    assert not service.is_running()
    info = service.start({"model": RECITER, "engine": engine}, context_len=2560)
    assert info.n_ctx == 2560
    assert service.is_running()
    assert text(service.send_chat_message("Hello", system="x")) == ANSWER
    turns = [Message("user", "Hello"), Message("assistant", ANSWER)]
    assert text(service.send_chat_message("Again", turns, max_tokens=3)) == "Hello! I am"
    metrics = service.get_metrics()
    assert metrics["tokens_predicted_total"] > 3
    assert (metrics["in_flight"], metrics["waiting"]) == (0, 0)
    assert service.get_config() == {"model": RECITER, "engine": engine, "context_len": 2560}
    process = psutil.Process(pid(service))
    service.stop()
    service.stop()
    assert not service.is_running()
    assert not process.is_running()
    for verb in (service.get_metrics, lambda: service.send_chat_message("Hello")):
        with pytest.raises(ServerStopped, match=r"start\(\)"):
            verb()


def test_metrics_of_the_machine(
    service: LlamaService, engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    service.start({"model": RECITER, "engine": engine, "context_len": 2432})
    assert text(service.send_chat_message("x", ignore_eos=True, max_tokens=2000))
    metrics = service.get_metrics()
    assert metrics["cpu_usage"] > 0, "since the start"
    assert metrics["mem_usage"] > 2**20
    assert metrics["requests_processing"] == 0
    if not list_gpus():
        assert (metrics["gpu_usage"], metrics["vram_usage"]) == (None, None)
    machine = Machine(tmp_path)
    rx_7900_xtx(machine)
    machine.write("sys/class/drm/renderD128/device/mem_info_vram_used", 6140 * 2**20)
    (gpu,) = list_gpus(tmp_path)
    busy = [replace(gpu, busy_percent=50), replace(gpu, busy_percent=None, pci="0000:01:00.0")]
    monkeypatch.setattr("rocm_core.supervisor.metrics.list_gpus", lambda root: busy)
    metrics = service.get_metrics()
    assert metrics["gpu_usage"] == 50
    assert metrics["vram_usage"] == pytest.approx(25)


def test_a_server_elsewhere_tells_nothing_of_its_machine(service: LlamaService) -> None:
    with FakeServer() as server:
        server.script("/props", answer("props.b11434"))
        for status in (404, 405, 501):
            server.script("/metrics", answer(b"no", status))
            server.script("/slots", answer(b"no", status))
            service.start({"model": server.url})
            assert service.get_metrics() == {
                "in_flight": 0,
                "waiting": 0,
                "cpu_usage": None,
                "mem_usage": None,
                "gpu_usage": None,
                "vram_usage": None,
            }
            service.stop()


@pytest.mark.parametrize(
    ("health", "running"),
    [
        (answer("health.b11434"), True),
        (answer("error_404.b11434", 404), True),
        (answer(b""), True),
        (answer("error_401.b11434", 401), True),
        (answer("error_503_loading.b11434", 503), False),
        (answer(b"bad gateway", 502), False),
        (Reply(before=[STALL]), False),
    ],
    ids=["ok", "no endpoint", "empty", "key", "loading", "gateway", "hangs"],
)
def test_a_remote_server_is_asked_whether_it_is_there(
    service: LlamaService, scripted: FakeServer, health: Reply, running: bool
) -> None:
    scripted.script("/health", health)
    assert not service.is_running()
    service.start({"model": scripted.url})
    begun = time.monotonic()
    assert service.is_running(0.2) is running
    assert time.monotonic() - begun < 1.0


def test_a_remote_server_that_left_is_not_running(service: LlamaService, engine: Engine) -> None:
    server = make_server(engine, port=0)
    server.start()
    service.start({"model": server.url, "api_key": server.api_key})
    assert service.is_running()
    assert service.get_metrics()["tokens_predicted_total"] == 0
    server.stop()
    assert not service.is_running()
    server.stop()


def test_the_model_may_come_from_the_settings(
    service: LlamaService, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAMA_ROCM_MODEL", "demo")
    monkeypatch.setenv("LLAMA_ROCM_ENGINE", engine)
    service.start()
    assert service.is_running()


def test_many_starts_are_one_and_another_configuration_takes_its_place(
    service: LlamaService, engine: Engine
) -> None:
    config = {"model": RECITER, "engine": engine, "context_len": 2176}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: service.start(config), range(8)))
    first = psutil.Process(pid(service))
    service.start(config)
    assert pid(service) == first.pid
    service.start({**config, "context_len": 2240})
    assert pid(service) != first.pid
    assert not first.is_running()


def test_stop_from_another_thread_ends_a_start_and_an_answer(
    service: LlamaService, engine: Engine
) -> None:
    config = {"model": RECITER, "engine": engine, "context_len": 2304}
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(service.start, config)
        while service._model is None and not starting.done():
            threading.Event().wait(0.001)
        service.stop()
        with pytest.raises(ServerStopped):
            starting.result(PATIENCE)
        assert not service.is_running()
        service.start(config)
        tokens = service.send_chat_message("x", ignore_eos=True, max_tokens=-1)
        next(tokens)
        pool.submit(service.stop)
        with pytest.raises(ServerStopped):
            list(tokens)


def test_a_failed_start_leaves_it_stopped_and_usable(service: LlamaService, engine: Engine) -> None:
    with pytest.raises(ModelNotFound):
        service.start({"model": "gone.gguf"})
    with pytest.raises(ConfigError, match="contex_len"):
        service.start({"model": RECITER, "contex_len": 1})
    assert not service.is_running()
    service.start({"model": RECITER, "engine": engine})
    assert service.is_running()


def test_a_dead_server_is_not_running(service: LlamaService, engine: Engine) -> None:
    service.start({"model": RECITER, "engine": engine, "context_len": 2368})
    process = psutil.Process(pid(service))
    process.kill()
    process.wait(PATIENCE)
    end = threading.Event()
    while service.is_running():
        end.wait(0.005)
    assert text(service.send_chat_message("Hello")) == ANSWER, "restarted"
