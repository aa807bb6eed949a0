"""Near-duplicates of each data set: frames, groups, and groups that hold several runs or labels.

python benchmarks/near_duplicates.py FOLDER...
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image

from inspector.imaging.decoder import read_image
from trainer.data import datasets
from trainer.data.near_duplicates import MIN_CONTRAST, groups, groups_of_thumbnails, thumbnail

Bytes = NDArray[np.uint8]

HEAD = ("set", "frames", "near-duplicates", "groups", "largest", "several runs", "several labels", "s")


def main(folders: list[Path], copies: Annotated[int, typer.Option()] = 0) -> None:
    """Print a row for each folder, in any form of weld-train's --data."""
    if copies:
        show_copies(folders, copies)
        return
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


def show_copies(folders: list[Path], copies: int) -> None:
    """Print the share of made copies that is found, by set and by change."""
    generator = np.random.default_rng(0)
    typer.echo(f"| set | {' | '.join(CHANGES)} |\n|---{'|---' * len(CHANGES)}|")
    for folder in folders:
        frames = [read_image(frame.path, bit_depth=8) for frame in datasets.read(folder).frames]
        own = [thumbnail(frame) for frame in frames]
        seen = [row for row, each in enumerate(own) if each.std() >= MIN_CONTRAST]
        rows = generator.permutation(seen)[:copies]
        cells = []
        for change in CHANGES.values():
            made = [thumbnail(turned(change(frames[row], generator), generator)) for row in rows]
            first = groups_of_thumbnails([*own, *made])
            found = sum(first[row] == first[len(own) + number] for number, row in enumerate(rows))
            cells.append(f"{found / len(rows):.0%}")
        typer.echo(f"| {folder} | {' | '.join(cells)} |")


def turned(frame: Bytes, generator: np.random.Generator) -> Bytes:
    """Turn or mirror a frame at random."""
    turns, mirrors = int(generator.integers(4)), generator.random() < 0.5
    frame = np.rot90(frame, turns)
    return frame[:, ::-1] if mirrors else frame


def as_it_is(frame: Bytes, generator: np.random.Generator) -> Bytes:
    """Change nothing."""
    return frame


def exposed(frame: Bytes, generator: np.random.Generator) -> Bytes:
    """Change contrast by up to 30%, and brightness by up to 30 grey levels."""
    return as_bytes(frame * generator.uniform(0.7, 1.3) + generator.uniform(-30, 30))


def noisy(frame: Bytes, generator: np.random.Generator) -> Bytes:
    """Add noise of 12 grey levels to a frame of 128×128 pixels, and more to a larger one."""
    return as_bytes(frame + generator.normal(0, 12 * np.sqrt(frame.size) / 128, frame.shape))


def cropped(frame: Bytes, generator: np.random.Generator, share: float) -> Bytes:
    """Keep a share of each side, anywhere, and enlarge it to the whole frame."""
    height, width = frame.shape
    top, left = generator.uniform(0, 1 - share, 2) * (height, width)
    box = (left, top, left + share * width, top + share * height)
    return np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR, box))


def as_bytes(values: NDArray[np.float64]) -> Bytes:
    """Round to grey levels."""
    levels: Bytes = np.clip(values, 0, 255).astype(np.uint8)
    return levels


CHANGES: dict[str, Callable[[Bytes, np.random.Generator], Bytes]] = {
    "turned": as_it_is,
    "exposed": exposed,
    "noisy": noisy,
    "97% of each side": partial(cropped, share=0.97),
    "95%": partial(cropped, share=0.95),
}

if __name__ == "__main__":
    typer.run(main)
