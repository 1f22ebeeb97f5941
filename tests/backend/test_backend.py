"""Backends: the registry, the reasons, and servers that run elsewhere."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import warnings
from collections.abc import Callable
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from pathlib import Path
from typing import Any

import psutil
import pytest

from rocm_core import (
    LoadConfig,
    Server,
    backend,
    get_backend,
    list_backends,
    load_model,
    resolve_ref,
)
from rocm_core.backend import choose_backend
from rocm_core.backend.local import CpuBackend, LocalConnection
from rocm_core.config import Engine
from rocm_core.engine.gpu_placement import place_on_gpus
from rocm_core.engine.locate import PATH_VARIABLE
from rocm_core.errors import (
    AuthenticationError,
    BackendUnavailable,
    ConfigError,
    ServerLoading,
    ServerUnreachable,
)
from rocm_core.gpu import kfd_problem
from tests.support.gpu_trees import build
from tests.support.machine import run_on
from tests.support.models.reciter import ANSWER, RECITER
from tests.support.servers.fake_engines import hip_program
from tests.support.servers.fake_server import FakeServer, Reply, answer, stream

HELLO = [{"role": "user", "content": "Hello"}]


def test_the_registry_knows_the_three_of_ours() -> None:
    assert set(list_backends()) >= {"rocm", "cpu", "remote"}
    assert get_backend("cpu").name == "cpu"
    with pytest.raises(ConfigError, match="there are: cpu, remote, rocm"):
        get_backend("tpu")


def test_ours_are_the_entry_points_that_the_package_declares() -> None:
    declared = {point.name: point.value for point in entry_points(group=backend.GROUP)}
    assert declared == {name: ":".join(place) for name, place in backend._OURS.items()}


def test_a_backend_of_another_package_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("npu", "rocm_core.backend.local:CpuBackend", backend.GROUP)
    monkeypatch.setattr(backend, "_registered", lambda: EntryPoints([point]))
    assert list_backends() == ["cpu", "npu", "remote", "rocm"]
    assert isinstance(get_backend("npu"), CpuBackend)
    get_backend.cache_clear()


def test_rocm_says_why_it_cannot_run(tmp_path: Path) -> None:
    problem = kfd_problem(tmp_path)
    assert problem
    assert "/dev/kfd does not exist" in problem
    device = tmp_path / "dev" / "kfd"
    device.parent.mkdir()
    device.touch()
    assert kfd_problem(tmp_path) is None


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes the backends believe that they run on a recorded machine, with a HIP build."""
    monkeypatch.setenv(PATH_VARIABLE, hip_program(tmp_path / "hip").argv[0])
    return lambda name: run_on(build(name, tmp_path / name), monkeypatch)


def prepared(splits: bool = True, **options: Any) -> LoadConfig:
    """What a start of the demo model would run with."""
    config = LoadConfig(**options)
    backend = choose_backend(resolve_ref(RECITER), config)
    connection = backend.load_model(resolve_ref(RECITER), config)
    connection.release()
    return place_on_gpus(connection.config, splits=splits)


def test_auto_takes_the_gpu_where_there_is_one_and_says_why(
    machine: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    machine("rx_7800_xt_second")
    with caplog.at_level(logging.INFO, "rocm_core.backend"):
        assert choose_backend(resolve_ref(RECITER), LoadConfig()).name == "rocm"
    assert "RX 7800 XT (gfx1101, 16.0 GiB, 0000:03:00.0): every card" in caplog.text
    assert "RX 7800 XT" in get_backend("rocm").probe().reasons[0]


def test_auto_takes_the_cpu_where_there_is_no_gpu_and_says_why(
    machine: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    machine("no_gpu")
    with caplog.at_level(logging.INFO, "rocm_core.backend"):
        assert choose_backend(resolve_ref(RECITER), LoadConfig()).name == "cpu"
    assert "backend cpu (rocm: /dev/kfd does not exist" in caplog.text
    assert "/dev/kfd" in get_backend("rocm").probe().reasons[0]
    with pytest.raises(BackendUnavailable, match="/dev/kfd does not exist"):
        load_model(RECITER, backend="rocm")


def test_a_gpu_that_cannot_be_opened_is_a_reason(machine: Callable[[str], None]) -> None:
    machine("without_render_node")
    assert "renderD128 does not exist" in get_backend("rocm").probe().reasons[0]
    with pytest.raises(BackendUnavailable, match="renderD128 does not exist"):
        load_model(RECITER, backend="rocm")


def test_a_mask_that_hides_everything_is_a_reason(
    machine: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine("rx_7900_xtx")
    monkeypatch.setenv("ROCR_VISIBLE_DEVICES", "")
    assert "hides every GPU" in get_backend("rocm").probe().reasons[0]


def test_the_choice_reaches_the_child_and_nobody_else(machine: Callable[[str], None]) -> None:
    machine("rx_7800_xt_second")
    before = dict(os.environ)
    changes = dict(prepared(environment={"MINE": "1"}).environment)
    assert changes == {
        "ROCR_VISIBLE_DEVICES": "GPU-5c88007d760374f3",
        "HIP_VISIBLE_DEVICES": "0",
        "MINE": "1",
    }
    assert dict(os.environ) == before


def test_devices_takes_effect(machine: Callable[[str], None]) -> None:
    machine("rx_7800_xt_second")
    assert dict(prepared(devices=0).environment)["ROCR_VISIBLE_DEVICES"] == "0"
    both = prepared(devices=["7800 XT", 0], tensor_split=[3, 1])
    assert dict(both.environment)["ROCR_VISIBLE_DEVICES"] == "GPU-5c88007d760374f3,0"
    assert (both.split_mode, both.tensor_split) == ("layer", (3, 1))
    with pytest.raises(ConfigError, match=r"no GPU 7\. There are: GPU 0: AMD Radeon Graphics"):
        load_model(RECITER, devices=[7])
    with pytest.raises(ConfigError, match="tensor_split has 2 shares, and there are 1 GPUs"):
        load_model(RECITER, tensor_split=[3, 1])


def test_the_split_follows_free_memory_unless_it_is_given(machine: Callable[[str], None]) -> None:
    machine("mi308x_partitions")
    config = prepared()
    assert config.split_mode == "layer"
    assert config.tensor_split == (46378.0,) * 4
    assert prepared(split_mode="none", main_gpu=1).tensor_split == ()
    assert prepared(splits=False).split_mode is None, "it has no flag for that"
    with pytest.raises(ConfigError, match="main_gpu is 4, and there are 4 GPUs"):
        load_model(RECITER, main_gpu=4)


def test_a_mask_in_the_options_counts_like_one_in_the_environment(
    machine: Callable[[str], None],
) -> None:
    machine("mi210_pair")
    changes = dict(prepared(environment={"HIP_VISIBLE_DEVICES": "1"}).environment)
    assert changes == {
        "ROCR_VISIBLE_DEVICES": "GPU-51276ac12ce05db3",
        "HIP_VISIBLE_DEVICES": "0",
    }


def test_the_cpu_backend_hides_gpus_from_its_child(machine: Callable[[str], None]) -> None:
    machine("rx_7900_xtx")
    assert dict(prepared(backend="cpu").environment)["ROCR_VISIBLE_DEVICES"] == ""
    assert prepared(backend="cpu", gpu_layers=3).environment == ()
    with pytest.raises(BackendUnavailable, match=r"devices=\[0\] asks for GPUs"):
        load_model(RECITER, backend="cpu", devices=0)


def test_devices_without_a_gpu_never_falls_back_to_the_cpu(
    machine: Callable[[str], None],
) -> None:
    machine("no_gpu")
    with pytest.raises(BackendUnavailable, match=r"asks for GPUs.*/dev/kfd does not exist"):
        load_model(RECITER, devices=0)


def test_a_server_without_a_backend_is_placed_too(machine: Callable[[str], None]) -> None:
    machine("rx_7800_xt_second")
    placed = place_on_gpus(LoadConfig(), splits=True)
    assert dict(placed.environment)["ROCR_VISIBLE_DEVICES"] == "GPU-5c88007d760374f3"
    machine("no_gpu")
    assert place_on_gpus(LoadConfig(), splits=True) == LoadConfig(), (
        "the engine may know other GPUs"
    )
    with pytest.raises(BackendUnavailable, match="shows no GPU"):
        place_on_gpus(LoadConfig(backend="rocm"), splits=True)
    other = LoadConfig(backend="somebody's")
    assert place_on_gpus(other, splits=True) is other


def test_what_auto_came_to_be_shares_a_server_with_it_by_name(
    machine: Callable[[str], None],
) -> None:
    machine("no_gpu")
    with load_model(RECITER) as one, load_model(RECITER, backend="cpu") as other:
        first, second = one.connection, other.connection
        assert isinstance(first, LocalConnection)
        assert isinstance(second, LocalConnection)
        assert first.server is second.server


def test_a_server_on_the_cpu_runs_with_gpus_hidden(engine: Engine) -> None:
    with load_model(RECITER, engine=engine, backend="cpu", context_len=640) as model:
        model.load()
        connection = model.connection
        assert isinstance(connection, LocalConnection)
        assert connection.server.pid is not None
        inside = psutil.Process(connection.server.pid).environ()
    assert inside["ROCR_VISIBLE_DEVICES"] == ""
    assert inside["HIP_VISIBLE_DEVICES"] == "-1"


def test_nothing_installed_lists_every_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("ROCM_LLAMA_SERVER_PATH", raising=False)
    with pytest.raises(BackendUnavailable, match=r"rocm: .*cpu: .*llama-rocm\[embedded\]"):
        load_model(RECITER)


def test_a_running_server_is_used_like_any_model(remote: Server) -> None:
    with load_model(f"{remote.url}/v1/", api_key=remote.api_key) as model:
        assert "".join(token.text for token in model.chat(HELLO)) == ANSWER
        assert model.info.n_ctx == 8192
        assert model.model_type == "llama", "its file is on this machine"
        assert model.info.architecture == "llama"
    assert remote.is_running


def test_a_wrong_key_is_told_at_once(remote: Server) -> None:
    model = load_model(remote.url or "", api_key="wrong")
    with pytest.raises(AuthenticationError, match="api_key"):
        list(model.chat(HELLO))


def test_nothing_behind_the_url(unused_port: int) -> None:
    with (
        load_model(f"http://127.0.0.1:{unused_port}") as model,
        pytest.raises(ServerUnreachable, match="nothing answers at http://127.0.0.1"),
    ):
        list(model.chat(HELLO))


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def loading() -> Reply:
    return answer("error_503_loading.b11434", 503)


def test_a_server_that_is_still_loading_is_waited_for() -> None:
    with FakeServer() as fake:
        fake.script("/props", loading(), loading(), answer("props.b11434"))
        with load_model(fake.url) as model:
            assert model.info.n_ctx == 512
        assert [request.path for request in fake.requests] == ["/props"] * 3 + ["/v1/models"]


def test_a_server_that_loads_for_too_long_is_an_error() -> None:
    with FakeServer() as fake:
        fake.script("/props", loading())
        model = load_model(fake.url, stall_timeout=0.1)
        with pytest.raises(ServerLoading, match="health"):
            model.load()
        with pytest.raises(ServerLoading):
            asyncio.run(model.aload())


def test_other_servers_of_the_dialect_need_no_props() -> None:
    with FakeServer() as fake:
        fake.script("/v1/chat/completions", stream("chat_stream.b11434"))
        with load_model(fake.url, model_name="theirs") as model:
            assert "".join(t.text for t in model.chat(HELLO)).startswith("Hello!")
        assert fake.requests[-1].body["model"] == "theirs"


def test_options_that_do_nothing_on_a_remote_server_are_told() -> None:
    with pytest.warns(UserWarning, match="context_len, gpu_layers: no effect"):
        load_model("http://127.0.0.1:1", context_len=5, gpu_layers=3)


def test_options_that_do_nothing_on_a_model_of_our_own_are_told_once(tmp_path: Path) -> None:
    remote: dict[str, Any] = {
        "headers": {"X-Tenant": "s3cret"},
        "api": "native",
        "ca_file": tmp_path / "ca.pem",
        "client_cert": tmp_path / "me.pem",
        "client_key": tmp_path / "me.key",
        "verify_tls": False,
    }
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            load_model(RECITER, **remote).close()
    (told,) = [str(warning.message) for warning in caught]
    assert told.startswith("headers, api, ca_file, client_cert, client_key, verify_tls: no effect")
    assert "base_url=" in told
    assert "s3cret" not in told
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_model(RECITER, context_len=512).close()


@pytest.mark.parametrize("parallel", [None, 2])
def test_a_context_longer_than_the_models_is_told_once(
    engine: Engine, parallel: int | None
) -> None:
    with load_model("demo", engine=engine, context_len=5000, parallel=parallel) as model:
        with pytest.warns(UserWarning) as caught:
            assert model.load().n_ctx == 4096
            model.load()
            list(model.generate("x", max_tokens=1))
        (told,) = [str(w.message) for w in caught]
        assert "context_len=5000" in told
        assert "opened 4096 tokens" in told


def test_a_context_that_is_opened_as_asked_for_is_not_told(engine: Engine) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        for length in (0, 300, 4096):
            with load_model("demo", engine=engine, context_len=length) as model:
                assert model.load().n_ctx >= length


def test_references_and_backends_that_do_not_fit() -> None:
    with pytest.raises(ConfigError, match="needs an http"):
        load_model(RECITER, backend="remote")
    with pytest.raises(ConfigError, match="running server"):
        load_model("http://127.0.0.1:1", backend="cpu")
    with pytest.raises(ConfigError, match="api_key belongs to a remote server"):
        load_model(RECITER, api_key="k")


def test_a_server_may_come_and_go_behind_one_model(engine: Engine) -> None:
    """Threads that open and close equal models at once never meet a stopped server."""
    failures: list[BaseException] = []

    def use() -> None:
        try:
            for _ in range(3):
                with load_model(RECITER, engine=engine, context_len=576) as model:
                    list(model.generate("x", max_tokens=2))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
