"""What ``Replicas`` takes, what it refuses, and what becomes of it in a configuration file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from rocm_core import LoadConfig
from rocm_core.errors import ConfigError
from rocm_core.scale import Replicas, deploy_config
from rocm_core.scale.app import replicas_from


def test_a_replica_takes_as_many_requests_as_it_can_queue_well() -> None:
    assert Replicas("demo").slots == 4  # llama-server's own number
    assert Replicas("demo", LoadConfig(parallel=2)).most_held == 16
    # Each holds one of llama-server's HTTP threads, of which there are 128.
    assert Replicas("demo", LoadConfig(parallel=64)).most_held == 100
    assert Replicas("demo", LoadConfig(parallel=120)).most_held == 120


def test_autoscaling_aims_at_full_slots() -> None:
    scaling = Replicas("demo", LoadConfig(parallel=8), autoscaling=(1, 3)).scaling
    assert scaling == {"min_replicas": 1, "max_replicas": 3, "target_ongoing_requests": 8}
    own = {"min_replicas": 0, "max_replicas": 3, "target_ongoing_requests": 2}
    assert Replicas("demo", autoscaling=own).scaling == own


@pytest.mark.parametrize(
    "options",
    [
        {"replicas": 2, "autoscaling": (1, 3)},
        {"replicas": 0},
        {"autoscaling": (3, 1)},
        {"autoscaling": {"min_replicas": 1}},
        {"gpus_per_replica": -1},
        {"health_seconds": 0},
        {"load": LoadConfig(keep_alive="10m")},
        {"load": LoadConfig(port=8080)},
        {"load": LoadConfig(max_in_flight=3)},
        {"load": LoadConfig(require_gpu=True), "gpus_per_replica": 0},
        {"load": LoadConfig(rpc_servers=("10.0.0.2:50052",))},
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Replicas("demo", **options)


def test_a_running_server_is_no_replica() -> None:
    with pytest.raises(ConfigError, match="running server"):
        Replicas("http://127.0.0.1:8080")


def test_a_relative_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "small.gguf").touch()
    monkeypatch.chdir(tmp_path)
    replicas = Replicas("small.gguf")
    assert (replicas.ref, replicas.name) == (str(tmp_path / "small.gguf"), "small")
    assert replicas.load.model_name == "small"


def test_workers_of_another_machine_need_a_word() -> None:
    elsewhere = LoadConfig(rpc_servers=["10.0.0.2:50052"], allow_insecure_rpc=True)
    assert Replicas("demo", elsewhere).load.rpc_servers == ("10.0.0.2:50052",)


def test_the_file_describes_the_same_replicas() -> None:
    load = LoadConfig(parallel=2, context_len=4096, extra_args=("--no-warmup",))
    model = Replicas("demo", load, autoscaling=(1, 3), gpus_per_replica=0, drain_seconds=5)
    content = yaml.safe_load(deploy_config([model], key_digests=["ab" * 32]))
    (application,) = content["applications"]
    assert application["import_path"] == "rocm_core.scale:app_from_args"
    (given,) = application["args"]["models"]
    assert given["load"] == {
        "parallel": 2,
        "context_len": 4096,
        "extra_args": ["--no-warmup"],
    }
    assert replicas_from(given) == model


def test_the_file_holds_no_variables() -> None:
    model = Replicas("demo", LoadConfig(environment={"TOKEN": "secret"}))
    with pytest.raises(ConfigError, match="no place for secrets"):
        deploy_config([model])


def test_an_unknown_field_of_the_file_is_named() -> None:
    with pytest.raises(ConfigError, match="replica_count"):
        replicas_from({"ref": "demo", "replica_count": 3})
