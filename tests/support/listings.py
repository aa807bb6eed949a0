"""Folders of data, and what a listing finds in them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from trainer_samples import write_picture

from trainer.data import datasets


def named(listing: datasets.Listing) -> list[tuple[str, str, str | None, str | None]]:
    """Return name, class, run and part of every frame."""
    return [(f.name, listing.classes[f.label], f.run, f.part) for f in listing.frames]


def kinds(listing: datasets.Listing) -> Counter[str]:
    """Return the number of problems of each kind."""
    return Counter(problem.kind for problem in listing.problems)


def write_tree(root: Path, *names: str) -> None:
    """Write a picture for each name that ends with .png, and a few bytes for each other name."""
    for name in names:
        if name.endswith(".png"):
            write_picture(root / name)
        else:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(b"x")
