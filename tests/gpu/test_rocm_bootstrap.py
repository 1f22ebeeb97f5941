"""Our discovery beside AMD's own: the package rocm-bootstrap 0.3.0, which reads the same files.

It has no root folder to read from, so its one path is pointed at the recorded machine. Where the
two differ, the table says so with the reason (docs/gpu_discovery.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rocm_core.gpu import list_gpus
from rocm_core.gpu.kernel.kfd import gfx_name
from rocm_core.gpu.names import build_covers, chip_is_integrated
from tests.support.gpu_trees import MACHINES, build, mi300x_cpx
from tests.support.machine import Machine

platform = pytest.importorskip(
    "rocm_bootstrap._platform", reason="pip install rocm-bootstrap==0.3.0 (extra dev)"
)
detect = pytest.importorskip("rocm_bootstrap.detect")
targets = pytest.importorskip("rocm_bootstrap.targets")

NOTHING: tuple[tuple[int, str], ...] = ()
# What it finds where that is not what we find: (node, target) of each GPU, or its exception.
DIFFERENT: Mapping[str, object] = {
    # Kernels before 5.16 do not show a target; we go by the device id, as libhsakmt does.
    "rx_6900_xt_old_kernel": NOTHING,
    "vega10_old_kernel": NOTHING,
    # A node that a container's cgroup masks cannot be read, and only FileNotFoundError is caught.
    "masked_node": OSError,
}


@pytest.fixture(autouse=True)
def nothing_but_files(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ROCM_BOOTSTRAP_DISABLE_DETECTION", "ROCM_BOOTSTRAP_FORCE_GFX_ARCH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(platform, "run_clinfo", lambda: "")


def theirs(root: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[tuple[int, str], ...]:
    monkeypatch.setattr(platform, "KFD_TOPOLOGY", root / "sys/class/kfd/kfd/topology/nodes")
    return tuple((gpu.node_id, gpu.target.name) for gpu in detect.detect_gpus())


def ours(root: Path) -> tuple[tuple[int, str | None], ...]:
    return tuple((gpu.node, gpu.gfx) for gpu in list_gpus(root))


@pytest.mark.parametrize("name", MACHINES)
def test_both_find_the_same_gpus_on_recorded_machines(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = build(name, tmp_path)
    different: Any = DIFFERENT.get(name)
    if different is OSError:
        with pytest.raises(OSError):
            theirs(root, monkeypatch)
        assert len(ours(root)) == 1
    elif different is not None:
        assert theirs(root, monkeypatch) == different != ours(root)
    else:
        assert theirs(root, monkeypatch) == ours(root)


def test_from_ten_nodes_on_it_orders_them_as_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mi300x_cpx(Machine(tmp_path), cards=2)
    found, mine = theirs(tmp_path, monkeypatch), ours(tmp_path)
    assert sorted(found) == list(mine)
    assert found != mine, "10 comes before 2"


def test_a_target_that_it_does_not_know_hides_every_gpu_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = build("rx_7800_xt_first", tmp_path)
    node = root / "sys/class/kfd/kfd/topology/nodes/2/properties"
    node.write_text(node.read_text().replace("100306", "100307"))
    with pytest.raises(ValueError, match="100307"):
        theirs(root, monkeypatch)
    assert ours(root) == ((1, "gfx1101"), (2, "gfx1037"))


# -- every target that it knows -------------------------------------------------------------


def test_every_one_of_its_targets_has_the_same_name_here() -> None:
    known = {target.name: target.gfx_target_version for target in targets.ALL_TARGETS}
    assert len(known) == 34
    # The kernel shows one number for both; the strict one is a choice of the compiler's.
    assert known.pop("gfx1250-strict") == known["gfx1250"]
    assert {name: gfx_name(version) for name, version in known.items()} == {n: n for n in known}


def test_we_know_of_every_one_of_its_targets_whether_it_is_a_card() -> None:
    for target in targets.ALL_TARGETS:
        if target is not targets.GFX1250_STRICT:
            assert chip_is_integrated(target.name, None) is not None, target.name


def test_generic_targets_agree_but_for_those_that_llvm_lists_otherwise() -> None:
    # LLVM AMDGPUUsage, "Generic Processors": gfx9-generic leaves out the Instincts of its group,
    # gfx950 is in gfx9-4-generic, and gfx12-5-generic exists.
    different = {
        "gfx908": ("gfx9-generic", False),
        "gfx90a": ("gfx9-generic", False),
        "gfx950": ("gfx9-4-generic", True),
        "gfx1250": ("gfx12-5-generic", True),
        "gfx1251": ("gfx12-5-generic", True),
    }
    for target in targets.ALL_TARGETS:
        generic = [bundle.llvm_generic for bundle in targets.packaging_chain(target)]
        if target.name in different:
            name, covers = different[target.name]
            assert build_covers([name], target.name) is covers
            assert (name in generic) is not covers
        elif target is not targets.GFX1250_STRICT:
            (name,) = filter(None, generic)
            assert build_covers([name], target.name), target.name
