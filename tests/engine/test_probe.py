"""What an engine can do: recorded outputs played by a script, libraries made of bytes."""

from __future__ import annotations

import os
import struct
import sys
import zlib
from pathlib import Path

import pytest

from rocm_core.config import Engine as EngineName
from rocm_core.engine.engine_files import backend_files, gpu_backends
from rocm_core.engine.locate import find_engine
from rocm_core.engine.offload_bundles import gfx_targets, rocblas_targets
from rocm_core.engine.probe import Capabilities, capabilities, parse_devices
from rocm_core.errors import EngineNotFound
from tests.support.servers.fake_engines import (
    BLAS,
    EMPTY,
    NO_DEVICE,
    NOT_LOADED,
    RX_6700_XT,
    RX_6800,
    TWO_CUDA,
    VULKAN,
    amd,
    bundle,
    library,
    program,
)


def compressed(raw: bytes, version: int, method: int = 0) -> bytes:
    packed = zlib.compress(raw)
    sizes = {1: "<I", 2: "<II", 3: "<QQ"}[version]
    total = [len(packed) + 32] if version > 1 else []
    return (
        b"CCOB"
        + struct.pack("<HH", version, method)
        + struct.pack(sizes, *total, len(raw))
        + bytes(8)
        + packed
    )


# -- devices ---------------------------------------------------------------------------------


def test_devices_are_parsed_with_backend_memory_and_target() -> None:
    (card,) = parse_devices(RX_6700_XT)
    assert (card.name, card.backend, card.gfx) == ("ROCm0", "HIP", "gfx1031")
    assert (card.description, card.total_mib, card.free_mib) == (
        "AMD Radeon RX 6700 XT",
        12272,
        12248,
    )
    assert [d.name for d in parse_devices(TWO_CUDA)] == ["CUDA0", "CUDA1"]
    (radv,) = parse_devices(VULKAN)
    assert (radv.backend, radv.description) == ("Vulkan", "AMD Radeon(TM) Graphics")


@pytest.mark.parametrize("output", [EMPTY, NO_DEVICE, BLAS, ""])
def test_no_device_is_none(output: str) -> None:
    assert parse_devices(output) == ()


# -- the states, kept apart ------------------------------------------------------------------


def test_hip_works(tmp_path: Path) -> None:
    engine = program(tmp_path, RX_6700_XT)
    library(tmp_path, "libggml-hip.so", bundle(*amd("gfx1030", "gfx1031")))
    found = capabilities(engine)
    assert found.state == "gpu"
    assert found.backends == ("HIP",)
    assert found.version == "8204 (7a99dc85e)"
    assert found.gfx_targets == frozenset({"gfx1030", "gfx1031"})
    assert found.failure is None
    assert "--list-devices" in found.flags


def test_hip_without_a_device(tmp_path: Path) -> None:
    engine = program(tmp_path, NO_DEVICE)
    library(tmp_path, "libggml-hip.so")
    found = capabilities(engine)
    assert found.state == "no_device"
    assert found.failure is not None
    assert found.failure.name == "no_rocm_device"


def test_hip_that_cannot_be_loaded_names_the_library(tmp_path: Path) -> None:
    engine = program(tmp_path, NOT_LOADED)
    library(tmp_path, "libggml-hip.so")
    found = capabilities(engine)
    assert found.state == "no_device"
    assert found.failure is not None
    assert found.failure.name == "missing_rocm_library"
    assert "libamdhip64.so.7" in found.failure.cause


@pytest.mark.parametrize("output", [EMPTY, "Available devices:\n  (none)\n", BLAS])
def test_a_cpu_build(tmp_path: Path, output: str) -> None:
    library(tmp_path, "libggml-cpu-haswell.so")
    library(tmp_path, "libggml-base.so")
    found = capabilities(program(tmp_path, output))
    assert found.state == "cpu_only"
    assert found.backends == ()
    assert found.failure is None


@pytest.mark.parametrize(
    ("output", "name", "backend"),
    [(VULKAN, "libggml-vulkan.so", "Vulkan"), (TWO_CUDA, "libggml-cuda.so", "CUDA")],
)
def test_vulkan_and_cuda_builds_are_recognized(
    tmp_path: Path, output: str, name: str, backend: str
) -> None:
    engine = program(tmp_path, output)
    library(tmp_path, name)
    assert gpu_backends(engine) == (backend,)
    found = capabilities(engine)
    assert found.state == "gpu"
    assert found.backends == (backend,)
    assert found.gfx_targets is None


def test_a_static_build_is_known_by_its_devices_and_what_it_links(tmp_path: Path) -> None:
    found = capabilities(program(tmp_path, RX_6800))
    assert (found.state, found.backends) == ("gpu", ("HIP",))
    other = tmp_path / "other"
    engine = program(other, EMPTY)
    with Path(engine.argv[0]).open("ab") as file:
        file.write(b"\nexit\n# libamdhip64.so.7 " + bundle(*amd("gfx1100")))
    found = capabilities(engine)
    assert (found.state, found.backends) == ("no_device", ("HIP",))
    assert found.gfx_targets == frozenset({"gfx1100"})


def test_a_crash_is_a_finding(tmp_path: Path) -> None:
    # unslothai/unsloth#7272: exit 0 for --version, SIGSEGV and not a byte for --list-devices.
    engine = program(tmp_path, "", "kill -SEGV $$")
    library(tmp_path, "libggml-hip.so")
    found = capabilities(engine)
    assert found.state == "broken"
    assert found.failure is not None
    assert "SIGSEGV" in found.failure.cause
    assert "ROCR_VISIBLE_DEVICES" in found.failure.remedy


def test_a_crash_with_a_known_line_is_explained_by_it(tmp_path: Path) -> None:
    line = ":1:hip_fatbin.cpp :687 : 1 us:  No compatible code objects found for: gfx1152, value"
    found = capabilities(program(tmp_path, line + "\n", "kill -SEGV $$"))
    assert found.state == "broken"
    assert found.failure is not None
    assert found.failure.name == "no_code_object"
    assert "gfx1152" in found.failure.cause


def test_a_hang_is_a_finding(tmp_path: Path) -> None:
    found = capabilities(program(tmp_path, "", "exec sleep 600"), timeout=0.3)
    assert found.state == "broken"
    assert found.failure is not None
    assert "longer than 0.3 s" in found.failure.cause


def test_a_build_without_the_flag_is_judged_by_its_files(tmp_path: Path) -> None:
    engine = program(tmp_path, "never", "exit 9", flags="--jinja")
    assert capabilities(engine).state == "cpu_only"
    engine = program(tmp_path / "new", "never", "exit 9", flags="--jinja")
    library(tmp_path / "new", "libggml-hip.so")
    assert capabilities(engine).state == "no_device"


def test_a_mask_reaches_the_program_and_llama_variables_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = program(tmp_path, "", 'echo "seen: $ROCR_VISIBLE_DEVICES,$LLAMA_ARG_MODEL"; exit 3')
    env = {**os.environ, "ROCR_VISIBLE_DEVICES": "GPU-1", "LLAMA_ARG_MODEL": "leak"}
    found = capabilities(engine, env)
    assert found.failure is not None
    assert found.failure.evidence == "seen: GPU-1,"


def test_a_program_that_does_not_run_is_an_error(tmp_path: Path) -> None:
    engine = program(tmp_path, "")
    Path(engine.argv[0]).write_text("#!/nonexistent\n")
    with pytest.raises(EngineNotFound):
        capabilities(engine)


def test_a_rebuilt_program_is_asked_again(tmp_path: Path) -> None:
    engine = program(tmp_path, EMPTY)
    assert capabilities(engine).version == "8204 (7a99dc85e)"
    path = Path(engine.argv[0])
    path.write_text(path.read_text().replace("8204", "10000"))
    assert capabilities(engine).version == "10000 (7a99dc85e)"


def test_the_real_engines_are_cpu_builds(engine: EngineName) -> None:
    found: Capabilities = capabilities(find_engine(engine))
    assert found.state == "cpu_only"
    assert found.backends == ()
    assert found.version
    assert "-ngl" in found.flags
    assert not found.crashed


# -- code objects ----------------------------------------------------------------------------


def test_targets_of_plain_bundles(tmp_path: Path) -> None:
    content = bytes(100) + bundle(*amd("gfx90a:xnack-", "gfx1100", "gfx906:sramecc+:xnack-"))
    path = library(tmp_path, "libggml-hip.so", content + bytes(99) + bundle(*amd("gfx942")))
    assert gfx_targets(path) == frozenset({"gfx90a", "gfx1100", "gfx906", "gfx942"})


@pytest.mark.parametrize("before", [(1 << 20) - 10, (1 << 20) - 1, 3 << 20])
def test_a_driver_library_is_found_wherever_it_stands_in_a_large_program(
    tmp_path: Path, before: int
) -> None:
    path = tmp_path / "llama-server"
    path.write_bytes(bytes(before) + b"libcuda.so.1\0" + bytes(100) + b"libamdhip64.so.7\0")
    facts = (str(path), path.stat().st_mtime_ns, path.stat().st_size)
    assert backend_files(*facts) == (("HIP", "CUDA"), path)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_targets_of_compressed_bundles(tmp_path: Path, version: int) -> None:
    packed = compressed(bundle(*amd("gfx1200", "gfx11-generic")), version)
    path = library(tmp_path, "libggml-hip.so", b"CCOB by chance" + bytes(64) + packed + bytes(64))
    assert gfx_targets(path) == frozenset({"gfx1200", "gfx11-generic"})


@pytest.mark.skipif(sys.version_info < (3, 14), reason="zstd came with Python 3.14")
def test_targets_of_bundles_compressed_with_zstd(tmp_path: Path) -> None:
    from compression import zstd  # type: ignore[import-not-found,unused-ignore]

    raw = bundle(*amd("gfx1151"))
    packed = compressed(raw, 3, 1)[:32] + zstd.compress(raw)
    assert gfx_targets(library(tmp_path, "a.so", packed)) == frozenset({"gfx1151"})


@pytest.mark.parametrize(
    "content",
    [b"", b"CCOB", b"CCOB" + bytes(40), compressed(b"no bundle", 3), b"__CLANG_OFFLOAD_BUNDLE__"],
)
def test_a_library_that_does_not_tell(tmp_path: Path, content: bytes) -> None:
    assert gfx_targets(library(tmp_path, "libggml-hip.so", content)) is None
    assert gfx_targets(tmp_path / "gone.so") is None
    empty = tmp_path / "empty.so"
    empty.touch()
    assert gfx_targets(empty) is None


def test_targets_of_a_rocblas_beside_the_program(tmp_path: Path) -> None:
    assert rocblas_targets(tmp_path) is None
    folder = tmp_path / "rocblas" / "library"
    folder.mkdir(parents=True)
    for gfx in ("gfx1100", "gfx90a"):
        (folder / f"TensileLibrary_lazy_{gfx}.dat").touch()
    (folder / "TensileLibrary_gfx906.co").touch()
    assert rocblas_targets(tmp_path) == frozenset({"gfx1100", "gfx90a"})
