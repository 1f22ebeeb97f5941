"""The thin distributions ask for llama-rocm as it is, and re-export what it has."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

import langchain_rocm
import llama_index_rocm
import rocm_core
from langchain_rocm import ChatRocm
from scripts.release import of_version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
THIN = sorted(path.parent for path in (ROOT / "packaging").glob("*/pyproject.toml"))


def project(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))


OURS = {**project(ROOT)["project"], "version": rocm_core.__version__}


def test_there_is_one_for_each_framework() -> None:
    assert [folder.name for folder in THIN] == ["langchain-rocm", "llama-index-llms-rocm"]


@pytest.mark.parametrize("folder", THIN, ids=lambda folder: folder.name)
def test_its_metadata_are_those_of_llama_rocm(folder: Path) -> None:
    thin = project(folder)["project"]
    assert thin["name"] == folder.name
    for name in ("version", "license", "requires-python"):
        assert thin[name] == OURS[name]
    extra = "langchain" if "langchain" in folder.name else "llama-index"
    assert thin["dependencies"] == [f"llama-rocm[{extra}]>={OURS['version']},<1"]
    for extra, [needed] in thin["optional-dependencies"].items():
        assert needed == f"llama-rocm[{extra}]"
        assert extra in OURS["optional-dependencies"]
    assert (folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert "pip install" in (folder / thin["readme"]).read_text(encoding="utf-8")


@pytest.mark.parametrize("folder", THIN, ids=lambda folder: folder.name)
def test_a_release_gives_it_the_version(folder: Path) -> None:
    text = (folder / "pyproject.toml").read_text(encoding="utf-8")
    released = tomllib.loads(of_version(text, "9.8.7"))["project"]
    assert released["version"] == "9.8.7"
    assert released["dependencies"][0].endswith("]>=9.8.7,<1")
    assert of_version(text, rocm_core.__version__) == text


def test_llama_index_finds_the_class_where_its_own_are() -> None:
    folder = ROOT / "packaging/llama-index-llms-rocm"
    assert not list(folder.glob("llama_index/*.py")) + list(folder.glob("llama_index/llms/*.py"))
    path = folder / "llama_index/llms/rocm/__init__.py"
    spec = importlib.util.spec_from_file_location("thin", path)
    assert spec is not None and spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.RocmLLM is llama_index_rocm.RocmLLM
    assert all(getattr(llama_index_rocm, name) is getattr(module, name) for name in module.__all__)
    hub = project(folder)["tool"]["llamahub"]
    assert hub["import_path"] == "llama_index.llms.rocm"
    assert set(hub["class_authors"]) <= set(module.__all__)


def test_langchains_package_is_part_of_llama_rocm() -> None:
    folder = ROOT / "packaging/langchain-rocm"
    assert not list(folder.rglob("*.py"))
    assert (
        langchain_rocm.__name__
        in project(ROOT)["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    )


def test_langchain_has_no_place_for_another_provider() -> None:
    # Where it gets one, "rocm:…" can work: the README says to give ChatRocm in place of the name.
    agents = pytest.importorskip("langchain.agents")
    models = pytest.importorskip("langchain.chat_models")
    for make in (models.init_chat_model, agents.create_agent):
        with pytest.raises(ValueError, match=r"(?i)provider"):
            make("rocm:demo")
    assert agents.create_agent(ChatRocm(model="demo"), []) is not None
