"""Deleting models from caches: all of a model, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from rocm_core.demo import demo_model_path
from rocm_core.discover.models import FoundModel, discover_models
from rocm_core.discover.removal import removal_of
from rocm_core.errors import ConfigError

CONTENT = demo_model_path().read_bytes()


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    names = ("HF_HUB_CACHE", "LLAMA_CACHE", "OLLAMA_MODELS", "HOME")
    return {name: str(tmp_path / name.lower()) for name in names}


def hub(env: dict[str, str], commit: str, *names: str) -> Path:
    """A repository of the hub's cache; each file has a blob of its name."""
    repository = Path(env["HF_HUB_CACHE"]) / "models--org--tiny"
    snapshot = repository / "snapshots" / commit
    for folder in (snapshot, repository / "blobs", repository / "refs"):
        folder.mkdir(parents=True, exist_ok=True)
    (repository / "refs/main").write_text(commit)
    for name in names:
        (repository / "blobs" / f"{name}.blob").write_bytes(CONTENT)
        (snapshot / name).symlink_to(f"../../blobs/{name}.blob")
    return repository


def only(env: dict[str, str], name: str) -> FoundModel:
    [model] = [found for found in discover_models(env=env) if found.name == name]
    return model


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_symlink() or path.is_file()}


def test_a_link_goes_with_its_blob_and_with_its_other_links(env: dict[str, str]) -> None:
    repository = hub(env, "a" * 40, "one.gguf", "two.gguf")
    older = repository / "snapshots" / ("b" * 40)
    older.mkdir()
    (older / "one.gguf").symlink_to("../../blobs/one.gguf.blob")
    removal = removal_of(only(env, "one"), env)
    assert removal.size == len(CONTENT)
    removal.perform()
    assert files(repository) == {"main", "two.gguf", "two.gguf.blob"}
    assert not older.exists()


def test_of_a_repository_without_files_nothing_stays(env: dict[str, str]) -> None:
    repository = hub(env, "a" * 40, "one.gguf")
    removal_of(only(env, "one"), env).perform()
    assert not repository.exists()
    assert Path(env["HF_HUB_CACHE"]).is_dir()


def test_a_download_of_the_repository_that_is_not_finished_stays(env: dict[str, str]) -> None:
    repository = hub(env, "a" * 40, "one.gguf")
    (repository / "blobs/other.downloadInProgress").write_bytes(b"GG")
    removal_of(only(env, "one"), env).perform()
    assert files(repository) == {"main", "other.downloadInProgress"}


def test_a_link_out_of_the_cache_goes_and_the_file_stays(
    env: dict[str, str], tmp_path: Path
) -> None:
    mine = tmp_path / "mine.gguf"
    mine.write_bytes(CONTENT)
    cache = Path(env["LLAMA_CACHE"])
    cache.mkdir()
    (cache / "link.gguf").symlink_to(mine)
    removal = removal_of(only(env, "link"), env)
    assert (removal.files, removal.size) == ((cache / "link.gguf",), 0)
    removal.perform()
    assert mine.read_bytes() == CONTENT
    assert files(cache) == set()


def test_every_part_of_a_split_model_goes(env: dict[str, str]) -> None:
    cache = Path(env["LLAMA_CACHE"])
    cache.mkdir()
    for name in ("m-00001-of-00002.gguf", "m-00002-of-00002.gguf", "other.gguf"):
        (cache / name).write_bytes(CONTENT)
    removal = removal_of(only(env, "m"), env)
    assert removal.size == 2 * len(CONTENT)
    removal.perform()
    assert files(cache) == {"other.gguf"}


def test_a_folder_that_leads_out_of_the_cache_is_refused(
    env: dict[str, str], tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine.gguf").write_bytes(CONTENT)
    cache = Path(env["LLAMA_CACHE"])
    cache.mkdir()
    (cache / "folder").symlink_to(outside)
    path = cache / "folder/mine.gguf"
    found = FoundModel("mine", path, "model", "llama.cpp", (path,), len(CONTENT))
    with pytest.raises(ConfigError, match="in none of the caches"):
        removal_of(found, env)


def test_a_file_of_the_users_own_is_refused(env: dict[str, str], tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "model.gguf").write_bytes(CONTENT)
    [model] = [m for m in discover_models(mine, env=env) if m.name == "model"]
    with pytest.raises(ConfigError, match=r"model\.gguf is in none of the caches"):
        removal_of(model, env)


def test_a_model_of_ollama_is_left_to_it(env: dict[str, str]) -> None:
    path = Path(env["OLLAMA_MODELS"]) / "blobs/sha256-1"
    model = FoundModel("llama3", path, "model", "ollama", (path,), 1)
    with pytest.raises(ConfigError, match="ollama rm"):
        removal_of(model, env)
