"""Choosing GPUs, and what the child process is told: the table of recorded machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from rocm_core.errors import ConfigError
from rocm_core.gpu import Gpu, Selection, list_gpus, select_gpus
from tests.support.gpu_trees import build, mi300x_cpx
from tests.support.machine import Machine

NOTHING = {"ROCR_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": "-1", "CUDA_VISIBLE_DEVICES": "-1"}
# machine → ROCR_VISIBLE_DEVICES, HIP_VISIBLE_DEVICES, split mode
TABLE: Mapping[str, tuple[str, str, str | None]] = {
    "rx_7900_xtx": ("GPU-a1ffc9d1799c317f", "0", None),
    "rx_7800_xt_first": ("GPU-5c88007d760374f3", "0", None),
    "rx_7800_xt_second": ("GPU-5c88007d760374f3", "0", None),
    "rx_7800_xt_with_crossed_render_nodes": ("GPU-5c88007d760374f3", "0", None),
    "rx_6900_xt_old_kernel": ("GPU-946d7e1ef9b172dd", "0", None),
    "mi210_pair": ("GPU-1901ead3a2ecd4a6,GPU-51276ac12ce05db3", "0,1", "layer"),
    "mi300x_cpx": ("0,1,2,3,4,5,6,7", "0,1,2,3,4,5,6,7", "layer"),
    "mi308x_partitions": ("0,1,2,3", "0,1,2,3", "layer"),
    "mi300a": (
        "GPU-6cdb410c2f219ac0,GPU-a5b43667c73cac87,GPU-655f5d89689c7f67,GPU-5f8fb5cf1f014be1",
        "0,1,2,3",
        "layer",
    ),
    "strix_halo_512_mb": ("0", "0", None),
    "strix_halo_4_gb": ("0", "0", None),
    "strix_halo_96_gb": ("0", "0", None),
    "vega10_old_kernel": ("GPU-c34ec50444dd0a6c", "0", None),
    "phoenix_780m": ("0", "0", None),
    "masked_node": ("GPU-a1ffc9d1799c317f", "0", None),
    "one_of_two_render_nodes": ("GPU-5c88007d760374f3", "0", None),
}


def on(name: str, root: Path) -> list[Gpu]:
    return list_gpus(build(name, root))


def indices(selection: Selection) -> list[int | None]:
    return [gpu.hip_index for gpu in selection]


@pytest.mark.parametrize("name", TABLE)
def test_each_machine_gives_its_choice_and_environment(name: str, tmp_path: Path) -> None:
    rocr, hip, mode = TABLE[name]
    selection = select_gpus(on(name, tmp_path), env={})
    assert selection.environment == {"ROCR_VISIBLE_DEVICES": rocr, "HIP_VISIBLE_DEVICES": hip}
    assert selection.split_mode == mode
    assert selection.warnings == ()


@pytest.mark.parametrize("name", ["no_gpu", "without_render_node"])
def test_without_a_usable_gpu_everything_is_hidden(name: str, tmp_path: Path) -> None:
    selection = select_gpus(on(name, tmp_path), env={})
    assert not selection
    assert selection.environment == NOTHING
    assert selection.reason == "there is no GPU that can be used"


def test_the_integrated_gpu_is_skipped_with_a_reason(tmp_path: Path) -> None:
    selection = select_gpus(on("rx_7800_xt_second", tmp_path), env={})
    ((skipped, reason),) = selection.skipped
    assert skipped.gfx == "gfx1036"
    assert "gfx1036 is an APU" in reason
    assert [gpu.name for gpu in selection] == ["AMD Radeon RX 7800 XT"]
    assert selection[0] is selection.gpus[0]
    assert selection[:1] == selection.gpus


def test_an_apu_that_claims_more_memory_does_not_outrank_the_card(tmp_path: Path) -> None:
    """unslothai/unsloth#7624: the size of shared memory must not decide."""
    card, igpu = on("rx_7800_xt_first", tmp_path)
    huge = replace(igpu, memory_total=2**37, memory_free=2**37)
    assert indices(select_gpus([card, huge], env={})) == [0]


def test_the_split_follows_free_memory(tmp_path: Path) -> None:
    assert select_gpus(on("mi308x_partitions", tmp_path), env={}).tensor_split == (46378.0,) * 4
    pair = on("mi210_pair", tmp_path / "pair")
    assert select_gpus(pair, env={}).tensor_split == (), "nobody recorded their memory"
    known = [replace(pair[0], memory_free=60 * 2**30), replace(pair[1], memory_free=20 * 2**30)]
    assert select_gpus(known, env={}).tensor_split == (61440.0, 20480.0)


def test_no_more_devices_than_llama_cpp_takes(tmp_path: Path) -> None:
    mi300x_cpx(Machine(tmp_path), cards=8)
    selection = select_gpus(list_gpus(tmp_path), env={})
    assert indices(selection) == list(range(16))
    assert selection.skipped[0][1] == "llama.cpp takes 16 devices at most"


# -- asked for ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "chosen"),
    [
        (1, [1]),
        ("1", [1]),
        ("GPU-5c88007d760374f3", [1]),
        ("gpu-5C88", [1]),
        ("0000:03:00.0", [1]),
        ("03:00.0", [1]),
        ("7800 xt", [1]),
        ("gfx1036", [0]),
        ("radeon", [0, 1]),
    ],
)
def test_devices_by_index_uuid_address_or_name(
    device: int | str, chosen: list[int], tmp_path: Path
) -> None:
    assert indices(select_gpus(on("rx_7800_xt_second", tmp_path), [device], {})) == chosen


def test_devices_keep_their_order_and_count_once(tmp_path: Path) -> None:
    """A repeated entry would end ROCR's list."""
    selection = select_gpus(on("mi210_pair", tmp_path), [1, 0, "GPU-51276ac12ce05db3"], {})
    assert selection.environment["ROCR_VISIBLE_DEVICES"] == (
        "GPU-51276ac12ce05db3,GPU-1901ead3a2ecd4a6"
    )


@pytest.mark.parametrize("device", [7, -1, "RTX 4090", "GPU-ffff", "0000:99:00.0", ""])
def test_an_unknown_device_is_told_what_there_is(device: int | str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"There are: GPU 0: AMD Radeon RX 7900 XTX .*GPU-a1ff"):
        select_gpus(on("rx_7900_xtx", tmp_path), [device], {})


def test_no_device_at_all_is_said_so() -> None:
    with pytest.raises(ConfigError, match="no GPU 0. There is none"):
        select_gpus([], [0], {})


def test_true_is_no_index(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a device is an index"):
        select_gpus(on("rx_7900_xtx", tmp_path), [True], {})


def test_a_device_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="renderD128 does not exist"):
        select_gpus(on("without_render_node", tmp_path), ["7900 XTX"], {})


# -- masks of the user --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "chosen"),
    [
        ({"ROCR_VISIBLE_DEVICES": "1"}, [1]),
        ({"ROCR_VISIBLE_DEVICES": "0"}, [0]),  # the iGPU, since the user says so
        ({"ROCR_VISIBLE_DEVICES": "1,0"}, [1, 0]),
        ({"ROCR_VISIBLE_DEVICES": "gpu-5c88"}, [1]),
        ({"HIP_VISIBLE_DEVICES": "1"}, [1]),
        ({"CUDA_VISIBLE_DEVICES": "1"}, [1]),
        ({"HIP_VISIBLE_DEVICES": "", "CUDA_VISIBLE_DEVICES": "1"}, [1]),
        ({"HIP_VISIBLE_DEVICES": "0", "CUDA_VISIBLE_DEVICES": "1"}, [0]),
        ({"HIP_VISIBLE_DEVICES": "GPU-5c88007d760374f3"}, [1]),
        # HIP counts in what ROCR left: its 0 is our 1.
        ({"ROCR_VISIBLE_DEVICES": "1", "HIP_VISIBLE_DEVICES": "0"}, [1]),
        ({"ROCR_VISIBLE_DEVICES": "1,0", "HIP_VISIBLE_DEVICES": "1"}, [0]),
    ],
)
def test_a_mask_is_honored_as_the_runtimes_read_it(
    env: dict[str, str], chosen: list[int], tmp_path: Path
) -> None:
    gpus = on("rx_7800_xt_second", tmp_path)
    selection = select_gpus(gpus, env=env)
    assert indices(selection) == chosen
    named = {0: "0", 1: "GPU-5c88007d760374f3"}
    assert selection.environment["ROCR_VISIBLE_DEVICES"] == ",".join(named[i] for i in chosen)
    assert selection.environment["HIP_VISIBLE_DEVICES"] == ",".join(
        str(i) for i in range(len(chosen))
    )
    assert "VISIBLE_DEVICES=" in selection.reason


@pytest.mark.parametrize(
    "env", [{"ROCR_VISIBLE_DEVICES": ""}, {"HIP_VISIBLE_DEVICES": "-1"}], ids=str
)
def test_a_mask_may_hide_everything(env: dict[str, str], tmp_path: Path) -> None:
    selection = select_gpus(on("rx_7900_xtx", tmp_path), env=env)
    assert not selection
    assert "hides every GPU. Unset it" in selection.warnings[0]
    assert selection.environment == NOTHING


@pytest.mark.parametrize(
    ("value", "chosen"), [("0,9,1", [0]), ("0,0,1", [0]), ("x", []), ("GPU-zz,0", [])]
)
def test_a_wrong_or_repeated_entry_ends_the_list_and_is_told(
    value: str, chosen: list[int], tmp_path: Path
) -> None:
    selection = select_gpus(on("mi210_pair", tmp_path), env={"ROCR_VISIBLE_DEVICES": value})
    assert indices(selection) == chosen
    assert "ends the list there" in selection.warnings[0]


def test_a_device_outside_the_mask_is_refused(tmp_path: Path) -> None:
    gpus = on("mi210_pair", tmp_path)
    env = {"ROCR_VISIBLE_DEVICES": "1"}
    with pytest.raises(ConfigError, match=r"hidden by ROCR_VISIBLE_DEVICES=1\. Unset that"):
        select_gpus(gpus, [0], env)
    assert indices(select_gpus(gpus, [1], env)) == [1]


def test_a_prefix_of_two_uuids_names_neither(tmp_path: Path) -> None:
    partitions = on("mi308x_partitions", tmp_path)
    env = {"ROCR_VISIBLE_DEVICES": "GPU-084cafeae17e7696"}
    assert not select_gpus(partitions, env=env)


def test_an_opencl_mask_is_removed_and_told(tmp_path: Path) -> None:
    selection = select_gpus(on("rx_7900_xtx", tmp_path), env={"GPU_DEVICE_ORDINAL": "1"})
    assert selection.environment["GPU_DEVICE_ORDINAL"] is None
    assert "use ROCR_VISIBLE_DEVICES instead" in selection.warnings[0]


# -- what the build covers ----------------------------------------------------------------------


def test_a_gpu_the_build_has_no_code_for_is_skipped(tmp_path: Path) -> None:
    gpus = on("rx_7800_xt_second", tmp_path)
    assert indices(select_gpus(gpus, env={}, build={"gfx1101", "gfx1036"})) == [1]
    selection = select_gpus(gpus, env={}, build={"gfx942"})
    assert not selection
    assert "no code for gfx1101" in selection.skipped[1][1]


@pytest.mark.parametrize("target", ["gfx1100", "gfx1100:xnack-", "gfx11-generic"])
def test_a_build_may_cover_a_family(target: str, tmp_path: Path) -> None:
    assert select_gpus(on("rx_7900_xtx", tmp_path), env={}, build=[target])


def test_an_override_is_set_only_where_one_is_known_and_needed(tmp_path: Path) -> None:
    (apu,) = on("phoenix_780m", tmp_path)
    override = "HSA_OVERRIDE_GFX_VERSION"
    assert override not in select_gpus([apu], env={}, build=["gfx1103"]).environment
    assert override not in select_gpus([apu], env={}).environment
    selection = select_gpus([apu], env={}, build=["gfx1100"])
    assert selection.environment[override] == "11.0.0"
    assert "running it as HSA_OVERRIDE_GFX_VERSION=11.0.0" in selection.warnings[0]
    mine = select_gpus([apu], env={override: "11.0.2"}, build=["gfx1100"])
    assert override not in mine.environment, "the user's own one stays"


def test_gpus_that_need_different_overrides_get_none(tmp_path: Path) -> None:
    card, igpu = on("rx_7800_xt_first", tmp_path)
    selection = select_gpus([card, igpu], [0, 1], {}, build=["gfx1030", "gfx1100"])
    assert "HSA_OVERRIDE_GFX_VERSION" not in selection.environment
    assert [warning.endswith("use another build") for warning in selection.warnings] == [True] * 2


def test_native_code_is_preferred_to_an_override(tmp_path: Path) -> None:
    card = on("rx_7900_xtx", tmp_path)[0]
    other = replace(card, node=2, hip_index=1, gfx="gfx1102", uuid="GPU-0000000000000002")
    assert indices(select_gpus([card, other], env={}, build=["gfx1100"])) == [0]


@pytest.mark.parametrize(
    ("env", "build", "words"),
    [
        ({"HSA_OVERRIDE_GFX_VERSION": "10.3.0"}, None, "not known to work"),
        ({"HSA_OVERRIDE_GFX_VERSION": "11.0.1"}, ["gfx1100"], "code for gfx1100 itself"),
        ({"HSA_OVERRIDE_GFX_VERSION_1": "10.3.0"}, None, "for a gfx1030"),
        ({"HSA_OVERRIDE_GFX_VERSION": "gfx1100"}, None, "is invalid: it must look like 10.3.0"),
        ({"HSA_OVERRIDE_GFX_VERSION": "11.0.0"}, ["gfx1100"], None),
        ({"HSA_OVERRIDE_GFX_VERSION_0": "10.3.0"}, None, None),  # the CPU's node
        ({"HSA_OVERRIDE_GFX_VERSIONS": "x"}, None, None),
    ],
)
def test_a_stale_override_is_told(
    env: dict[str, str], build: list[str] | None, words: str | None, tmp_path: Path
) -> None:
    warnings = select_gpus(on("rx_7900_xtx", tmp_path), env=env, build=build).warnings
    if words is None:
        assert warnings == ()
    else:
        assert words in warnings[0]
        assert "Unset it" in warnings[0]
