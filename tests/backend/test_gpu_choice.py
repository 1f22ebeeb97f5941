"""The backend by machine, engine, and how the engine is named: GPU or CPU, why, and who is told."""

from __future__ import annotations

import importlib
import os
import re
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rocm_core import LoadConfig, get_backend, load_model, resolve_ref
from rocm_core.backend import choose_backend, probe_backend, server_config
from rocm_core.backend.base import Availability
from rocm_core.cli import main
from rocm_core.discover.refs import ModelRef
from rocm_core.engine.gpu_judgment import resolve_backend
from rocm_core.engine.gpu_placement import place_on_gpus
from rocm_core.engine.installed.choice import choose_engine
from rocm_core.engine.locate import PATH_VARIABLE
from rocm_core.errors import BackendUnavailable, ConfigError
from tests.support.gpu_trees import build
from tests.support.machine import run_on
from tests.support.models.reciter import RECITER
from tests.support.servers.fake_engines import (
    EMPTY,
    RX_6800,
    VULKAN,
    amd,
    bundle,
    cpu_program,
    hip_program,
    library,
    program,
    vulkan_program,
)

REF = resolve_ref(RECITER)
MACHINES = {
    "no GPU": "no_gpu",
    "card": "rx_7900_xtx",
    "APU": "phoenix_780m",
    "card without /dev/kfd": "rx_7900_xtx",
    "card without permission": "rx_7900_xtx",
}
BINARIES: dict[str, Callable[[Path], Any]] = {
    "CPU binary": cpu_program,
    "HIP binary": lambda path: hip_program(path, "gfx1100", "gfx1103"),
    "HIP binary for others": lambda path: hip_program(path, "gfx906"),
    "Vulkan binary with a device": vulkan_program,
    "Vulkan binary without one": lambda path: vulkan_program(path, EMPTY),
}
WHEELS = {
    "CPU wheel": b"ggml",
    # auditwheel gives libraries that a wheel brings along a name of their own.
    "ROCm wheel": b"libamdhip64-3f2a9c01.so.6" + bundle(*amd("gfx1100", "gfx1103")),
}
WAYS = ("found", "server_path", "variable")


@dataclass
class Setting:
    """One row of the table, laid out on disk."""

    options: dict[str, Any]
    reason: str
    usable: bool
    has_gpu: bool


def expected(machine: str, engine: str) -> tuple[bool, str]:
    """Whether a GPU is used, and a pattern of the reason."""
    if engine == "none":
        return False, "no llama.cpp engine found"
    if engine.startswith("CPU"):
        return False, "is a CPU build: it has no GPU backend"
    if engine == "Vulkan binary with a device":
        return True, r"Vulkan0 AMD Radeon\(TM\) Graphics: seen by .*llama-server"
    if engine == "Vulkan binary without one":
        return False, "has Vulkan, and sees no device"
    if machine in ("no GPU", "card without /dev/kfd"):
        return False, "/dev/kfd does not exist"
    if machine == "card without permission":
        return False, "no permission for /dev/kfd: add yourself to the groups"
    if engine == "HIP binary for others":
        return False, "GPU 0: .*build has no code for gfx110[03]"
    return True, "GPU 0: AMD Radeon (RX 7900 XTX|780M Graphics) "


ROWS = [
    *((m, e, way) for m in MACHINES for e in BINARIES for way in WAYS),
    *((m, e, "found") for m in MACHINES for e in WHEELS),
    *((m, e, "asked for") for m in MACHINES for e in WHEELS),
    *((m, "none", "found") for m in MACHINES),
]


def lay_out(
    machine: str, engine: str, way: str, tmp_path: Path, patch: pytest.MonkeyPatch
) -> Setting:
    root = build(MACHINES[machine], tmp_path / "machine")
    if machine.endswith("/dev/kfd"):
        (root / "dev/kfd").unlink()
    if machine.endswith("permission"):
        access = os.access
        patch.setattr(
            "os.access", lambda path, mode: path != root / "dev/kfd" and access(path, mode)
        )
    run_on(root, patch)
    patch.setenv("PATH", str(tmp_path / "bin"))
    patch.delenv(PATH_VARIABLE, raising=False)
    patch.setattr("rocm_core.engine.locate._packaged", lambda: iter(()))
    options: dict[str, Any] = {}
    if engine in BINARIES:
        path = BINARIES[engine](tmp_path / ("bin" if way == "found" else "mine")).argv[0]
        if way == "server_path":
            options["server_path"] = path
        if way == "variable":
            patch.setenv(PATH_VARIABLE, path)
    install_wheel(WHEELS.get(engine), tmp_path, patch)
    if way == "asked for":
        options["engine"] = "embedded"
    usable, reason = expected(machine, engine)
    return Setting(options, reason, usable, machine != "no GPU")


def install_wheel(content: bytes | None, tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    """The package ``xllamacpp`` with this engine in it, in place of the real one, or none."""
    patch.delitem(sys.modules, "xllamacpp", raising=False)
    if content is None:
        real = importlib.util.find_spec
        patch.setattr("importlib.util.find_spec", lambda n: None if n == "xllamacpp" else real(n))
        return
    package = tmp_path / "site" / "xllamacpp"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    library(package, "xllamacpp.abi3.so", content)
    patch.syspath_prepend(str(package.parent))


@pytest.fixture(params=ROWS, ids=", ".join)
def setting(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Setting:
    machine, engine, way = request.param
    return lay_out(machine, engine, way, tmp_path, monkeypatch)


def test_the_backend_follows_from_machine_and_engine(setting: Setting) -> None:
    config = LoadConfig(**setting.options)
    rocm = get_backend("rocm").probe(config)
    assert rocm.ok is setting.usable
    assert_found(setting.reason, "; ".join(rocm.reasons))
    if "no llama.cpp engine" in setting.reason:
        with pytest.raises(BackendUnavailable, match=setting.reason):
            choose_backend(REF, config)
        return
    name = "rocm" if setting.usable else "cpu"
    assert choose_backend(REF, config).name == name
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ours = server_config(REF, config)
        assert (ours.backend, ours.gpu_layers) == (name, -1 if setting.usable else 0)
        # A server without a model, and a model, choose alike; neither warns of the same again.
        assert resolve_backend(config) == ours
        with load_model(RECITER, config) as model:
            assert model.connection.config == ours
    assert len(caught) == (setting.has_gpu and not setting.usable)
    for warning in caught:
        assert warning.category is RuntimeWarning
        text = str(warning.message)
        assert_found(setting.reason, text)
        assert "although there is GPU" in text
        assert "Remedy: " in text or "add yourself" in text
        assert "backend='cpu'" in text


only_found = pytest.mark.parametrize(
    "setting", [row for row in ROWS if row[2] == "found"], ids=", ".join, indirect=True
)


@only_found
def test_what_requires_a_gpu_is_refused_with_the_reason(setting: Setting) -> None:
    options = {**setting.options, "require_gpu": True}
    if setting.usable:
        assert server_config(REF, LoadConfig(**options)).backend == "rocm"
        return
    with pytest.raises(BackendUnavailable) as caught:
        load_model(RECITER, **options)
    assert_found(setting.reason, str(caught.value))
    assert "'cpu' was" not in str(caught.value)
    if "kfd" not in setting.reason:
        assert "/dev/kfd" not in str(caught.value)


@only_found
def test_who_wants_no_gpu_is_told_nothing(setting: Setting) -> None:
    if "no llama.cpp engine" in setting.reason:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for options in ({"backend": "cpu"}, {"gpu_layers": 0}, {"require_gpu": False}):
            server_config(REF, LoadConfig(**setting.options, **options))


def assert_found(pattern: str, text: str) -> None:
    assert re.search(pattern, text), text


@only_found
def test_serve_chooses_like_a_model(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    configs: list[LoadConfig] = []

    def server(ref: ModelRef, config: LoadConfig, **rest: object) -> None:
        configs.append(config)
        raise ConfigError("enough")

    monkeypatch.setattr("rocm_core.cli.run.serve.Server", server)
    path = setting.options.get("server_path")
    asked = ["--engine", setting.options["engine"]] if "engine" in setting.options else []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main(["serve", "-m", RECITER, *asked, *(["--server-path", str(path)] if path else [])])
    backends = [config.backend for config in configs]
    no_engine = "no llama.cpp engine" in setting.reason
    assert backends == ([] if no_engine else ["rocm" if setting.usable else "cpu"])


# -- further parts of a configuration -------------------------------------------------------------


@pytest.fixture
def row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Setting]:
    """Lays out a row of the table."""
    return lambda machine, engine, way: lay_out(machine, engine, way, tmp_path, monkeypatch)


def test_a_mask_in_the_options_counts(row: Callable[..., Setting]) -> None:
    row("card", "HIP binary", "found")
    hidden = LoadConfig(environment={"ROCR_VISIBLE_DEVICES": ""})
    with pytest.warns(RuntimeWarning, match="hides every GPU. Unset it"):
        assert server_config(REF, hidden).backend == "cpu"
    assert server_config(REF, LoadConfig()).backend == "rocm"


def test_a_vulkan_build_is_asked_under_the_environment_of_its_server(
    row: Callable[..., Setting], tmp_path: Path
) -> None:
    options = row("no GPU", "Vulkan binary without one", "server_path").options
    path = Path(options["server_path"])
    listed = "echo 'Available devices:'; [ $GGML_VK_VISIBLE_DEVICES = 1 ] && echo"
    line = f"{listed} '  Vulkan1: AMD Radeon (8192 MiB, 8000 MiB free)'"
    path.write_text(path.read_text().replace("printf %s", f"{line}; exit 0; printf %s"))
    seen = LoadConfig(**options, environment={"GGML_VK_VISIBLE_DEVICES": "1"})
    assert server_config(REF, seen).backend == "rocm"
    assert server_config(REF, LoadConfig(**options)).backend == "cpu"


def test_devices_of_a_vulkan_build_are_those_that_it_lists(
    row: Callable[..., Setting], tmp_path: Path
) -> None:
    row("no GPU", "none", "found")
    two = VULKAN + "  Vulkan1: AMD Radeon RX 6800 (16368 MiB, 16342 MiB free)\n"
    engine = program(tmp_path / "vulkan", two, flags="--device D  x\n--list-devices  x")
    library(tmp_path / "vulkan", "libggml-vulkan.so")

    def arguments(*devices: int | str) -> tuple[str, ...]:
        config = LoadConfig(server_path=engine.argv[0], devices=devices)
        return tuple(place_on_gpus(server_config(REF, config), splits=True).extra_args)

    assert arguments() == ()
    assert arguments(1) == arguments("vulkan1") == arguments("6800") == ("--device", "Vulkan1")
    assert arguments("Radeon") == ("--device", "Vulkan0,Vulkan1")
    with pytest.raises(ConfigError, match="no GPU 2 for this engine. It lists: Vulkan0 AMD Radeon"):
        arguments(2)
    old = vulkan_program(tmp_path / "old").argv[0]
    with pytest.raises(ConfigError, match="has no --device to choose"):
        place_on_gpus(LoadConfig(server_path=old, devices=(0,)), splits=True)


def test_the_embedded_engine_gets_the_gpus_like_the_program(row: Callable[..., Setting]) -> None:
    row("card", "ROCm wheel", "found")
    placed = place_on_gpus(server_config(REF, LoadConfig()), splits=False)
    assert dict(placed.environment)["ROCR_VISIBLE_DEVICES"] == "GPU-a1ffc9d1799c317f"


def test_an_engine_that_reaches_the_gpu_goes_before_one_that_comes_first(
    row: Callable[..., Setting], tmp_path: Path
) -> None:
    row("card", "ROCm wheel", "found")
    cpu = cpu_program(tmp_path / "bin")
    assert server_config(REF, LoadConfig()).backend == "rocm"
    assert choose_engine(LoadConfig()).kind == "embedded"
    named = LoadConfig(server_path=cpu.argv[0])
    with pytest.warns(RuntimeWarning, match="CPU build.*Remedy: leave the choice.*xllamacpp"):
        assert server_config(REF, named).backend == "cpu"


@pytest.mark.parametrize(("listed", "backend"), [(RX_6800, "rocm"), (EMPTY, "cpu")])
def test_a_program_with_its_libraries_elsewhere_is_asked(
    row: Callable[..., Setting], tmp_path: Path, listed: str, backend: str
) -> None:
    row("card", "none", "found")
    path = program(tmp_path / "script", listed).argv[0]
    config = LoadConfig(server_path=path, require_gpu=False)
    assert server_config(REF, config).backend == backend


def test_a_program_that_cannot_be_asked_may_use_the_card(
    row: Callable[..., Setting], tmp_path: Path
) -> None:
    row("card", "none", "found")
    path = program(tmp_path / "old", "", flags="--jinja  x").argv[0]
    assert server_config(REF, LoadConfig(server_path=path)).backend == "rocm"


def test_layers_for_rpc_workers_are_kept_on_a_machine_without_a_gpu(
    row: Callable[..., Setting],
) -> None:
    row("no GPU", "CPU binary", "found")
    assert server_config(REF, LoadConfig(rpc_servers=("127.0.0.1:50052",))).gpu_layers == -1


def test_backends_of_other_packages_may_probe_without_a_configuration() -> None:
    class Older:
        name = "older"

        def probe(self) -> Availability:
            return Availability(True, ("asked",))

    class Newer(Older):
        def probe(self, config: LoadConfig | None = None) -> Availability:
            return Availability(True, (config.engine if config else "none",))

    config = LoadConfig(engine="embedded")
    assert probe_backend(Older(), config).reasons == ("asked",)  # type: ignore[arg-type]
    assert probe_backend(Newer(), config).reasons == ("embedded",)  # type: ignore[arg-type]


def test_a_server_of_ones_own_needs_a_backend_that_runs_one() -> None:
    with pytest.raises(ConfigError, match="'remote' starts no server on this machine"):
        server_config(REF, LoadConfig(backend="remote"))
    with pytest.raises(ConfigError, match="no backend 'tpu'"):
        server_config(REF, LoadConfig(backend="tpu"))
