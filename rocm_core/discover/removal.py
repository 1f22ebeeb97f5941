"""Delete a model from the cache of another program: its files, and nothing that others need.

    models--org--repo/snapshots/<commit>/tiny.gguf → ../../blobs/<digest>

Of such a link of the hub's cache the blob goes with it, and every other link to that blob. A link
that leads out of its cache is deleted, and the file that it leads to stays.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rocm_core.discover.models import FoundModel
from rocm_core.discover.places import caches_of
from rocm_core.errors import ConfigError

_SNAPSHOTS, _BLOBS = "snapshots", "blobs"
_UNFINISHED = (".downloadInProgress", ".incomplete")


@dataclass(frozen=True)
class Removal:
    """What deleting a model deletes.

    Attributes:
        cache: the cache's directory.
        files: the files and links, in the order in which they are deleted.
        size: bytes that become free.
        repository: the hub's directory of the repository; ``None`` outside of such a cache.
    """

    cache: Path
    files: tuple[Path, ...]
    size: int
    repository: Path | None

    def perform(self) -> None:
        """Delete the files, and the directories that are empty then.

        Raises:
            OSError: a file cannot be deleted; those before it are gone.
        """
        for file in self.files:
            file.unlink(missing_ok=True)
        for file in self.files:
            _drop_empty(file.parent, self.cache)
        if self.repository is not None and _is_needless(self.repository):
            shutil.rmtree(self.repository, ignore_errors=True)


def removal_of(model: FoundModel, env: Mapping[str, str] = os.environ) -> Removal:
    """Return what deleting a model would delete; deletes nothing.

    Args:
        model: one of ``discover_models``.
        env: environment variables that name caches.

    Raises:
        ConfigError: the model lies outside of the caches, or Ollama keeps it.
    """
    if model.source == "ollama":
        raise ConfigError(f"{model.name} is Ollama's, which keeps accounts of its files: ollama rm")
    cache = _cache_of(model, env)
    if cache is None:
        raise ConfigError(
            f"{model.path} is in none of the caches of llama.cpp, Hugging Face and LM Studio, "
            "and only those are cleared here. Delete the file itself if it is no longer needed."
        )
    repository = repository_of(model.path)
    if repository is not None and not repository.resolve().is_relative_to(cache.resolve()):
        repository = None
    files: dict[Path, None] = {}
    for part in model.parts:
        if os.path.lexists(part):
            files.update(dict.fromkeys(_with_blob(part, repository)))
    size = sum(file.stat().st_size for file in files if not file.is_symlink())
    return Removal(cache, tuple(files), size, repository)


def repository_of(path: Path) -> Path | None:
    """Return the directory ``models--org--repo`` that a hub's cache has for a file, if any."""
    for folder in path.parents:
        if folder.name == _SNAPSHOTS and folder.parent.name.startswith("models--"):
            return folder.parent
    return None


def _cache_of(model: FoundModel, env: Mapping[str, str]) -> Path | None:
    """Return the cache that holds every part; links of directories count as where they lead."""
    for source, folder in caches_of(env):
        top = folder.resolve()
        if source != "ollama" and all(p.parent.resolve().is_relative_to(top) for p in model.parts):
            return folder
    return None


def _with_blob(path: Path, repository: Path | None) -> Iterator[Path]:
    if not path.is_symlink() or repository is None:
        yield path
        return
    blob, blobs = path.resolve(), (repository / _BLOBS).resolve()
    if blob.parent != blobs:
        yield path
        return
    for link in (repository / _SNAPSHOTS).rglob("*"):
        if link.is_symlink() and link.resolve() == blob:
            yield link
    if blob.exists():
        yield blob


def _drop_empty(folder: Path, top: Path) -> None:
    while folder != top and folder.is_relative_to(top):
        try:
            folder.rmdir()
        except OSError:  # it is not empty, or gone
            if folder.exists():
                return
        folder = folder.parent


def _is_needless(repository: Path) -> bool:
    """Return whether nothing of a repository is left but blobs without a link, and references."""
    blobs, snapshots = repository / _BLOBS, repository / _SNAPSHOTS
    unfinished = blobs.is_dir() and any(b.name.endswith(_UNFINISHED) for b in blobs.iterdir())
    return not unfinished and not (snapshots.is_dir() and any(snapshots.iterdir()))
