"""Ray stays optional: who does not ask for replicas never meets it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from rocm_core.cli import main
from rocm_core.errors import BackendUnavailable
from rocm_core.scale import build_app, ray_package
from rocm_core.scale.app import replicas_from
from rocm_core.scale.front import digest

find_spec = importlib.util.find_spec


def without(*names: str) -> Any:
    return lambda name, *more: None if name in names else find_spec(name, *more)


def test_neither_the_packages_nor_a_description_import_ray() -> None:
    code = (
        "import sys, rocm_core.cli, langchain_rocm, llama_index_rocm\n"
        "from rocm_core.scale import Replicas, deploy_config\n"
        "deploy_config([Replicas('demo')])\n"
        "assert 'ray' not in sys.modules, 'ray was imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_an_application_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", without("ray"))
    with pytest.raises(BackendUnavailable, match=r'pip install "llama-rocm\[ray\]"'):
        build_app("demo")


def test_a_package_that_breaks_ray_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package amdsmi loads ROCm's library at import, and Ray imports it where it is."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(ray_package, "_imports", lambda name: False)
    monkeypatch.setitem(sys.modules, "ray", None)  # its import fails
    with pytest.raises(BackendUnavailable, match="pip uninstall amdsmi"):
        build_app("demo")


def test_the_command_writes_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TEAM_KEY", "sk-of-the-team")
    file = tmp_path / "serve.yaml"
    options = ["-m", "demo", "--backend", "cpu", "--parallel", "2", "--replicas", "1-3"]
    written = ["--write-config", str(file), "--port", "9000"]
    assert main(["serve", *options, *written, "--api-key-env", "TEAM_KEY"]) == 0
    assert "serve deploy" in capsys.readouterr().out
    content = yaml.safe_load(file.read_text())
    assert content["http_options"] == {"host": "0.0.0.0", "port": 9000}
    args = content["applications"][0]["args"]
    assert args["key_digests"] == [digest("sk-of-the-team")]
    replicas = replicas_from(args["models"][0])
    assert (replicas.autoscaling, replicas.gpus_per_replica, replicas.slots) == ((1, 3), 0, 2)
    assert "sk-of-the-team" not in file.read_text()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--write-config", "serve.yaml"], "--api-key-file"),
        (["--ray", "--port", "0"], "takes no free one"),
        (["--ray", "--keep-alive", "10m"], "keep_alive"),
    ],
)
def test_what_replicas_cannot_have_is_refused(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "-m", "demo", "--backend", "cpu", *options]) != 0
    assert said in capsys.readouterr().err


def test_a_number_of_replicas_is_one_or_a_range() -> None:
    for text in ("many", "1-", "-3"):
        with pytest.raises(SystemExit):
            main(["serve", "--ray", "--replicas", text])
