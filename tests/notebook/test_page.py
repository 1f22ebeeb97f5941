"""What the page on notebooks says runs in a notebook."""

from __future__ import annotations

import pytest

from tests.support.kernel import kernel
from tests.support.pages import blocks

CELLS = [block for block in blocks("docs/guides/notebooks.md") if block.language == "ipython"]


@pytest.mark.slow
@pytest.mark.engine
def test_every_cell_of_the_page_runs_in_order() -> None:
    assert len(CELLS) > 4
    with kernel() as notebook:
        for cell in CELLS:
            output = notebook.run(cell.text.rstrip())
            assert not output.traceback, (cell.place, output.traceback)
            assert "not found" not in output.printed, cell.place
