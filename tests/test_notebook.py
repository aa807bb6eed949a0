"""The notebook of the documents does what it says, from the first cell to the last, as a reader runs it."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parents[1] / "docs" / "notebooks" / "first-network.ipynb"


def test_the_notebook_has_no_outputs() -> None:
    """Outputs hold paths and times of one machine, and would change with each run."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)


@pytest.mark.slow
def test_the_notebook_goes_from_pictures_to_a_judged_frame(tmp_path: Path) -> None:
    """Each cell runs in an empty folder, the training ends with a verdict, and a frame has a judgement."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=500, kernel_name="python3", resources=resources).execute()
    printed = "".join(out.get("text", "") for cell in notebook.cells for out in cell.get("outputs", []))
    assert "verdict: " in printed
    assert " -> " in printed
    pictures = [
        out
        for cell in notebook.cells
        for out in cell.get("outputs", [])
        if "image/png" in out.get("data", {})
    ]
    assert len(pictures) == 4, "the frames, the confusion, the curves, and the heat map"
    assert (tmp_path / "runs" / "notebook" / "report.html").is_file()
