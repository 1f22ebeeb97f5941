"""The files of ``deploy/``: they parse, name what exists, and describe an application."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from rocm_core.errors import ConfigError
from rocm_core.scale.app import app_from_args, replicas_from

DEPLOY = Path(__file__).parents[2] / "deploy"
GPU = "amd.com/gpu"


def read(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text())


def serve_configs() -> list[Any]:
    ray_service = read("kuberay.yaml")["spec"]
    return [read("serve.yaml"), yaml.safe_load(ray_service["serveConfigV2"])]


@pytest.mark.parametrize("config", serve_configs(), ids=["serve", "kuberay"])
def test_the_application_is_one(config: dict[str, Any]) -> None:
    assert set(config) == {"proxy_location", "http_options", "applications"}
    (application,) = config["applications"]
    module, _, name = application["import_path"].partition(":")
    assert getattr(__import__(module, fromlist=[name]), name) is app_from_args
    for model in application["args"]["models"]:
        replicas = replicas_from(model)
        assert replicas.gpus_per_replica == 1 and replicas.load.require_gpu
    assert all(re.fullmatch("[0-9a-f]{64}", key) for key in application["args"]["key_digests"])


@pytest.mark.parametrize("args", [{}, {"models": []}, {"models": [{"ref": "demo"}], "x": 1}])
def test_other_arguments_are_refused(args: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        app_from_args(args)


def test_ray_itself_takes_the_file() -> None:
    schema = pytest.importorskip("ray.serve.schema")
    for config in serve_configs():
        schema.ServeDeploySchema(**config)


def test_compose_describes_a_cluster() -> None:
    content = read("docker-compose.yaml")
    assert set(content["services"]) == {"head", "worker", "deploy"}
    for service in content["services"].values():
        assert service["image"] == "llama-rocm"
        assert service["environment"]["RAY_AUTH_MODE"] == "token"
        assert {"/dev/kfd", "/dev/dri"} <= set(service["devices"])
        assert set(service["secrets"]) <= set(content["secrets"])
        build = service["build"]
        assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()
    mounted = content["services"]["deploy"]["volumes"][0].split(":")
    assert (DEPLOY / mounted[0]).is_file()
    assert content["services"]["deploy"]["command"].split()[-1] == mounted[1]


def test_kuberay_gives_each_worker_the_gpu_of_a_replica() -> None:
    service = read("kuberay.yaml")
    assert (service["apiVersion"], service["kind"]) == ("ray.io/v1", "RayService")
    cluster = service["spec"]["rayClusterConfig"]
    (group,) = cluster["workerGroupSpecs"]
    assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    pod = group["template"]["spec"]
    (container,) = pod["containers"]
    assert container["resources"]["limits"][GPU] == container["resources"]["requests"][GPU] == "1"
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
    ((application,),) = [serve_configs()[1]["applications"]]
    (model,) = application["args"]["models"]
    # A replica drains before its pod is killed.
    assert pod["terminationGracePeriodSeconds"] > model["drain_seconds"]
    ports = cluster["headGroupSpec"]["template"]["spec"]["containers"][0]["ports"]
    assert serve_configs()[1]["http_options"]["port"] in [p["containerPort"] for p in ports]


def test_the_image_has_the_extras() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    assert '".[ray,server]"' in text
    assert [line.split()[0] for line in text.splitlines() if line.startswith("FROM")] == ["FROM"]
