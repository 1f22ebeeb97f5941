"""List model files by name. Opens no file but Ollama's small manifests.

directories        the given ones, ROCM_MODEL_DIR
llama.cpp          LLAMA_CACHE, or ~/.cache/llama.cpp     (common/common.cpp)
Hugging Face hub   models--org--repo/snapshots/<commit>/  (common/hf-cache.cpp)
LM Studio          ~/.lmstudio/models/publisher/model/    (its documentation, "Import Models")
Ollama             manifests/<host>/<user>/<model>/<tag> → blobs/sha256-…
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rocm_core.config.option import expanded
from rocm_core.gguf import part_paths
from rocm_core.gguf.facts import PART

_OLLAMA_HOST, _OLLAMA_USER = "registry.ollama.ai", "library"
# Where Ollama's Linux service keeps its models.
_OLLAMA_SYSTEM = Path("/usr/share/ollama/.ollama/models")
_OLLAMA_LAYER = "application/vnd.ollama.image."


@dataclass(frozen=True, slots=True)
class Candidate:
    """One model file, or the parts of one.

    Attributes:
        name: what ``resolve_ref`` takes.
        paths: the parts in order; some may not exist.
        source: ``directory``, ``llama.cpp``, ``huggingface``, ``lmstudio`` or ``ollama``.
        projector: the model's projector, if the place names it (Ollama's manifests do).
        problem: why the directory cannot be read; ``None`` if it can.
    """

    name: str
    paths: tuple[Path, ...]
    source: str
    projector: Path | None = None
    problem: str | None = None


def candidates(
    directories: Iterable[str | os.PathLike[str]], env: Mapping[str, str], *, caches: bool
) -> Iterator[Candidate]:
    """Yield every candidate, in the order of the table above; a file with two names only once.

    Args:
        directories: searched with everything below them.
        env: environment variables that name directories and caches.
        caches: whether to look into the caches of other programs.
    """
    seen: set[Path] = set()
    for candidate in _all(directories, env, caches):
        real = candidate.paths[0].resolve()
        if real not in seen:
            seen.add(real)
            yield candidate


def _all(
    directories: Iterable[str | os.PathLike[str]], env: Mapping[str, str], caches: bool
) -> Iterator[Candidate]:
    for directory in (*directories, *_listed(env, "ROCM_MODEL_DIR")):
        yield from _below(expanded(directory), "directory")
    if not caches:
        return
    for source, folder in caches_of(env):
        yield from _LISTED[source](folder)


def caches_of(env: Mapping[str, str]) -> list[tuple[str, Path]]:
    """Return the caches of other programs, in the order of the table above; some may not exist.

    Args:
        env: environment variables that name directories and caches.

    Returns:
        Pairs of a candidate's ``source`` and the cache's directory.
    """
    try:
        home = Path(env.get("HOME") or Path.home())
    except RuntimeError:  # neither HOME nor an entry in passwd
        home = Path(os.devnull)
    cache = Path(env.get("XDG_CACHE_HOME") or home / ".cache")
    return [
        ("llama.cpp", Path(env.get("LLAMA_CACHE") or cache / "llama.cpp")),
        ("huggingface", _hub_cache(env, cache)),
        ("lmstudio", home / ".lmstudio/models"),
        ("lmstudio", cache / "lm-studio/models"),
        ("ollama", Path(env.get("OLLAMA_MODELS") or home / ".ollama/models")),
        ("ollama", _OLLAMA_SYSTEM),
    ]


def download_cache(env: Mapping[str, str]) -> Path:
    """Return where llama-server keeps what ``-hf`` downloads (``common/hf-cache.cpp``)."""
    places = dict(caches_of(env))
    return places["llama.cpp" if env.get("LLAMA_CACHE") else "huggingface"]


def hub_folder(repository: str) -> str:
    """Return the name of the directory that a hub's cache has for ``org/repo``."""
    return "models--" + repository.replace("/", "--")


def _listed(env: Mapping[str, str], name: str) -> list[str]:
    value = env.get(name)
    return [value] if value else []


def _hub_cache(env: Mapping[str, str], cache: Path) -> Path:
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if value := env.get(name):
            return expanded(value)
    return expanded(env.get("HF_HOME") or cache / "huggingface") / "hub"


def _below(top: Path, source: str) -> Iterator[Candidate]:
    refused: list[OSError] = []
    found: dict[Path, None] = {}
    for folder, folders, files in os.walk(top, onerror=refused.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for file in sorted(files):
            if file.lower().endswith(".gguf") and not file.startswith("."):
                found[part_paths(Path(folder, file))[0]] = None
    for first in found:
        yield Candidate(_stem(first), part_paths(first), source)
    for error in refused:
        if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
            path = Path(error.filename)
            yield Candidate(path.name, (path,), source, problem=f"cannot be read: {error.strerror}")


def _stem(path: Path) -> str:
    name = PART.sub("", path.name)
    return name[:-5] if name.lower().endswith(".gguf") else name


def _hub(cache: Path) -> Iterator[Candidate]:
    for repository in sorted(cache.glob("models--*")):
        snapshots = repository / "snapshots"
        current = _text(repository / "refs/main").strip()
        known = sorted(snapshots.glob("*")) if snapshots.is_dir() else []
        # The current commit first: files of older ones that did not change are the same blobs.
        for snapshot in sorted(known, key=lambda path: path.name != current):
            yield from _below(snapshot, "huggingface")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _ollama(models: Path) -> Iterator[Candidate]:
    top = models / "manifests"
    try:
        manifests = sorted(path for path in top.glob("*/*/*/*") if path.is_file())
    except OSError:
        return  # the service runs as another user, and its files are not readable for us
    for manifest in manifests:
        layers = _layers(manifest, models / "blobs")
        if "model" in layers:
            host, user, model, tag = manifest.relative_to(top).parts
            name = f"{model}:{tag}" if user == _OLLAMA_USER else f"{user}/{model}:{tag}"
            name = name if host == _OLLAMA_HOST else f"{host}/{user}/{model}:{tag}"
            yield Candidate(name, (layers["model"],), "ollama", layers.get("projector"))


def _layers(manifest: Path, blobs: Path) -> dict[str, Path]:
    try:
        listed: Any = json.loads(_text(manifest))["layers"]
        return {
            layer["mediaType"].removeprefix(_OLLAMA_LAYER): blobs
            / layer["digest"].replace(":", "-")
            for layer in listed
            if layer["mediaType"].startswith(_OLLAMA_LAYER)
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


_LISTED: dict[str, Callable[[Path], Iterator[Candidate]]] = {
    "llama.cpp": lambda folder: _below(folder, "llama.cpp"),
    "huggingface": _hub,
    "lmstudio": lambda folder: _below(folder, "lmstudio"),
    "ollama": _ollama,
}
