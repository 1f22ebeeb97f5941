"""What a model reference means."""

from __future__ import annotations

from pathlib import Path

import pytest

from rocm_core import resolve_ref
from rocm_core.errors import ConfigError, ModelNotFound


def gguf(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"GGUF")
    return path


def test_urls_demo_and_files(tmp_path: Path) -> None:
    assert resolve_ref("http://host:1/v1").kind == "url"
    assert Path(resolve_ref("demo").value).is_file()
    path = gguf(tmp_path / "My-Model.Q4_K_M.gguf")
    ref = resolve_ref(path)
    assert (ref.kind, ref.value, ref.name) == ("file", str(path), "My-Model.Q4_K_M")


def test_a_broken_url_is_told_without_what_it_holds() -> None:
    with pytest.raises(ConfigError, match="URL") as caught:
        resolve_ref("http://me:sk-secret@[broken")
    assert "sk-secret" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["localhost:11434", "127.0.0.1:8080/v1", "[::1]:8080", "LOCALHOST:80/a/b", "10.0.0.7:1"],
)
def test_what_can_only_be_an_address_is_one(text: str) -> None:
    ref = resolve_ref(text, {})
    assert (ref.kind, ref.value) == ("url", f"http://{text}")


@pytest.mark.parametrize(
    "text", ["qwen3:8", "phi:2", "localhost", "gpubox:8080", "1.2.3.4", "localhost:1/ns/model:tag"]
)
def test_what_may_be_a_model_is_no_address(text: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        resolve_ref(text, {})
    hint = "If it is the address of a server, write http://gpubox:8080." in str(caught.value)
    assert hint == (text == "gpubox:8080")


def test_a_directory_with_one_model_ignores_projectors_and_later_shards(tmp_path: Path) -> None:
    gguf(tmp_path / "mmproj-x.gguf")
    gguf(tmp_path / "big-00002-of-00002.gguf")
    first = gguf(tmp_path / "big-00001-of-00002.gguf")
    ref = resolve_ref(tmp_path)
    assert ref.value == str(first)
    assert ref.name == "big"


def test_a_directory_with_several_models_names_them(tmp_path: Path) -> None:
    gguf(tmp_path / "a.gguf")
    gguf(tmp_path / "b.gguf")
    with pytest.raises(ModelNotFound, match=r"a\.gguf, b\.gguf"):
        resolve_ref(tmp_path)


def test_an_empty_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"no \.gguf file"):
        resolve_ref(tmp_path)


def test_a_name_in_the_model_directory(tmp_path: Path) -> None:
    path = gguf(tmp_path / "qwen.gguf")
    assert resolve_ref("qwen", {"ROCM_MODEL_DIR": str(tmp_path)}).value == str(path)


def test_a_download_is_left_to_llama_server() -> None:
    ref = resolve_ref("ggml-org/model-GGUF:Q4_K_M", {})
    assert (ref.kind, ref.value) == ("hf", "ggml-org/model-GGUF:Q4_K_M")


@pytest.mark.parametrize("ref", ["nope", "nope.gguf", "some/dir/nope.gguf", "/nope/x.gguf"])
def test_what_is_nowhere_says_where_it_was_looked_for(ref: str) -> None:
    with pytest.raises(ModelNotFound, match=r"looked for .*ROCM_MODEL_DIR"):
        resolve_ref(ref, {})


@pytest.mark.parametrize(
    "text",
    [
        "../repo",
        "./repo",
        "org/..",
        "org/.",
        "-m/x",
        "--model/x",
        "org/-x",
        ".org/x",
        "org/x.",
        "o/a..b",
        "org/repo:-x",
        "org/repo:.",
        "~nobody-of-this-name/x",
    ],
)
def test_paths_and_flags_are_no_names_on_hugging_face(text: str) -> None:
    with pytest.raises(ModelNotFound):
        resolve_ref(text, {})


@pytest.mark.parametrize("text", ["org/repo", "o/r:Q4_K_M", "a-b.c/D_e-1.5-GGUF:q8_0", "_o/r_"])
def test_names_on_hugging_face(text: str) -> None:
    assert resolve_ref(text, {}).kind == "hf"
