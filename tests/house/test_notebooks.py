"""Every notebook runs from top to bottom, and is committed with its outputs."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def printed(cell: nbformat.NotebookNode) -> str:
    """What a cell printed; of an answer of the model (printed in pieces) only that it is one.

    Numbers (cached tokens) may differ, and so may the words, from one processor to another.
    """
    text = "".join(output.get("text", "") for output in cell.outputs)
    if 'end=""' in cell.source:
        return "an answer" if len(text.split()) > 2 else f"no answer: {text!r}"
    return re.sub(r"\d+", "N", text)


def printed_by(notebook: nbformat.NotebookNode) -> list[str]:
    return [printed(cell) for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_runs_and_prints_what_it_shows(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    shown = printed_by(notebook)
    assert "an answer" in shown
    NotebookClient(notebook, timeout=90, kernel_name="python3", coalesce_streams=True).execute()
    assert printed_by(notebook) == shown
