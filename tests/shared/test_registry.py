"""The registry of shared servers: who is believed, what is swept, what two programs share."""

from __future__ import annotations

import errno
import os
import signal
import socket
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rocm_core import LoadConfig, resolve_ref
from rocm_core.errors import ConfigError, RocmError, ServerDied, ServerStartError
from rocm_core.server import Engine
from rocm_core.shared import process_identity, registry
from rocm_core.shared.process_identity import ProcessId
from rocm_core.shared.protocol import error_from_line, error_to_line
from rocm_core.shared.registry import Entry, Registry, key_of, with_absolute_paths

KEY = "0123456789abcdef"
ENGINE = Engine("binary", ("/opt/llama-server",), "PATH")


def entry(**changes: Any) -> Entry:
    me = ProcessId.of(os.getpid())
    assert me
    made = Entry(KEY, "demo", "/m.gguf", me, me, "/run/s.sock", None, "secret-key", "/run/log")
    return replace(made, **changes)


@pytest.fixture
def here(tmp_path: Path) -> Registry:
    return Registry.open({"XDG_RUNTIME_DIR": str(tmp_path)})


# -- the directory ----------------------------------------------------------------------------


def test_it_is_private_and_entries_are_private(here: Registry) -> None:
    assert stat.S_IMODE(here.directory.stat().st_mode) == 0o700
    here.write(entry())
    assert stat.S_IMODE(here.path(KEY, "json").stat().st_mode) == 0o600
    assert here.read(KEY) == entry()
    assert list(here.directory.glob("*.new")) == []


def test_a_directory_that_others_can_enter_is_not_used(tmp_path: Path) -> None:
    open_to_all = tmp_path / "llama-rocm"
    open_to_all.mkdir()
    open_to_all.chmod(0o755)
    assert Registry.open({"XDG_RUNTIME_DIR": str(tmp_path)}).directory != open_to_all


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (tmp_path / "llama-rocm").symlink_to(elsewhere)
    assert Registry.open({"XDG_RUNTIME_DIR": str(tmp_path)}).directory.parent != tmp_path


def test_without_any_directory_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(self: Path, *args: Any, **options: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", read_only)
    with pytest.raises(ServerStartError, match=r"Read-only file system.*Set XDG_RUNTIME_DIR"):
        Registry.open({"XDG_RUNTIME_DIR": str(tmp_path)})


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_what_belongs_to_another_user_is_not_believed(here: Registry, tmp_path: Path) -> None:
    here.write(entry())
    os.chown(here.path(KEY, "json"), 12345, 12345)
    assert here.read(KEY) is None
    os.chown(here.directory, 12345, 12345)
    assert Registry.open({"XDG_RUNTIME_DIR": str(tmp_path)}).directory != here.directory


def test_a_platform_without_locks_or_sockets_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "fcntl", None)
    with pytest.raises(ConfigError, match=r"keep_alive needs unix sockets.*Use keep_alive=0"):
        Registry.open({})


# -- entries ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"key": "0123456789abcdef"}',
        b"\x00" * 400,
        b'{"daemon": {"pid": "x"}}',
    ],
)
def test_a_damaged_entry_is_none(here: Registry, content: bytes) -> None:
    path = here.path(KEY, "json")
    path.touch(0o600)
    path.write_bytes(content)
    assert here.read(KEY) is None


def test_every_truncation_of_an_entry_is_none(here: Registry) -> None:
    here.write(entry())
    path = here.path(KEY, "json")
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert here.read(KEY) is None


def test_an_entry_open_to_others_or_under_another_key_is_none(here: Registry) -> None:
    here.write(entry())
    here.path(KEY, "json").chmod(0o644)
    assert here.read(KEY) is None
    here.write(entry())
    other = here.path("f" * 16, "json")
    here.path(KEY, "json").rename(other)
    assert here.read("f" * 16) is None


def test_a_full_disk_leaves_the_old_entry_whole(
    here: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.write(entry())

    def full(self: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        here.write(entry(model="other"))
    assert here.read(KEY) == entry()
    assert list(here.directory.glob(".*")) == []


def test_the_key_is_not_in_the_repr() -> None:
    assert "secret-key" not in repr(entry()) + str(entry())


def test_what_dead_daemons_left_is_swept_and_the_living_stay(here: Registry) -> None:
    dead, living = "d" * 16, "a" * 16
    for key in (dead, living):
        here.write(entry(key=key))
        here.path(key, "log").touch()
    lock = here.lock(living)
    assert lock is not None
    here.sweep()
    assert here.known() == [living]
    assert here.read(living) is not None
    assert sorted(path.suffix for path in here.directory.iterdir()) == [".json", ".lock", ".log"]
    os.close(lock)


def test_what_a_killed_writer_left_is_swept_with_the_rest(here: Registry) -> None:
    here.write(entry())
    child = os.fork()
    if not child:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Path, "replace", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
            here.write(entry(model="other"))
    os.waitpid(child, 0)
    assert len(list(here.directory.iterdir())) == 2
    here.sweep()
    assert list(here.directory.iterdir()) == []


# -- locks ------------------------------------------------------------------------------------


def test_a_lock_has_one_holder_and_goes_with_its_last_copy(here: Registry) -> None:
    first = here.lock(KEY)
    assert first is not None
    assert here.lock(KEY) is None
    copy = os.dup(first)
    os.close(first)
    assert here.lock(KEY) is None
    os.close(copy)
    again = here.lock(KEY)
    assert again is not None
    os.close(again)


def test_a_deleted_lock_file_does_not_make_two_holders(here: Registry) -> None:
    first = here.lock(KEY)
    assert first is not None
    here.remove(KEY)
    second = here.lock(KEY)
    assert second is not None  # a new file: whoever deleted the old one was its holder
    assert here.lock(KEY) is None
    os.close(first)
    assert here.lock(KEY) is None
    os.close(second)


# -- identities -------------------------------------------------------------------------------


def test_a_process_is_known_by_pid_and_start_time() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        known = ProcessId.of(process.pid)
        assert known is not None and known.alive
        recycled = replace(known, started=str(int(known.started) - 1))
        assert not recycled.alive
        assert not recycled.kill()
        assert process.poll() is None
        assert known.kill()
    assert process.returncode == -9
    assert not known.alive
    assert not known.kill()
    assert ProcessId.of(process.pid) is None


def test_no_pid_below_two_is_ever_killed() -> None:
    first = ProcessId.of(1)
    assert first is None or not first.kill()


def test_start_times_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    me = ProcessId.of(os.getpid())
    assert me is not None and me.alive
    assert ":" in me.started  # the words of ps, not ticks
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert process_identity.start_time(process.pid) is None


# -- what is shared ---------------------------------------------------------------------------


def key(config: LoadConfig | None = None, **changes: Any) -> str:
    settings: dict[str, Any] = {"ref": resolve_ref("demo"), "engine": ENGINE, "env": {}} | changes
    return key_of(config=config or LoadConfig(), **settings)


@pytest.mark.parametrize(
    "options",
    [
        {"context_len": 512},
        {"parallel": 2},
        {"gpu_layers": 0},
        {"prompt_cache": "64M"},
        {"chat_template": "x"},
        {"extra_args": ["--mlock"]},
        {"port": 0},
        {"model_name": "other"},
    ],
    ids=str,
)
def test_unequal_options_are_never_shared(options: dict[str, Any]) -> None:
    assert key(LoadConfig(**options)) != key()


def test_another_text_in_the_template_file_is_another_server(tmp_path: Path) -> None:
    file = tmp_path / "t.jinja"
    file.write_text("{{ one }}")
    config = LoadConfig(chat_template_file=file, lora=["~/a,b.gguf:0.5", Path("c:1")])
    first = with_absolute_paths(config)
    assert (first.chat_template, first.chat_template_file) == ("{{ one }}", None)
    assert with_absolute_paths(LoadConfig(chat_template=str(file))).chat_template == "{{ one }}"
    assert first.lora_adapters == (
        (str(Path("~/a,b.gguf").expanduser()), 0.5),
        (str(Path("c:1").absolute()), 1.0),
    )
    file.write_text("{{ two }}")
    assert key(with_absolute_paths(config)) != key(first)


def test_what_decides_how_we_deal_with_it_is_shared() -> None:
    assert key(LoadConfig(keep_alive="10m", restart="never", stall_timeout=5)) == key()


def test_another_engine_device_mask_or_file_is_not_shared(tmp_path: Path) -> None:
    other = Engine("binary", ("/usr/bin/llama-server",), "PATH")
    keys = {key(), key(engine=other), key(env={"ROCR_VISIBLE_DEVICES": "GPU-1"})}
    model = tmp_path / "model.gguf"
    model.write_bytes(b"GGUF")
    keys.add(key(ref=resolve_ref(model)))
    model.write_bytes(b"GGUF, downloaded anew")
    keys.add(key(ref=resolve_ref(model)))
    assert len(keys) == 5
    assert key(env={"HOME": "/x", "LANG": "C"}) == key()


def test_another_build_at_the_same_path_is_not_shared(tmp_path: Path) -> None:
    file = tmp_path / "llama-server"
    file.write_bytes(b"b11434")
    engine = Engine("binary", (str(file),), "PATH")
    keys = [key(engine=engine)]
    assert key(engine=engine) == keys[0]
    file.write_bytes(b"b11549, an upgrade")
    keys.append(key(engine=engine))
    for text in (b"HIP", b"HIP, compiled anew"):  # only a library of the build is another
        (tmp_path / "libggml-hip.so").write_bytes(text)
        keys.append(key(engine=engine))
    assert len(set(keys)) == 4
    (tmp_path / "README.txt").write_text("no part of the build")
    assert key(engine=engine) == keys[-1]


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("10m", 600), ("30s", 30), ("1.5h", 5400), (90, 90), ("90", 90), (-1, -1), ("-1", -1), (0, 0)],
)
def test_keep_alive_in_words(given: Any, seconds: float) -> None:
    assert LoadConfig(keep_alive=given).keep_alive == seconds


@pytest.mark.parametrize("given", ["soon", "", "10 parsecs", True, None])
def test_a_keep_alive_that_is_no_duration_is_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match="keep_alive takes seconds"):
        LoadConfig(keep_alive=given)


# -- errors that travel -----------------------------------------------------------------------


def test_errors_arrive_as_what_they_were() -> None:
    sent = ServerDied("it died", returncode=-9, command=["a", "b"], log_tail=["x", "y"])
    got = error_from_line(error_to_line(sent))
    assert isinstance(got, ServerDied)
    assert (str(got), got.returncode, got.command, got.log_tail) == (
        str(sent),
        -9,
        ("a", "b"),
        ("x", "y"),
    )


@pytest.mark.parametrize("name", ["Exception", "SystemExit", "annotations", "__doc__", ""])
def test_only_our_own_errors_are_made(name: str) -> None:
    assert type(error_from_line({"type": name, "args": ["x"]})) is RocmError


def test_the_socket_path_is_never_too_long(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 90)
    deep.mkdir()
    path = Registry.open({"XDG_RUNTIME_DIR": str(deep)}).path(KEY, "sock")
    with socket.socket(socket.AF_UNIX) as probe:
        path.unlink(missing_ok=True)
        probe.bind(str(path))
    path.unlink()
