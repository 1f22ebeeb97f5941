"""Run the notebooks and write them back with their outputs.

    python -m scripts.notebooks            every notebook that prints something else than it shows
    python -m scripts.notebooks 02 04      those whose names begin so, whatever they print

``tests/house/test_notebooks.py`` runs them with the same functions, and compares.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
# A cell with this tag shows what differs from run to run, such as a plot.
VARIES = "varies"


def notebooks() -> list[Path]:
    """Return the paths of all notebooks, in order."""
    return sorted(FOLDER.glob("*.ipynb"))


def read(path: Path) -> Any:
    """Return the notebook at ``path``."""
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]


def run(notebook: Any, seconds: int = 90) -> None:
    """Execute ``notebook`` in place, as somebody who opened it in its folder.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raised.
        TimeoutError: a cell took longer than ``seconds``.
    """
    NotebookClient(
        notebook,
        timeout=seconds,
        kernel_name="python3",
        coalesce_streams=True,
        record_timing=False,
        resources={"metadata": {"path": str(FOLDER)}},
    ).execute()


def warnings_in(notebook: Any) -> list[str]:
    """Return what was printed on stderr, where warnings go."""
    return [
        output.text
        for cell in _code(notebook)
        for output in cell.outputs
        if output.output_type == "stream" and output.name == "stderr"
    ]


def shown(notebook: Any) -> list[str]:
    """Return what each cell shows, without what may differ from one machine to another.

    Of an answer of the model (printed in pieces) only that it is one; of numbers that there is
    one, since speeds, memory and process ids differ.
    """
    return [_shown(cell) for cell in _code(notebook)]


def _code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _shown(cell: Any) -> str:
    if VARIES in cell.metadata.get("tags", ()):
        return f"{len(cell.outputs)} outputs"
    texts = [
        output.get("text", "") or output.get("data", {}).get("text/plain", "")
        for output in cell.outputs
    ]
    text = "".join(texts)
    if 'end=""' in cell.source or cell.source.startswith("%%rocm"):
        return "an answer" if len(text.split()) > 2 else f"no answer: {text!r}"
    return re.sub(r"\d+(\.\d+)?", "N", text)


def write(path: Path, notebook: Any) -> None:
    """Write ``notebook`` to ``path``, without what its run says of this machine."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02}"
    nbformat.write(notebook, path)  # type: ignore[no-untyped-call]


def main(arguments: list[str]) -> int:
    """Run those that are asked for; return 1 if one printed a warning."""
    warned = False
    for path in notebooks():
        if arguments and not path.name.startswith(tuple(arguments)):
            continue
        notebook = read(path)
        before = shown(notebook)
        run(notebook)
        found = warnings_in(notebook)
        print(f"{path.name}: {len(found)} warnings", *found, sep="\n")
        warned = warned or bool(found)
        if arguments or shown(notebook) != before:
            write(path, notebook)
    return int(warned)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
