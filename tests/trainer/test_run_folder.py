"""The run folder's files: what a person opens in a spreadsheet, and what the program reads again."""

from __future__ import annotations

from pathlib import Path

from trainer.data.datasets import Frame
from trainer.recipe_file import load
from trainer.run.folder import RunFolder, read_split
from trainer.run.identity import Identity


def test_names_that_begin_like_formulas_are_shown_and_read_again(tmp_path: Path) -> None:
    """The split's names have an apostrophe in the file for a spreadsheet, and none when they are read."""
    names = ["=1+1.png", "a;=1.png", "good/é.png", "b\udcff.png"]
    frames = [Frame(tmp_path / name, name, 0, run="-3", part="train") for name in names]
    identity = Identity("r", "weldnet", "0", None, "valid", "/data", 3, 1, {}, None, {})
    with RunFolder(tmp_path / "run") as folder:
        folder.write_identity(load("best"), identity, frames, ["@good"])
    text = (tmp_path / "run" / "split.csv").read_text(encoding="utf-8-sig", errors="surrogateescape")
    assert text.splitlines()[1:3] == ["'=1+1.png,'@good,'-3,train,", "a;'=1.png,'@good,'-3,train,"]
    rows = read_split(tmp_path / "run")
    assert [row["path"] for row in rows] == names
    assert {(row["label"], row["run"], row["part"]) for row in rows} == {("@good", "-3", "train")}
