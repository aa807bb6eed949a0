"""Near-duplicates of each data set: frames, groups, and groups that hold several runs or labels.

python benchmarks/near_duplicates.py FOLDER...
"""

from __future__ import annotations

import time
from collections import defaultdict
from pathlib import Path

import typer

from trainer.data import datasets
from trainer.data.near_duplicates import groups

HEAD = ("set", "frames", "near-duplicates", "groups", "largest", "several runs", "several labels", "s")


def main(folders: list[Path]) -> None:
    """Print a row for each folder, in any form of weld-train's --data."""
    typer.echo(f"| {' | '.join(HEAD)} |\n{'|---' * len(HEAD)}|")
    for folder in folders:
        frames = datasets.read(folder).frames
        start = time.monotonic()
        found = groups([frame.path for frame in frames])
        seconds = time.monotonic() - start
        members: dict[int, list[datasets.Frame]] = defaultdict(list)
        for frame, first in zip(frames, found, strict=True):
            members[first].append(frame)
        several = [group for group in members.values() if len(group) > 1]
        row = [
            folder,
            len(frames),
            sum(len(group) for group in several),
            len(several),
            max((len(group) for group in several), default=0),
            sum(len({frame.run for frame in group}) > 1 for group in several),
            sum(len({frame.label for frame in group}) > 1 for group in several),
            f"{seconds:.0f}",
        ]
        typer.echo(f"| {' | '.join(map(str, row))} |")


if __name__ == "__main__":
    typer.run(main)
