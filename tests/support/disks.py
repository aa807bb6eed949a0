"""Real small disks for the tests: a tmpfs that can be filled, unmounted and mounted again."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

INODES = 64


def mount(folder: Path, kilobytes: int = 512) -> None:
    """Mount a new, empty disk on a folder; skip the test if that is not allowed."""
    options = f"size={kilobytes}k,nr_inodes={INODES},mode=755"
    words = ["mount", "-t", "tmpfs", "-o", options, "weldnet-test", str(folder)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"needs mount: {error}")
    if done.returncode:
        pytest.skip(f"needs the right to mount: {done.stderr.strip()}")


def unmount(folder: Path) -> None:
    """Unmount the disk lazily: programs keep the files that they have open."""
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def small_disk(folder: Path, kilobytes: int = 512) -> Iterator[Path]:
    """A small disk, which is unmounted after the block in any case."""
    folder.mkdir()
    mount(folder, kilobytes)
    try:
        yield folder
    finally:
        unmount(folder)


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Within the block the disk has neither a block nor an inode left."""
    filler = disk / "filler"
    filler.mkdir()
    with contextlib.suppress(OSError), (filler / "blocks").open("wb", buffering=0) as stream:
        while True:
            stream.write(bytes(4096))
    with contextlib.suppress(OSError):
        for number in range(INODES):
            (filler / f"{number}").touch()
    yield
    for path in filler.iterdir():
        path.unlink()
    filler.rmdir()
