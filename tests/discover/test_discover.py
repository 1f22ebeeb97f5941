"""Models found in directories and in other programs' caches, laid out as those programs do."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rocm_core import discover_models, resolve_ref
from rocm_core.discover.models import FoundModel
from rocm_core.errors import ModelNotFound
from tests.support.models.gguf_writer import LITTLE, STRING
from tests.support.models.reciter import RECITER


def model(path: Path, *, width: int = 64, kind: str = "model", quantization: int = 1) -> Path:
    """A header without tensors."""
    path.parent.mkdir(parents=True, exist_ok=True)
    clip = kind == "mmproj"
    path.write_bytes(
        LITTLE.file(
            LITTLE.pair("general.architecture", STRING, "clip" if clip else "llama"),
            LITTLE.pair("general.type", STRING, kind),
            LITTLE.pair("general.file_type", 4, quantization),
            LITTLE.pair(
                "clip.vision.projection_dim" if clip else "llama.embedding_length", 4, width
            ),
        )
    )
    return path


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A home of its own."""
    return {"HOME": str(tmp_path / "home")}


def found(env: dict[str, str], *directories: Path) -> dict[str, FoundModel]:
    return {one.name: one for one in discover_models(*directories, env=env)}


# -- places ---------------------------------------------------------------------------------


def test_directories_are_searched_with_all_below_them(tmp_path: Path, env: dict[str, str]) -> None:
    one = model(tmp_path / "a/One-Q8_0.GGUF", quantization=7)
    two = model(tmp_path / "a/b/c/two.gguf")
    model(tmp_path / "a/.hidden/three.gguf")
    (tmp_path / "a/notes.txt").write_text("no model")

    models = found(env, tmp_path / "a")

    assert {name: m.path for name, m in models.items()} == {"One-Q8_0": one, "two": two}
    first = models["One-Q8_0"]
    assert first.info and first.info.quantization == "Q8_0"
    assert (first.kind, first.source, first.size) == ("model", "directory", one.stat().st_size)
    assert first.problem is None


def test_the_model_directory_and_llama_cpps_cache(tmp_path: Path, env: dict[str, str]) -> None:
    model(tmp_path / "mine/mine.gguf")
    model(tmp_path / "cache/downloaded.gguf")
    model(tmp_path / "home/.cache/llama.cpp/usual.gguf")
    env["ROCM_MODEL_DIR"] = str(tmp_path / "mine")

    assert {n: m.source for n, m in found(env).items()} == {
        "mine": "directory",
        "usual": "llama.cpp",
    }
    env["LLAMA_CACHE"] = str(tmp_path / "cache")
    assert set(found(env)) == {"mine", "downloaded"}
    assert [m.name for m in discover_models(env=env, caches=False)] == ["mine"]


def hub(root: Path, name: str, commit: str = "c1") -> Path:
    """A file as huggingface_hub keeps it: a link into the blobs."""
    repository = root / "models--org--repo"
    blob = model(repository / "blobs" / f"{commit}-{len(name)}")
    link = repository / "snapshots" / commit / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(os.path.relpath(blob, link.parent))
    (repository / "refs").mkdir(exist_ok=True)
    (repository / "refs/main").write_text(commit)
    return link


@pytest.mark.parametrize(
    ("variable", "where"),
    [("", "home/.cache/huggingface/hub"), ("HF_HOME", "hf/hub"), ("HF_HUB_CACHE", "hf")],
)
def test_the_hub_cache_by_its_links(
    tmp_path: Path, env: dict[str, str], variable: str, where: str
) -> None:
    link = hub(tmp_path / where, "sub/model-Q4_K_M.gguf")
    if variable:
        env[variable] = str(tmp_path / "hf")

    models = found(env)

    # The link, not the blob: llama.cpp finds further parts by the name.
    assert models["model-Q4_K_M"].path == link
    assert models["model-Q4_K_M"].source == "huggingface"
    assert resolve_ref("model-Q4_K_M", env).value == str(link)


def test_lm_studio(tmp_path: Path, env: dict[str, str]) -> None:
    model(tmp_path / "home/.lmstudio/models/org/repo/studio.gguf")
    assert found(env)["studio"].source == "lmstudio"


def ollama(models: Path, name: str, *kinds: str) -> None:
    layers = []
    for kind in kinds:
        digest = f"{name.replace('/', '-')}-{kind}"
        blob = models / "blobs" / f"sha256-{digest}"
        model(blob, kind="mmproj" if kind == "projector" else "model")
        layers.append(
            {"mediaType": f"application/vnd.ollama.image.{kind}", "digest": f"sha256:{digest}"}
        )
    manifest = models / "manifests" / name
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text(json.dumps({"schemaVersion": 2, "layers": layers}))


def test_ollama_by_its_manifests(tmp_path: Path, env: dict[str, str]) -> None:
    store = tmp_path / "home/.ollama/models"
    ollama(store, "registry.ollama.ai/library/llama3.2/3b", "model", "template", "projector")
    ollama(store, "registry.ollama.ai/someone/tuned/latest", "model")
    ollama(store, "hf.co/org/repo/Q4_K_M", "model")
    ollama(store, "registry.ollama.ai/library/cloud/latest", "template")
    (store / "manifests/registry.ollama.ai/library/llama3.2/broken").write_text("{]")

    models = found(env)

    assert set(models) == {"llama3.2:3b", "someone/tuned:latest", "hf.co/org/repo:Q4_K_M"}
    library = models["llama3.2:3b"]
    assert library.source == "ollama"
    assert library.mmproj and library.mmproj.name.endswith("projector")
    ref = resolve_ref("llama3.2:3b", env)
    assert (ref.kind, ref.value, ref.name) == ("file", str(library.path), "llama3.2:3b")
    assert resolve_ref("someone/tuned:latest", env).kind == "file"


def test_a_file_reached_in_two_ways_is_listed_once(tmp_path: Path, env: dict[str, str]) -> None:
    original = model(tmp_path / "a/model.gguf")
    (tmp_path / "a/z-link.gguf").symlink_to(original)
    assert set(found(env, tmp_path / "a", tmp_path / "a")) == {"model"}


def test_a_missing_directory_is_an_error_a_missing_cache_is_not(
    tmp_path: Path, env: dict[str, str]
) -> None:
    assert found(env) == {}
    with pytest.raises(ModelNotFound, match="no directory"):
        discover_models(tmp_path / "gone", env=env)


def test_names_may_differ_in_case(tmp_path: Path, env: dict[str, str]) -> None:
    path = model(tmp_path / "home/.lmstudio/models/o/r/Big-Model.gguf")
    assert resolve_ref("big-model", env).value == str(path)
    assert resolve_ref("Big-Model.gguf", env).value == str(path)


# -- what the files are ---------------------------------------------------------------------


def test_parts_are_one_model(tmp_path: Path, env: dict[str, str]) -> None:
    parts = [model(tmp_path / f"m/big-0000{n}-of-00003.gguf") for n in (1, 2, 3)]
    models = found(env, tmp_path / "m")
    assert set(models) == {"big"}
    assert models["big"].parts == tuple(parts)
    assert models["big"].size == sum(part.stat().st_size for part in parts)


def test_a_missing_part_is_told(tmp_path: Path, env: dict[str, str]) -> None:
    model(tmp_path / "m/big-00002-of-00002.gguf")
    only = found(env, tmp_path / "m")["big"]
    assert only.kind == "unreadable"
    assert only.problem and "big-00001-of-00002.gguf is missing" in only.problem


def test_projectors_go_to_the_model_of_their_width_and_name(
    tmp_path: Path, env: dict[str, str]
) -> None:
    small, large = tmp_path / "m/vision-4b-Q4_K_M.gguf", tmp_path / "m/vision-12b-Q4_K_M.gguf"
    model(small, width=2560)
    model(large, width=3840)
    for size, width in (("4b", 2560), ("12b", 3840)):
        model(
            tmp_path / f"m/mmproj-vision-{size}-BF16.gguf",
            width=width,
            kind="mmproj",
            quantization=32,
        )
        model(tmp_path / f"m/mmproj-vision-{size}-F16.gguf", width=width, kind="mmproj")

    models = found(env, tmp_path / "m")

    assert models["vision-4b-Q4_K_M"].mmproj == tmp_path / "m/mmproj-vision-4b-F16.gguf"
    assert models["vision-12b-Q4_K_M"].mmproj == tmp_path / "m/mmproj-vision-12b-F16.gguf"
    assert "mmproj-vision-4b-F16" not in models


def test_a_projector_of_another_width_or_folder_stays_alone(
    tmp_path: Path, env: dict[str, str]
) -> None:
    model(tmp_path / "m/text.gguf", width=64)
    model(tmp_path / "m/mmproj-other.gguf", width=128, kind="mmproj")
    model(tmp_path / "n/mmproj-far.gguf", width=64, kind="mmproj")
    models = found(env, tmp_path)
    assert models["text"].mmproj is None
    assert models["mmproj-other"].kind == models["mmproj-far"].kind == "projector"


def test_adapters_are_told_from_models(tmp_path: Path, env: dict[str, str]) -> None:
    model(tmp_path / "m/lora.gguf", kind="adapter")
    assert found(env, tmp_path / "m")["lora"].kind == "adapter"


def test_unreadable_files_are_listed_with_the_problem(tmp_path: Path, env: dict[str, str]) -> None:
    folder = tmp_path / "m"
    model(folder / "cut.gguf").write_bytes(b"GGUF\x03\0\0\0")
    (folder / "page.gguf").write_bytes(b"<html>not found</html>")
    (folder / "empty.gguf").write_bytes(b"")

    models = found(env, folder)

    assert {m.kind for m in models.values()} == {"unreadable"}
    assert "damaged header" in (models["cut"].problem or "")
    assert "not a GGUF" in (models["page"].problem or "")
    assert "not a GGUF" in (models["empty"].problem or "")


def test_a_broken_download_is_told(tmp_path: Path, env: dict[str, str]) -> None:
    (tmp_path / "half.gguf").write_bytes(Path(RECITER).read_bytes()[:100_000])
    half = found(env, tmp_path)["half"]
    assert half.kind == "model"
    assert half.problem and half.problem.startswith("incomplete: ")
