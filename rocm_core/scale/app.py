"""Build the Ray Serve application: replicas of one or several models, and their front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rocm_core.config import LoadConfig
from rocm_core.config.load import is_loopback
from rocm_core.engine.command_line import LOOPBACK
from rocm_core.errors import ConfigError
from rocm_core.scale.front import Front, digest
from rocm_core.scale.plan import Replicas
from rocm_core.scale.ray_package import check_gpus, check_haproxy, import_serve
from rocm_core.scale.replica import LlamaReplica, ReplicaOptions
from rocm_core.settings import current_settings, plan

Models = str | Replicas | Sequence[Replicas] | None

# Ray's name for the resource that the head node alone has.
_HEAD = "node:__internal_head__"
_ROUTER = "rocm_core.scale.routing.request_router:PrefixRouter"
# Requests of a front under way at once; those of the replicas are limited by their slots.
_FRONT_REQUESTS = 10_000
# Seconds between a replica's reports to the routers: of a server that is being restarted.
_STATS_PERIOD = 1.0
_MOST_BACKOFF = 0.1
_APP_NAME = "llama-rocm"


class FrontReplica:
    """A replica of the front. Ray Serve makes an ASGI deployment of it."""

    def __init__(self, handles: Mapping[str, Any], key_digests: Sequence[str]) -> None:
        from ray.serve import get_replica_context
        from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

        self._front = Front(
            handles,
            key_digests,
            name=get_replica_context().replica_id.to_full_id_str(),
            refusals=(BackPressureError, DeploymentUnavailableError),
        )

    def __serve_build_asgi_app__(self) -> Front:
        """Return the ASGI application (the hook of ``serve.ingress()``)."""
        return self._front


def build_app(
    ref: Models = None,
    load: LoadConfig | None = None,
    *,
    api_keys: Sequence[str] = (),
    key_digests: Sequence[str] = (),
    fronts: int = 1,
    one_machine: bool = False,
    **options: Any,
) -> Any:
    """Return a Ray Serve application, for ``run_app`` or ``serve.run``. It starts nothing.

    Args:
        ref: the model, as for ``load_model``; or ``Replicas``, one for each of several models.
            ``None``: that of the settings.
        load: how each replica loads it, complete; ``None``: as the settings say.
        api_keys: the keys that clients may use; none: everybody is let in. Only their SHA-256
            digests are kept: Ray shows the arguments of an application.
        key_digests: digests of further keys (``sha256sum``), in hexadecimal digits.
        fronts: replicas of the front, each on one CPU core at most.
        one_machine: every node of the cluster is this machine, so that the servers listen on
            127.0.0.1; else on the address by which Ray knows their node.
        options: the other fields of ``Replicas``: ``replicas``, ``autoscaling``,
            ``gpus_per_replica``, …

    Raises:
        BackendUnavailable: Ray is not installed, or cannot be imported here.
        ConfigError: an option does not fit.
    """
    models = _models(ref, load, options)
    serve = import_serve()
    handles = {model.name: _deployment(serve, model, one_machine) for model in models}
    digests = [*map(digest, api_keys), *(known.lower() for known in key_digests)]
    front = serve.deployment(serve.ingress()(FrontReplica)).options(
        name="front",
        num_replicas=fronts,
        max_ongoing_requests=_FRONT_REQUESTS,
        graceful_shutdown_timeout_s=max(model.drain_seconds for model in models),
        ray_actor_options=_placement_of_fronts(fronts),
    )
    return front.bind(handles, digests)


def _placement_of_fronts(fronts: int) -> dict[str, Any]:
    # Ray cannot do without its head node, so a front there adds nothing that can fail: when its
    # node dies, requests that nobody has begun to answer are lost. Several take any node.
    return {"num_cpus": 0, **({} if fronts > 1 else {"resources": {_HEAD: 0.001}})}


def app_from_args(args: dict[str, Any]) -> Any:
    """Return the application that the ``args`` of a Serve configuration file describe.

    For ``import_path: rocm_core.scale:app_from_args`` (``serve deploy``; ``deploy_config`` writes
    such files).

    Args:
        args: ``models`` (a list of mappings with the fields of ``Replicas``; ``load`` is a mapping
            of load options), and ``key_digests`` and ``fronts`` as ``build_app`` has them.

    Raises:
        ConfigError: a field is unknown, or does not fit.
    """
    unknown = set(args) - {"models", "key_digests", "fronts"}
    if unknown or not args.get("models"):
        raise ConfigError(
            "args takes models, key_digests and fronts, and at least one model"
            + (f"; unknown: {', '.join(sorted(unknown))}" if unknown else "")
        )
    models = [replicas_from(given) for given in args["models"]]
    more = {name: args[name] for name in ("key_digests", "fronts") if name in args}
    return build_app(models, **more)


def replicas_from(given: Mapping[str, Any]) -> Replicas:
    """Return the ``Replicas`` that a mapping of a configuration file describes.

    Raises:
        ConfigError: a field is unknown, or does not fit.
    """
    fields = dict(given)
    try:
        load = LoadConfig(**fields.pop("load", {}))
        if isinstance(scaling := fields.get("autoscaling"), list):
            fields["autoscaling"] = tuple(scaling)
        return Replicas(load=load, **fields)
    except TypeError as error:
        raise ConfigError(f"a model of the configuration: {error}") from None


def run_app(
    ref: Models = None,
    load: LoadConfig | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    api_keys: Sequence[str] = (),
    fronts: int = 1,
    **options: Any,
) -> None:
    """Build an application, run it on the Ray cluster of this program, and return when it answers.

    Without a cluster (``ray.init(address=…)``) it starts Ray on this machine, for itself.

    Args:
        ref, load, api_keys, fronts, options: as for ``build_app``.
        host: the address that Ray's proxies listen on; any but a loopback address needs
            ``api_keys``.
        port: their TCP port.

    Raises:
        BackendUnavailable: Ray is not installed, or cannot be imported here.
        ConfigError: an option does not fit; ``host`` lets other machines in without a key; Ray
            sees too few GPUs.
        RuntimeError: from Ray, if the application does not start.
    """
    models = _models(ref, load, options)
    serve = import_serve()
    import ray

    loopback = is_loopback(host)
    check_haproxy(loopback)
    if not loopback and not api_keys:
        raise ConfigError(f"host={host!r} lets other machines in: give the application api_keys=")
    if ours := not ray.is_initialized():
        ray.init("local", include_dashboard=False, log_to_driver=False)
    check_gpus(max(model.gpus_per_replica for model in models), ray.cluster_resources())
    serve.start(http_options={"host": host, "port": port})
    app = build_app(models, api_keys=api_keys, fronts=fronts, one_machine=ours)
    serve.run(app, name=_APP_NAME, route_prefix="/")


def stop_app() -> None:
    """End the application and leave the cluster; ends Ray where ``run_app`` started it.

    Returns when the replicas have drained (``drain_seconds``) and their servers have stopped.
    """
    serve = import_serve()
    import ray

    if ray.is_initialized():
        serve.shutdown()
        ray.shutdown()


def _models(
    ref: str | Replicas | Sequence[Replicas] | None,
    load: LoadConfig | None,
    options: dict[str, Any],
) -> list[Replicas]:
    if isinstance(ref, Replicas):
        ref = [ref]
    if ref is None or isinstance(ref, str):
        chosen = plan(ref, load, None, {}, current_settings())
        return [Replicas(str(chosen.ref), chosen.config, **options)]
    if load is not None or options:
        raise ConfigError("load and options belong into each of the Replicas")
    names = [model.name for model in ref]
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"each model needs a name of its own (name=), not {names}")
    return list(ref)


def _deployment(serve: Any, model: Replicas, one_machine: bool) -> Any:
    from ray.serve.config import RequestRouterConfig
    from ray.serve.schema import LoggingConfig

    scale: dict[str, Any] = {"autoscaling_config": model.scaling}
    if model.scaling is None:
        scale = {"num_replicas": model.replicas or 1}
    host = LOOPBACK if one_machine else None
    options = ReplicaOptions(model.ref, model.load, model.gpus_per_replica, model.slots, host)
    return (
        serve.deployment(LlamaReplica)
        .options(
            name=f"model-{model.name}",
            max_ongoing_requests=model.most_held,
            max_queued_requests=model.max_queued,
            graceful_shutdown_timeout_s=model.drain_seconds,
            graceful_shutdown_wait_loop_s=0.5,
            health_check_period_s=model.health_seconds,
            # Of each lease; the front's log has the requests.
            logging_config=LoggingConfig(enable_access_log=False),
            ray_actor_options={
                "num_gpus": model.gpus_per_replica,
                "num_cpus": model.cpus_per_replica,
            },
            request_router_config=RequestRouterConfig(
                request_router_class=_ROUTER,
                request_router_kwargs={"slots": model.slots},
                request_routing_stats_period_s=_STATS_PERIOD,
                max_backoff_s=_MOST_BACKOFF,
            ),
            **scale,
        )
        .bind(options)
    )
