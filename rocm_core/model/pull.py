"""Download a model as llama-server does for ``-hf``, without waiting for its load.

llama-server downloads what it is asked to load (``common/download.cpp``): the parts of the model
and its projector at once, each into ``blobs/<digest>.downloadInProgress``, and goes on with such a
file where an earlier attempt ended. Its own progress is for terminals only, so here the sizes of
these files are read, and what they will be from the hub's list of files (``/api/models/…/tree``).
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rocm_core.config import LoadConfig
from rocm_core.discover.places import download_cache, hub_folder
from rocm_core.discover.refs import resolve_ref
from rocm_core.errors import ConfigError
from rocm_core.server import Server
from rocm_core.supervisor.events import LogLine, ServerEvent

_UNFINISHED = ".downloadInProgress"
_HUB = "https://huggingface.co/"
# Seconds between two looks at the files, and for the hub's list of them.
_POLL, _LIST_TIMEOUT = 0.1, 10.0
# src/llama-model-loader.cpp: the file is there, and its header could be read.
_OPENED = re.compile(r"loaded meta data with .* from (.+) \(version")
# As little of a load as there is: nobody waits for it.
_LEAST: dict[str, Any] = {
    "backend": "cpu",
    "gpu_layers": 0,
    "context_len": 256,
    "keep_alive": 0,
    "parallel": 1,
}


@dataclass(frozen=True)
class PullProgress:
    """How far a download is.

    Attributes:
        done: bytes that are here, those of earlier attempts among them.
        total: bytes of the files that are being downloaded; ``None`` if the hub does not tell.
        resumed: bytes that an earlier attempt had left.
    """

    done: int
    total: int | None
    resumed: int = 0


def pull(
    ref: str,
    config: LoadConfig | None = None,
    on_progress: Callable[[PullProgress], None] | None = None,
) -> Path:
    """Download a model, or what is missing of it, and return its first file.

    A download that is interrupted (Ctrl-C, a lost connection) goes on where it ended when the same
    model is pulled or loaded again, if the hub serves ranges.

    Args:
        ref: ``org/repo[:quant]``.
        config: which engine downloads (``engine``, ``server_path``), and ``environment``
            (``HF_TOKEN``, ``HF_ENDPOINT``, …); the rest does not matter.
        on_progress: called in this thread, some ten times a second.

    Raises:
        ConfigError: ``ref`` is no ``org/repo[:quant]``.
        ServerStartError: the download failed; its text has the cause and the remedy.
        RocmError: there is no engine, or it cannot be started.
    """
    resolved = resolve_ref(ref)
    if resolved.kind != "hf":
        raise ConfigError(f"{ref} is here, or a server; only org/repo[:quant] can be downloaded")
    given = config or LoadConfig()
    load = LoadConfig(
        engine=given.engine,
        server_path=given.server_path,
        environment=given.environment,
        stall_timeout=given.stall_timeout,
        extra_args=("--log-verbosity", "4"),
        **_LEAST,
    )
    env = _environment(load)
    watch = _Watch(ref.partition(":")[0], env)
    watch.finish()
    return _download(Server(resolved, load), watch, on_progress)


def _download(
    server: Server, watch: _Watch, on_progress: Callable[[PullProgress], None] | None
) -> Path:
    ended = threading.Event()
    found: list[Path] = []
    failed: list[BaseException] = []

    def heard(event: ServerEvent) -> None:
        if isinstance(event, LogLine) and (opened := _OPENED.search(event.text)) and not found:
            found.append(Path(opened[1]))
            ended.set()

    def start() -> None:
        try:
            server.start()
            found.append(Path(server.client.props().model_path))
        except BaseException as error:
            failed.append(error)
        ended.set()

    with server.subscribe(heard):
        thread = threading.Thread(target=start, name="rocm-pull", daemon=True)
        thread.start()
        try:
            while not ended.wait(_POLL):
                if on_progress is not None:
                    on_progress(watch.look())
        finally:
            server.stop()
            thread.join()
    if not found:
        raise failed[0]
    return found[0]


def _environment(config: LoadConfig) -> dict[str, str]:
    env = dict(os.environ)
    for name, value in dict(config.environment).items():
        env.pop(name, None)
        if value is not None:
            env[name] = value
    return env


class _Watch:
    """Reads how far a download is from the files that it writes."""

    def __init__(self, repository: str, env: Mapping[str, str]) -> None:
        self._blobs = download_cache(env) / hub_folder(repository) / "blobs"
        self._before = self._unfinished()
        self._seen: set[str] = set()
        self._sizes: dict[str, int] | None = None
        self._repository, self._env = repository, env

    def finish(self) -> None:
        """Name the files that are whole, and delete those that no download could go on with.

        llama-server asks for the bytes behind the last one, gets HTTP 416 for a file that is whole
        (ended between its last byte and its renaming), and gives up; every time again.
        """
        if not self._before:
            return
        self._sizes = _sizes(self._repository, self._env)
        for digest, size in self._before.items():
            if size < self._sizes.get(digest, size + 1):
                continue
            unfinished = self._blobs / f"{digest}{_UNFINISHED}"
            if _sha256(unfinished) == digest:
                unfinished.replace(self._blobs / digest)
            else:
                unfinished.unlink()

    def look(self) -> PullProgress:
        """Return how far it is now."""
        now = self._unfinished()
        # A file that does not grow is of another model.
        self._seen |= {digest for digest, size in now.items() if self._before.get(digest) != size}
        if self._seen and self._sizes is None:
            self._sizes = _sizes(self._repository, self._env)
        done = sum(now.get(digest, self._finished(digest)) for digest in self._seen)
        sizes = self._sizes or {}
        known = all(digest in sizes for digest in self._seen) and bool(self._seen)
        total = sum(sizes[digest] for digest in self._seen) if known else None
        resumed = sum(self._before.get(digest, 0) for digest in self._seen)
        return PullProgress(done, total, resumed)

    def _unfinished(self) -> dict[str, int]:
        found = {}
        for file in self._blobs.glob(f"*{_UNFINISHED}"):
            with contextlib.suppress(OSError):  # finished meanwhile
                found[file.name.removesuffix(_UNFINISHED)] = file.stat().st_size
        return found

    def _finished(self, digest: str) -> int:
        try:
            return (self._blobs / digest).stat().st_size
        except OSError:
            return 0


def _sizes(repository: str, env: Mapping[str, str]) -> dict[str, int]:
    """Return the bytes of each file of a repository by its digest; empty if the hub does not say.

    Asks where llama-server asks (``common/common.cpp: common_get_model_endpoint``).
    """
    import httpx

    endpoint = env.get("MODEL_ENDPOINT") or env.get("HF_ENDPOINT") or _HUB
    url = f"{endpoint.rstrip('/')}/api/models/{repository}/tree/main?recursive=true"
    token = env.get("HF_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        listed = httpx.get(url, headers=headers, timeout=_LIST_TIMEOUT).json()
        return {digest: size for item in listed for digest, size in _size(item)}
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _sha256(file: Path) -> str:
    import hashlib

    found = hashlib.sha256()
    with file.open("rb") as opened:
        while piece := opened.read(1 << 20):
            found.update(piece)
    return found.hexdigest()


def _size(item: dict[str, Any]) -> list[tuple[str, int]]:
    digest = str((item.get("lfs") or item)["oid"])
    return [(digest, int(item["size"]))] if item.get("type") == "file" else []
