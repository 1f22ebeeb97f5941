"""LoadConfig to flags and environment, without starting anything."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, cast

import pytest

from rocm_core import LoadConfig
from rocm_core.discover.refs import ModelRef, resolve_ref
from rocm_core.engine import locate
from rocm_core.engine.command_line import Address, Build, arguments, environment
from rocm_core.engine.embedded_flags import FLAGS
from rocm_core.engine.locate import Engine
from rocm_core.errors import ConfigError
from tests.support.models.reciter import RECITER
from tests.support.servers.fake_engines import EMPTY, program

SOCKET = Address(socket=Path("/run/x/s.sock"))
REMOTE_FILE = ModelRef("hf", "org/repo:Q4_K_M", "repo")


def flags_of(ref: ModelRef = REMOTE_FILE, address: Address = SOCKET, **options: Any) -> list[str]:
    return arguments(ref, LoadConfig(**options), address, Build(FLAGS | {"--rpc"}), cores=6)


def value(args: list[str], flag: str) -> str:
    return args[args.index(flag) + 1]


def values(args: list[str], flag: str) -> list[str]:
    return [after for word, after in itertools.pairwise(args) if word == flag]


def test_context_is_per_slot_so_the_total_grows_with_explicit_slots() -> None:
    args = flags_of(context_len=2048, parallel=3)
    assert value(args, "-c") == "6144"
    assert value(args, "-np") == "3"


def test_without_parallel_the_server_chooses_slots_that_share_the_context() -> None:
    args = flags_of(context_len=2048)
    assert value(args, "-c") == "2048"
    assert "-np" not in args


def test_unset_context_is_left_to_the_model() -> None:
    assert "-c" not in flags_of()
    assert "-c" not in flags_of(parallel=2)


@pytest.mark.parametrize(("layers", "flag"), [(-1, "all"), (0, "0"), (12, "12")])
def test_gpu_layers(layers: int, flag: str) -> None:
    assert value(flags_of(gpu_layers=layers), "-ngl") == flag


def test_all_layers_are_a_number_for_builds_before_the_word() -> None:
    old = Build(FLAGS - {"-lm", "--load-mode"})
    assert value(arguments(REMOTE_FILE, LoadConfig(), SOCKET, old, cores=6), "-ngl") == "999"


def test_weights_are_placed_by_rules_before_counts() -> None:
    args = flags_of(n_cpu_moe=0, n_cpu_ffn=3, override_tensor=[r"blk\.1\.=CPU", "norm=Vulkan0"])
    assert value(args, "--override-tensor") == r"blk\.1\.=CPU,norm=Vulkan0"
    assert (value(args, "--n-cpu-moe"), value(args, "--n-cpu-ffn")) == ("0", "3")
    assert args.index("--override-tensor") < args.index("--n-cpu-moe")
    assert value(flags_of(lazy_mode="off"), "--lazy-mode") == "off"


@pytest.mark.parametrize("rule", ["norm", "=CPU", "norm=", "a,b=CPU", ""])
def test_a_rule_has_a_pattern_and_a_buffer(rule: str) -> None:
    with pytest.raises(ConfigError, match="pattern=buffer"):
        LoadConfig(override_tensor=[rule])


def test_slots_with_a_share_of_one_cache() -> None:
    args = flags_of(kv_unified_per_slot=512)
    assert value(args, "--kv-unified-per-slot") == "512"
    assert not {"-c", "-np", "--kv-unified"} & set(args)
    args = flags_of(kv_unified_per_slot=512, parallel=3, context_len=1024)
    assert (value(args, "-np"), value(args, "-c")) == ("3", "1024")
    assert "--kv-unified" in args


@pytest.mark.parametrize(
    ("option", "given", "flag"),
    [
        ("n_cpu_moe", 1, "--n-cpu-moe"),
        ("n_cpu_ffn", 1, "--n-cpu-ffn"),
        ("override_tensor", ["a=CPU"], "--override-tensor"),
        ("kv_unified_per_slot", 512, "--kv-unified-per-slot"),
        ("lazy_mode", "on", "--lazy-mode"),
        ("mmproj_device", "Vulkan0", "--mmproj-device"),
    ],
)
def test_a_build_without_the_flag_of_an_option_refuses_it(
    option: str, given: Any, flag: str
) -> None:
    build = Build(FLAGS - {flag}, "llama-server b10434")
    config = LoadConfig(**{option: given})
    with pytest.raises(ConfigError, match=f"b10434 has no {flag}, which {option} needs"):
        arguments(REMOTE_FILE, config, SOCKET, build, cores=6)


def test_the_other_engine_that_has_the_flag_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = Engine("binary", ("/nowhere/llama-server",), "PATH")
    newer = program(tmp_path, EMPTY, flags="--n-cpu-ffn N  x")
    there = [older, newer, Engine("embedded", ("python",), "package xllamacpp")]
    monkeypatch.setattr(locate, "installed_engines", lambda *_: iter(there))
    build = Build(frozenset(), "llama-server b10434", engine_with=locate.engine_with)
    config = LoadConfig(n_cpu_ffn=1)
    with pytest.raises(ConfigError, match=f"or use server_path='{newer.argv[0]}', which has it"):
        arguments(REMOTE_FILE, config, SOCKET, build, cores=6)
    del there[1]
    with pytest.raises(ConfigError, match="or use engine='embedded', which has it"):
        arguments(REMOTE_FILE, config, SOCKET, build, cores=6)
    del there[1]
    with pytest.raises(ConfigError, match="or use another build"):
        arguments(REMOTE_FILE, config, SOCKET, build, cores=6)


def test_a_projector_on_the_cpu_is_a_switch_of_older_builds() -> None:
    config = LoadConfig(mmproj_device="none")
    old = arguments(REMOTE_FILE, config, SOCKET, Build(FLAGS - {"--mmproj-device"}), cores=6)
    assert "--no-mmproj-offload" in old
    assert value(flags_of(mmproj_device="none"), "--mmproj-device") == "none"


def test_a_required_gpu_makes_the_log_tell_what_went_there() -> None:
    assert value(flags_of(require_gpu=True), "--log-verbosity") == "4"
    assert "--log-verbosity" not in flags_of()
    silent = arguments(
        REMOTE_FILE, LoadConfig(require_gpu=True), SOCKET, Build(frozenset()), cores=6
    )
    assert "--log-verbosity" not in silent


def test_a_tiny_model_gets_one_thread_and_a_large_one_every_core(tmp_path: Path) -> None:
    tiny = tmp_path / "tiny.gguf"
    tiny.write_bytes(b"GGUF")
    assert value(flags_of(ModelRef("file", str(tiny), "tiny")), "-t") == "1"
    assert value(flags_of(), "-t") == "6"
    assert value(flags_of(threads=4), "-t") == "4"


@pytest.mark.parametrize("mode", ["embeddings", "rerank"])
def test_an_input_to_embed_or_rank_may_fill_the_context(mode: str) -> None:
    ref, on = resolve_ref(RECITER), cast(Any, {mode: True})
    assert value(flags_of(ref, **on), "-ub") == "8192"
    assert value(flags_of(ref, **on), "-b") == "8192"
    assert value(flags_of(ref, **on, context_len=1024), "-ub") == "1024"
    assert value(flags_of(ref, **on, context_len=1024, batch_size=4096), "-b") == "4096"
    assert value(flags_of(ref, **on, ubatch_size=256), "-ub") == "256"
    assert "-ub" not in flags_of(ref, **on, context_len=256)
    assert "-ub" not in flags_of(ref)
    # Unknown before it is downloaded.
    assert value(flags_of(ModelRef("hf", "org/repo", "repo"), **on), "-ub") == "2048"


def here(name: str) -> str:
    """The whole path: the server starts in another directory."""
    return str(Path(name).absolute())


def test_typed_options_become_flags() -> None:
    args = flags_of(
        flash_attn=False,
        cache_type_k="q8_0",
        lora=["a.gguf", "b.gguf"],
        mmproj="p.gguf",
        draft_model="d.gguf",
        embeddings=True,
        pooling="mean",
        rpc_servers="host:1",
        extra_args=["--verbose"],
        model_name="mine",
        split_mode="layer",
        tensor_split=[24560.0, 0.5],
        main_gpu=1,
    )
    assert value(args, "-sm") == "layer"
    assert value(args, "-ts") == "24560,0.5"
    assert value(args, "-mg") == "1"
    assert value(args, "-fa") == "off"
    assert value(args, "-ctk") == "q8_0"
    assert values(args, "--lora") == [here("a.gguf"), here("b.gguf")]
    assert value(args, "--mmproj") == here("p.gguf")
    assert value(args, "-md") == here("d.gguf")
    assert value(args, "--pooling") == "mean"
    assert value(args, "--rpc") == "host:1"
    assert value(args, "--alias") == "mine"
    assert "--embeddings" in args
    assert args[-1] == "--verbose"


def test_an_option_the_build_lacks_is_refused_with_words() -> None:
    with pytest.raises(ConfigError, match=r"has no -md"):
        arguments(REMOTE_FILE, LoadConfig(draft_model="d.gguf"), SOCKET, Build(FLAGS - {"-md"}), 2)


def test_niceties_are_asked_of_the_build_first() -> None:
    old = frozenset({"-m", "--no-webui"})
    args = arguments(REMOTE_FILE, LoadConfig(), SOCKET, Build(old), 2)
    assert "--no-webui" in args
    assert "--jinja" not in args
    assert "--log-colors" not in args
    assert "--threads-http" not in args


def test_a_burst_of_requests_finds_http_threads_and_the_callers_number_wins() -> None:
    assert int(value(flags_of(parallel=4), "--threads-http")) == 128
    args = flags_of(extra_args=["--threads-http", "5"])
    assert args[-2:] == ["--threads-http", "5"]
    assert args.index("--threads-http") < len(args) - 2


@pytest.mark.parametrize(
    ("left", "threads"), [(None, 128), (1 << 20, 128), (300, 128), (100, 41), (40, 11), (0, 4)]
)
def test_http_threads_fit_the_limit_on_processes(left: int | None, threads: int) -> None:
    """With one that cannot be started llama-server aborts."""
    build = Build(FLAGS, threads_left=left)
    args = arguments(REMOTE_FILE, LoadConfig(threads=2), SOCKET, build, cores=2)
    assert int(value(args, "--threads-http")) == threads


# -- options that depend on more than their value -------------------------------------------


def built(flags: frozenset[str], **options: Any) -> list[str]:
    return arguments(REMOTE_FILE, LoadConfig(**options), SOCKET, Build(flags, "the build"), cores=2)


def test_a_draft_model_gets_the_type_that_newer_builds_need() -> None:
    args = flags_of(draft_model="~/d.gguf")
    assert value(args, "--spec-type") == "draft-simple"
    assert value(args, "-md") == str(Path("~/d.gguf").expanduser())
    assert "--spec-type" not in built(FLAGS - {"--spec-type"}, draft_model="d.gguf")
    assert "--spec-type" not in flags_of()
    chosen = flags_of(draft_model="d.gguf", extra_args=["--spec-type", "draft-eagle3"])
    assert values(chosen, "--spec-type") == ["draft-eagle3"]


def test_an_adapter_with_a_comma_is_one_adapter() -> None:
    args = flags_of(lora=['a,"b".gguf:0.5', "~/c.gguf", Path("d:0.5"), "e"])
    home = str(Path("~/c.gguf").expanduser())
    quoted = '"' + here('a,""b"".gguf') + '"'
    assert values(args, "--lora") == [quoted, home, here("d:0.5"), here("e")]


def test_a_scale_is_a_number_behind_the_last_colon() -> None:
    given: list[str | Path] = [
        "a.gguf",
        "a.gguf:0.5",
        "a:b.gguf",
        "a:1:.25",
        "a:-1",
        "a:1e3",
        Path("a:1"),
        "a:",
    ]
    assert LoadConfig(lora=given).lora_adapters == (
        *(("a.gguf", 1.0), ("a.gguf", 0.5), ("a:b.gguf", 1.0), ("a:1", 0.25)),
        *(("a", -1.0), ("a:1e3", 1.0), ("a:1", 1.0), ("a:", 1.0)),
    )


@pytest.mark.parametrize(
    ("mode", "older"),
    [
        ("auto", []),
        ("mmap", []),
        ("none", ["--no-mmap"]),
        ("mlock", ["--no-mmap", "--mlock"]),
        ("mmap+mlock", ["--mlock"]),
        ("dio", ["--direct-io"]),
    ],
)
def test_a_load_mode_is_a_flag_or_those_of_older_builds(mode: str, older: list[str]) -> None:
    flags = frozenset({"--no-mmap", "--mlock", "--direct-io"})
    assert value(built(FLAGS, load_mode=mode), "--load-mode") == mode
    args = built(flags, load_mode=mode)
    assert [arg for arg in args if arg in flags] == older
    if older:
        with pytest.raises(ConfigError, match=rf"the build has no {older[0]}, which load_mode"):
            built(frozenset(), load_mode=mode)


def test_a_template_is_given_in_the_way_that_the_build_takes(tmp_path: Path) -> None:
    file, jinja = tmp_path / "t.jinja", "{{ x }}"
    file.write_text(jinja)
    args = built(FLAGS, chat_template=jinja)
    # Builds that check it take only Jinja that stands behind this flag (common/arg.cpp).
    assert args.index("--jinja") < args.index("--chat-template")
    assert value(args, "--chat-template") == jinja
    assert value(built(FLAGS, chat_template=str(file)), "--chat-template-file") == str(file)
    old = FLAGS - {"--chat-template-file", "--no-jinja"}
    assert value(built(old, chat_template_file=file), "--chat-template") == jinja
    named = built(FLAGS, chat_template="llama3")
    assert named[named.index("--no-jinja") + 1 :] == ["--chat-template", "llama3"]
    assert "--no-jinja" not in built(old, chat_template="llama3")


def test_a_template_too_long_for_an_argument_goes_into_the_private_directory(
    tmp_path: Path,
) -> None:
    longest, longer = "{" * (128 * 1024 - 1), "é{" * (64 * 1024)
    config = LoadConfig(chat_template=longest)
    build = Build(FLAGS, directory=tmp_path)
    assert value(arguments(REMOTE_FILE, config, SOCKET, build, 1), "--chat-template") == longest
    assert not list(tmp_path.iterdir())
    args = arguments(REMOTE_FILE, LoadConfig(chat_template=longer), SOCKET, build, 1)
    path = Path(value(args, "--chat-template-file"))
    assert path.parent == tmp_path
    assert path.read_text(encoding="utf-8") == longer


def test_download_and_port() -> None:
    args = flags_of(address=Address(port=4711))
    assert value(args, "-hf") == "org/repo:Q4_K_M"
    assert value(args, "--host") == "127.0.0.1"
    assert value(args, "--port") == "4711"


def test_the_environment_is_scrubbed_and_carries_the_key(tmp_path: Path) -> None:
    inherited = {
        "PATH": "/bin",
        "LLAMA_ARG_CTX_SIZE": "7",
        "LLAMA_API_KEY": "theirs",
        "LLAMA_CACHE": "/models",
        "HIP_VISIBLE_DEVICES": "1",
    }
    env = environment(inherited, "ours", tmp_path, 42)
    assert env["LLAMA_API_KEY"] == "ours"
    assert "LLAMA_ARG_CTX_SIZE" not in env
    assert env["LLAMA_CACHE"] == "/models"
    assert env["HIP_VISIBLE_DEVICES"] == "1"
    assert env["XDG_CONFIG_HOME"] == str(tmp_path)


@pytest.mark.parametrize(
    "bad", [{"context_len": -1}, {"parallel": 0}, {"gpu_layers": -2}, {"port": -1}]
)
def test_impossible_values_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        LoadConfig(**bad)  # type: ignore[arg-type]


def test_variables_of_the_options_go_over_the_inherited_ones(tmp_path: Path) -> None:
    inherited = {"HIP_VISIBLE_DEVICES": "1", "GPU_DEVICE_ORDINAL": "1", "PATH": "/bin"}
    changes = {"HIP_VISIBLE_DEVICES": "0", "GPU_DEVICE_ORDINAL": None, "ABSENT": None}
    env = environment(inherited, "key", tmp_path, 1, changes)
    assert env["HIP_VISIBLE_DEVICES"] == "0"
    assert env["PATH"] == "/bin"
    assert not {"GPU_DEVICE_ORDINAL", "ABSENT"} & set(env)


def test_options_about_devices_are_checked_and_comparable() -> None:
    config = LoadConfig(devices="0", environment={"B": None, "A": "secret"})
    assert config.devices == ("0",)
    assert config.environment == (("A", "secret"), ("B", None))
    assert "secret" not in repr(config)
    assert hash(config) == hash(LoadConfig(devices=["0"], environment={"A": "secret", "B": None}))
    with pytest.raises(ConfigError, match="split_mode must be one of none, layer"):
        LoadConfig(split_mode="rows")  # type: ignore[arg-type]
    for split in ([0, 0], [-1, 2], "3,1"):
        with pytest.raises(ConfigError, match="tensor_split takes proportions"):
            LoadConfig(tensor_split=split)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="main_gpu must be 0 or more"):
        LoadConfig(main_gpu=-1)


def test_the_allocator_gives_freed_prompts_back_unless_the_caller_knows_better() -> None:
    name, private = "MALLOC_MMAP_THRESHOLD_", Path("/run/x")
    assert environment({}, "key", private, 1)[name] == str(4 << 20)
    assert environment({name: "65536"}, "key", private, 1)[name] == "65536"
    assert environment({}, "key", private, 1, {name: "1"})[name] == "1"
    assert name not in environment({}, "key", private, 1, {name: None})
