"""Progress on a terminal and without one."""

from __future__ import annotations

import io

from rich.console import Console

from trainer.run.progress import Progress


def test_a_terminal_sees_a_bar_and_an_estimate() -> None:
    """The bar is drawn only on a terminal; time_left() gives the estimate everywhere."""
    terminal, file = (Console(file=io.StringIO(), force_terminal=forced) for forced in (True, False))
    for console in (terminal, file):
        with Progress(console) as progress:
            progress.begin("training", 10)
            assert progress.time_left() == ""
            for _ in range(5):
                progress.advance()
            assert progress.time_left().endswith(" left")
    assert "training" in terminal.file.getvalue()  # type: ignore[attr-defined]
    assert "training" not in file.file.getvalue()  # type: ignore[attr-defined]
