"""Every notebook runs from top to bottom, and is committed with its outputs."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


def streamed(notebook: nbformat.NotebookNode) -> list[str]:
    """What the code cells printed, cell by cell; numbers (cached tokens) may differ."""
    return [
        re.sub(r"\d+", "N", "".join(output.get("text", "") for output in cell.outputs))
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_runs_and_prints_what_it_shows(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    shown = streamed(notebook)
    assert any("Hello! I am the small demo model" in text for text in shown)
    NotebookClient(notebook, timeout=90, kernel_name="python3", coalesce_streams=True).execute()
    assert streamed(notebook) == shown
