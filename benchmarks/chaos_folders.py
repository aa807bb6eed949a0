"""Thousands of sub-folders that come, go and get new names, while the daemon is killed and started again."""

from __future__ import annotations

import itertools
import os
import random
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from camera import Frame, encoded, frames, in_place, renamed
from chaos_faults import kill_at_a_random_moment
from chaos_leg import Leg, Scenario, Violated
from rig import Rig, scalar

FOLDERS = 3_000  # far more than an account has inotify instances (128)
MAX_THREADS = 60  # of the daemon; those of torch and the database are about ten
CHANGES_PER_FILE = 0.2  # folders that are renamed, removed or replaced

# Pictures that no camera delivers: a thumbnail, a hidden one, a half upload, one too deep, and a neighbour.
BYSTANDERS = (
    *("drop/@eaDir/thumb.png", "drop/.trash/old.png", "drop/upload.tmp/half.png"),
    *("drop/cam0000/deeper/note.png", "neighbours/own.png"),
)


def folders(leg: Leg) -> None:
    """Deliver into thousands of sub-folders while the daemon is killed at random moments.

    At the end one inotify instance watches every folder, and all pictures that are not the camera's are
    where they were.
    """
    with leg.station(subfolders=True) as rig:
        bystanders = _put_bystanders(rig)
        tree = Tree(rig.drop, leg.seed)
        with leg.camera(
            rig, source=tree.deliveries(), write=tree.write, per_second=30, waiting=10 * FOLDERS
        ) as camera:
            for _ in leg.each_round():
                kill_at_a_random_moment(leg, rig)
                leg.check_dead(rig, camera)
            rig.launch_ready()
            camera.stop()
        count = "SELECT count(*) FROM arrival"
        rig.wait_for(
            lambda: scalar(rig.url, count) >= len(camera.sent), "it took all files", 600, every_s=0.3
        )
        leg.counts["folders changed"] += tree.changes
        _check_watch(rig)
        rig.stop()
        leg.check_idle(rig, camera.sent)
        moved = [path for path, content in bystanders.items() if not _holds(path, content)]
        if moved:
            leg.problems += [("foreign", f"{path} is no camera's, and was moved") for path in moved]
            raise Violated(f"{len(moved)} files that are not the camera's were moved")


class Tree:
    """The cameras' folders: one camera writes all of them, so that only it and the daemon change them."""

    def __init__(self, drop: Path, seed: int) -> None:
        self.changes = 0
        self._drop, self._seed, self._chance = drop, seed, random.Random(seed)
        self._new_names = (f"part{number:06}" for number in itertools.count())
        self._names = [f"cam{number:04}" for number in range(FOLDERS)]
        for name in self._names:
            (drop / name).mkdir(exist_ok=True)

    def deliveries(self) -> Iterator[Frame]:
        """Endless frames, each in its folder; the same name comes into the same folder again."""
        for name, content in frames(self._seed):
            if self._chance.random() < CHANGES_PER_FILE:
                self._change_a_folder()
            yield f"{self._names[zlib.crc32(name.encode()) % FOLDERS]}/{name}", content

    def write(self, path: Path, content: bytes) -> None:
        """Write in place or by a rename; a folder that is not there comes in whole, with its first file."""
        if path.parent.exists():
            self._chance.choice((in_place, renamed))(path, content)
            return
        aside = self._drop.with_name("aside") / path.parent.name
        aside.mkdir(parents=True)
        in_place(aside / path.name, content)
        aside.rename(path.parent)

    def _change_a_folder(self) -> None:
        """Rename, remove or replace a folder that has no file."""
        index = self._chance.randrange(1, FOLDERS)  # the first one holds a bystander
        folder = self._drop / self._names[index]
        if not folder.exists() or os.listdir(folder):
            return
        self.changes += 1
        kind = self._chance.choice(("rename", "remove", "replace"))
        if kind == "rename":
            self._names[index] = next(self._new_names)
            folder.rename(self._drop / self._names[index])
            return
        with suppress(OSError):  # the daemon may have put a file back
            folder.rmdir()
            if kind == "replace":
                folder.mkdir()
            else:
                self._names[index] = next(self._new_names)


def _put_bystanders(rig: Rig) -> dict[Path, bytes]:
    files = {rig.folder / name: encoded(number, "png") for number, name in enumerate(BYSTANDERS)}
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return files


def _holds(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


def _check_watch(rig: Rig) -> None:
    """Wait until every folder is watched, and refuse more than one inotify instance or many threads."""
    seen = [path for path in rig.drop.iterdir() if path.name.startswith(("cam", "part"))]
    rig.wait_for(lambda: _watches(rig)[1] == len(seen) + 1, "every folder was watched", every_s=0.3)
    instances, _ = _watches(rig)
    threads = len(os.listdir(f"/proc/{rig.daemon.pid}/task"))
    if instances != 1 or threads > MAX_THREADS:
        raise Violated(f"{instances} inotify instances and {threads} threads serve {len(seen)} folders")


def _watches(rig: Rig) -> tuple[int, int]:
    """Return the daemon's inotify instances and their watches, from proc_pid_fdinfo(5)."""
    instances = watches = 0
    for entry in Path(f"/proc/{rig.daemon.pid}/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            if str(entry.readlink()) == "anon_inode:inotify":
                instances += 1
                lines = Path(f"/proc/{rig.daemon.pid}/fdinfo/{entry.name}").read_text().splitlines()
                watches += sum(line.startswith("inotify wd:") for line in lines)
    return instances, watches


SCENARIOS = {"folders": Scenario(folders, f"kill -9 beside {FOLDERS:,} sub-folders", 50, 25)}
