"""The embedded engine's command line: llama-server's flags, and nothing that they do not say."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rocm_core.engine import embedded_start
from rocm_core.engine.embedded_flags import BUILT_IN_TEMPLATES, FLAGS, flags_of
from rocm_core.engine.embedded_server import parameters
from rocm_core.engine.locate import find_engine
from tests.support.engines import as_the_wheel_can

pytestmark = pytest.mark.engine


def of(*argv: str) -> Any:
    """The parameters for xllamacpp."""
    return parameters(["-m", "m.gguf", *argv], None)


def refusal(*argv: str) -> str:
    with pytest.raises(ValueError) as caught:
        of(*argv)
    return str(caught.value)


def test_a_download_reaches_the_engine_as_a_repository() -> None:
    params = parameters(["-hf", "org/repo:Q4_K_M", "--port", "1"], "key")
    assert params.model.hf_repo == "org/repo:Q4_K_M"
    assert not Path(params.model.path).exists()
    # By argparse -hf was -h f. The field is a list since 2026.10.
    hosts = params.hostnames if hasattr(params, "hostnames") else [params.hostname]
    assert hosts == ["127.0.0.1"]
    assert params.api_keys == ["key"]


def test_a_flag_is_known_by_its_whole_name_only() -> None:
    params = of("-cram", "512", "-tb", "3")
    assert (params.cache_ram_mib, params.n_ctx) == (512, 0)
    assert params.cpuparams_batch.n_threads == 3
    for word in ("-cr", "-mx", "--cache", "-h", "--help", "word"):
        assert refusal(word) == f"error: invalid argument: {word}"
    assert refusal("-c") == "error: expected value for argument: -c"


def test_flags_of_speculation_set_what_they_name() -> None:
    params = of("-md", "d.gguf", "--spec-type", "draft-simple,ngram-simple", "-ngld", "0")
    kinds = [
        kind.name.removeprefix("COMMON_SPECULATIVE_TYPE_") for kind in params.speculative.types
    ]
    assert kinds == ["DRAFT_SIMPLE", "NGRAM_SIMPLE"]
    assert params.speculative.draft.mparams.path == "d.gguf"
    assert params.speculative.draft.n_gpu_layers == 0
    assert of("--spec-draft-n-max", "9").speculative.draft.n_max == 9


def test_flags_of_several_gpus_set_what_they_name() -> None:
    params = of("-sm", "row", "-ts", "3,1", "-mg", "1", "-ngl", "all")
    assert params.split_mode.name == "LLAMA_SPLIT_MODE_ROW"
    assert list(params.tensor_split[:3]) == [3.0, 1.0, 0.0]
    assert (params.main_gpu, params.n_gpu_layers) == (1, -2)


@pytest.mark.parametrize(
    ("word", "member"),
    [
        ("auto", "AUTO"),
        ("none", "NONE"),
        ("mmap", "MMAP"),
        ("mlock", "MLOCK"),
        ("mmap+mlock", "MMAP_MLOCK"),
        ("dio", "DIRECT_IO"),
    ],
)
def test_every_load_mode_is_one_of_the_engine(word: str, member: str) -> None:
    assert of("--load-mode", word).load_mode.name == f"LLAMA_LOAD_MODE_{member}"


def test_weights_that_stay_in_host_memory_are_rules_in_the_order_of_the_flags() -> None:
    params = of("-ot", "norm=CPU", "-ncmoe", "2", "-ncffn", "1")
    assert params.tensor_buft_overrides.split(",") == [
        "norm=CPU",
        r"blk\.0\.ffn_(up|down|gate|gate_up)_(ch|)exps=CPU",
        r"blk\.1\.ffn_(up|down|gate|gate_up)_(ch|)exps=CPU",
        r"blk\.0\.ffn_(up|down|gate)\.=CPU",
    ]
    assert of("-ncmoe", "0").tensor_buft_overrides == ""
    assert "invalid value '-1'" in refusal("-ncmoe", "-1")
    assert "invalid value 'norm=Vulkan7'" in refusal("-ot", "norm=Vulkan7")


def test_a_share_of_a_cache_sizes_the_cache_as_llama_server_does() -> None:
    with as_the_wheel_can("kv_unified_per_slot"):
        assert of("--kv-unified-per-slot", "512").n_ctx == 4 * 512
        assert of("-np", "2", "-kvu", "--kv-unified-per-slot", "512").n_ctx == 1024
        assert of("-c", "4096", "--kv-unified-per-slot", "512").n_ctx == 4096


@pytest.mark.parametrize("word", ["on", "off", "auto"])
def test_every_lazy_mode_is_one_of_the_engine(word: str) -> None:
    with as_the_wheel_can("lazy_mode"):
        assert of("--lazy-mode", word).lazy_mode.name == f"LLAMA_LAZY_MODE_{word.upper()}"


def test_slots_share_a_cache_unless_their_number_is_given() -> None:
    for argv, expected in (
        ((), (4, True)),
        (("-np", "2"), (2, False)),
        (("-np", "2", "-kvu"), (2, True)),
        (("-np", "-1"), (4, True)),
    ):
        params = of(*argv)
        assert (params.n_parallel, params.kv_unified) == expected, argv


def test_adapters_are_read_like_a_row_of_csv() -> None:
    params = of(
        "--lora", 'a.gguf,"b,c.gguf"', "--lora", '"say ""x"".gguf"', "--lora-scaled", "d:0.5"
    )
    assert [(a.path, a.scale) for a in params.lora_adapters] == [
        ("a.gguf", 1.0),
        ("b,c.gguf", 1.0),
        ('say "x".gguf', 1.0),
        ("d", 0.5),
    ]


def test_a_template_may_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "t.jinja"
    path.write_text("{{ é }}", encoding="utf-8")
    assert of("--chat-template-file", str(path)).chat_template == "{{ é }}"
    assert "failed to open file" in refusal("--chat-template-file", str(tmp_path / "gone"))


def test_a_name_is_one_of_llama_cpps_templates(llama_server: None) -> None:
    assert of("--no-jinja", "--chat-template", "llama3").chat_template == "llama3"
    assert "template is not supported: mine" in refusal("--no-jinja", "--chat-template", "mine")
    [program] = find_engine("binary").argv
    listed = subprocess.run([program, "--help"], check=True, capture_output=True, text=True).stdout
    assert set(listed.replace(",", " ").split()) >= BUILT_IN_TEMPLATES


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("-c", "many"),
        ("-ctk", "q9"),
        ("-fa", "maybe"),
        ("-sm", "rows"),
        ("--load-mode", "fast"),
        ("--spec-type", "draft"),
        ("--pooling", "max"),
        ("-fit", "1"),
        ("-ts", "a,b"),
    ],
)
def test_a_wrong_value_is_told_with_its_flag(flag: str, value: str) -> None:
    said = f"error while handling argument \"{flag}\": invalid value '{value}'"
    assert refusal(flag, value) == said


def test_every_flag_can_be_set_and_is_one_of_llama_servers(
    llama_server: None, tmp_path: Path
) -> None:
    assert find_engine("binary").flags() >= FLAGS
    template = tmp_path / "t"
    template.write_text("{{ x }}")
    words = {
        **dict.fromkeys(("-fit", "--fit", "-fa", "--flash-attn"), "on"),
        **dict.fromkeys(("-ctk", "--cache-type-k", "-ctv", "--cache-type-v"), "q8_0"),
        **dict.fromkeys(("-sm", "--split-mode"), "layer"),
        **dict.fromkeys(("-lm", "--load-mode"), "mmap"),
        **{"--spec-type": "draft-simple", "--pooling": "mean", "--lora-scaled": "a:1"},
        **dict.fromkeys(("-lzm", "--lazy-mode"), "on"),
        **dict.fromkeys(("-ot", "--override-tensor"), "norm=CPU"),
        **dict.fromkeys(("-mmdev", "--mmproj-device"), "none"),
        "--chat-template-file": str(template),
    }
    for flag in FLAGS - {"--version", "--list-devices"}:
        try:
            [(_, value)] = flags_of([flag])
        except ValueError:
            value = words.get(flag, "1")
            assert list(flags_of([flag, value])) == [(flag, value)]
        of(*itertools.chain([flag], [value] if value else []))


def test_it_starts_without_a_warning_and_without_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('a json.py of the working directory')")
    (tmp_path / "rocm_core.py").write_text("raise SystemExit('not the package')")
    argv = find_engine("embedded").argv
    assert argv == (sys.executable, embedded_start.__file__)
    for command in ([*argv, "--version"], [sys.executable, "-W", "error", *argv[1:], "--version"]):
        done = subprocess.run(
            command, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr.startswith("version: xllamacpp")
        assert "Warning" not in done.stderr


def test_the_folder_of_the_program_is_not_on_the_path(tmp_path: Path) -> None:
    look = "import sys, rocm_core.engine.embedded_server as s; s.main = lambda: print(sys.path)"
    run = f"{look}; import runpy; sys.path.insert(0, {str(Path(embedded_start.__file__).parent)!r})"
    code = f"{run}; runpy.run_path({embedded_start.__file__!r}, run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60
    )
    assert str(Path(embedded_start.__file__).parent) not in done.stdout.split("'")
    assert done.stdout, done.stderr
