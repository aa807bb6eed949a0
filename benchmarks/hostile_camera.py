"""A camera's account that does all the harm to a station that its rights allow, and keeps an honest diary.

    python hostile_camera.py ACCOUNT DIARY DROP DECOYS STATION...

It starts as root, gives up its rights, and then obeys lines on stdin: ``go SEED`` and ``quiet``. After
``quiet`` its folders are in order again, and it answers with one line. Each line of the diary is a JSON
object:

- ``sent``: new bytes are in the drop folder under a name. The file is of one of three kinds. A *steady* one
  is never touched again. A *carried* one is in a folder that is renamed and comes back. A *prey* is attacked.
- ``again``: the same bytes may be there once more, under this name, after a rename, a link or a return.
- ``attack``: bytes are about to be destroyed, changed or withheld. This line comes before the deed.
- ``breach``: something outside the drop folder could be changed, which must never happen.

Only bytes with an ``attack`` may be missing from the ledger.

The module is long, because each attack is in it.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import json
import os
import random
import select
import signal
import socket
import struct
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

STEADY_FOLDER = "steady"
CARRIED_FOLDERS = ("cam1", "cam2", "cam3")
CARRIED_NAMES = tuple(f"c{number}.png" for number in range(8))  # the decoys have the same names
PREY_NAMES = (*(f"prey{number}.png" for number in range(6)), "steady/prey.png", "cam1/prey.png")
LONGEST_PAUSE_S = 0.03  # between two deeds
MAX_HANDLES = 40  # files kept open from one round to the next
_RENAME_NOREPLACE, _RENAME_EXCHANGE = 1, 2
_AT_FDCWD = -100
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(eq=False)
class Node:
    """A file of the camera, with all bytes that it may hold and all names that it may have."""

    contents: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)


class Hostile:
    """The account; each deed is a method, and all of them are harmless to the steady files."""

    def __init__(self, diary: int, drop: Path, decoys: Path, station: list[Path], picture: bytes) -> None:
        self._diary, self._drop, self._decoys, self._station = diary, drop, decoys, station
        self._picture = picture
        self._number = 0
        self._nodes: dict[str, Node] = {}  # the prey by name
        self._carried: dict[str, set[str]] = {name: set() for name in CARRIED_FOLDERS}
        self._handles: list[tuple[int, Node]] = []  # kept open, and written to later
        self._leases: list[int] = []
        self._locks: dict[str, int] = {}
        self._deeds: list[tuple[int, Callable[[], None]]] = [
            (14, self.deliver_steady),
            (10, self.deliver_carried),
            (8, self.write_prey),
            (4, self.remove),
            (4, self.rename),
            (4, self.link),
            (3, self.write_through_handle),
            (3, self.keep_open),
            (3, self.overwrite_unseen),
            (3, self.swap_for_a_link),
            (2, self.swap_for_something_else),
            (2, self.exchange_folders),
            (2, self.withhold),
            (2, self.close_a_folder),
            (2, self.lease),
            (2, self.put_a_link),
            (1, self.put_no_file),
            (3, self.lock_everything),
            (1, self.break_in),
        ]

    def work(self, seed: int, until: Callable[[], bool]) -> None:
        """Attack at random until asked to be quiet. An attack for which the daemon was too quick fails."""
        self._chance = random.Random(seed)
        for folder in (STEADY_FOLDER, *CARRIED_FOLDERS):
            (self._drop / folder).mkdir(exist_ok=True)
        weights = [weight for weight, _ in self._deeds]
        while not until():
            [(_, deed)] = self._chance.choices(self._deeds, weights)
            with contextlib.suppress(OSError):
                deed()
            time.sleep(self._chance.uniform(0, LONGEST_PAUSE_S))

    def rest(self) -> None:
        """Take back what would keep files from being read for ever; all else stays as it is.

        The watch of the station sees a hard link as a file that was created and never closed. Such a file
        waits for its writer, so it must be readable in the end.
        """
        for name in self._nodes:
            with contextlib.suppress(OSError):
                (self._drop / name).chmod(0o660)
        while self._leases:
            os.close(self._leases.pop())
        while len(self._handles) > MAX_HANDLES:
            os.close(self._handles.pop(0)[0])

    # --- what an honest camera does too ---------------------------------------------------------------

    def deliver_steady(self) -> None:
        """Write a file that is never touched again."""
        self._number += 1
        folder = self._chance.choice(("", f"{STEADY_FOLDER}/"))
        name, content = f"{folder}s{self._number}.png", self._content()
        self._write(name, content)
        self._sent("steady", name, content)

    def deliver_carried(self) -> None:
        """Write a file into a folder that will be swapped; its name is taken again later."""
        self._deliver_into(self._chance.choice(CARRIED_FOLDERS))

    def _deliver_into(self, folder: str) -> None:
        name, content = f"{folder}/{self._chance.choice(CARRIED_NAMES)}", self._content()
        hidden = self._drop / folder / f".{self._number}"
        hidden.write_bytes(content)
        if not _renamed(hidden, self._drop / name, _RENAME_NOREPLACE):  # one of that name waits
            hidden.unlink()
            return
        self._sent("carried", name, content)
        self._carried[folder].add(_sha256(content))

    # --- deeds against its own files ------------------------------------------------------------------

    def write_prey(self) -> None:
        """Write a prey, over an older one if that is still there: in place, or by a rename."""
        name, content = self._chance.choice(PREY_NAMES), self._content()
        old = self._nodes.get(name)
        if self._chance.random() < 0.5:
            node = self._node(name)
            self._attack(node)
            (self._drop / name).write_bytes(content)
            self._now_holds(node, content, name)
        else:
            if old:
                self._attack(old)
                old.names.discard(name)
            self._nodes[name] = node = Node(names={name})
            self._write(name, content, hidden=True)
            self._now_holds(node, content, name)

    def overwrite_unseen(self) -> None:
        """Write other bytes of the same length in place, and set the old times again."""
        name, content = self._prey(), self._content()
        node = self._nodes[name]
        self._attack(node)
        before = (self._drop / name).stat()
        with (self._drop / name).open("r+b", buffering=0) as file:
            file.write(content)
        os.utime(self._drop / name, ns=(before.st_atime_ns, before.st_mtime_ns))
        self._now_holds(node, content, name, may_be_gone=True)

    def remove(self) -> None:
        """Remove a prey."""
        name = self._prey()
        self._attack(self._nodes[name])
        (self._drop / name).unlink()

    def rename(self) -> None:
        """Give a prey another name, also over another prey or into another folder."""
        old, new = self._prey(), self._chance.choice(PREY_NAMES)
        node, there = self._nodes[old], self._nodes.get(new)
        if old == new:
            return
        if there:
            self._attack(there)
        self._again(node, new)
        (self._drop / old).rename(self._drop / new)
        self._nodes[new] = node
        node.names.add(new)

    def link(self) -> None:
        """Give a prey a second name: one that is seen, or a hidden one to write through later."""
        name = self._prey()
        node = self._nodes[name]
        self._again(node, name)  # the time of change is another one now, as with chmod
        if self._chance.random() < 0.5:
            self._number += 1
            kept = self._drop / f".kept{self._number}"
            os.link(self._drop / name, kept)
            self._handles.append((os.open(kept, os.O_RDWR), node))
            return
        new = f"linked{self._chance.randrange(4)}.png"
        self._again(node, new)
        os.link(self._drop / name, self._drop / new)
        self._nodes[new] = node
        node.names.add(new)

    def keep_open(self) -> None:
        """Open a prey, to write to it when it has been judged."""
        name = self._prey()
        self._handles.append((os.open(self._drop / name, os.O_RDWR), self._nodes[name]))

    def write_through_handle(self) -> None:
        """Write to a file that was kept open, wherever it is by now."""
        if not self._handles:
            return
        fd, node = self._chance.choice(self._handles)
        content = self._content()
        self._attack(node)
        self._now_holds(node, content, *node.names, may_be_gone=True)
        os.pwrite(fd, content, 0)
        with contextlib.suppress(OSError):
            os.fchmod(fd, self._chance.choice((0o777, 0o660, 0o400)))

    def withhold(self) -> None:
        """Take the right to read a prey from everyone."""
        name = self._prey()
        self._attack(self._nodes[name])
        self._again(self._nodes[name], name)  # it may be judged by then, and stay in the folder
        (self._drop / name).chmod(0)

    def lease(self) -> None:
        """Take a lease on a file of its own, so that others wait when they open it."""
        content = self._content()
        name = f"leased{self._number}.png"
        aside = self._drop / f".{name}"
        aside.write_bytes(content)
        fd = os.open(aside, os.O_RDWR)
        self._leases.append(fd)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        self._sent("prey", name, content, _sha256(content))
        aside.rename(self._drop / name)

    # --- deeds with folders ---------------------------------------------------------------------------

    def swap_for_a_link(self) -> None:
        """Put a link in the place of a folder for a moment, after some of its files were taken."""
        targets = [
            self._decoys,
            self._decoys,
            self._decoys,
            *self._station,
            self._drop / STEADY_FOLDER,
            self._drop,
            Path("/"),
        ]
        self._swap(lambda path: path.symlink_to(self._chance.choice(targets)))

    def swap_for_something_else(self) -> None:
        """Put another folder with files of the same names, a FIFO or nothing in the place of a folder."""

        def another(path: Path) -> None:
            path.mkdir()
            for name in CARRIED_NAMES:
                content = self._content()
                (path / name).write_bytes(content)
                self._sent("prey", f"{path.name}/{name}", content, _sha256(content))

        self._swap(self._chance.choice((another, os.mkfifo, lambda _: None)))

    def _swap(self, put: Callable[[Path], object]) -> None:
        folder = self._chance.choice(CARRIED_FOLDERS)
        path, aside = self._drop / folder, self._drop / f".{folder}-aside"
        for _ in range(3):
            self._deliver_into(folder)
        time.sleep(self._chance.choice((0, 0.01, 0.05)))  # s: some are taken, and not yet read or moved
        for content in self._carried[folder]:
            self._tell(again=content, name=folder)
        for node in self._in_folder(folder):
            self._again(node, folder)
        path.rename(aside)
        try:
            with contextlib.suppress(OSError):
                put(path)
            time.sleep(self._chance.uniform(0, 0.4))  # s: others are judged meanwhile
        finally:
            self._clear(path)
            aside.rename(path)

    def _clear(self, path: Path) -> None:
        """Remove what is in the place of a folder; a folder goes to a hidden name, where no one looks."""
        if not path.is_symlink() and path.is_dir():
            self._number += 1
            path.rename(self._drop / f".gone{self._number}")
        else:
            path.unlink(missing_ok=True)

    def exchange_folders(self) -> None:
        """Give two folders each other's name, in one step."""
        one, other = self._chance.sample(CARRIED_FOLDERS, 2)
        both = self._carried[one] | self._carried[other]
        for content in both:
            self._tell(again=content, name=f"{one} or {other}")
        for node in (*self._in_folder(one), *self._in_folder(other)):
            self._again(node, other)
        _renamed(self._drop / one, self._drop / other, _RENAME_EXCHANGE)
        self._carried[one] = self._carried[other] = both

    def close_a_folder(self) -> None:
        """Take all rights to a folder away for a moment, or only those of the group."""
        path = self._drop / self._chance.choice(CARRIED_FOLDERS)
        path.chmod(self._chance.choice((0, 0o700, 0o2750)))
        try:
            time.sleep(self._chance.uniform(0, 0.1))
        finally:
            path.chmod(0o2770)

    # --- what is no image, locks, and the station's own files -----------------------------------------

    def put_a_link(self) -> None:
        """Put a link with an image's name into the drop folder."""
        self._number += 1
        targets = ["nowhere.png", *self._station, self._decoys / CARRIED_NAMES[0], self._drop, "/dev/zero"]
        name = self._chance.choice((f"link{self._number}.png", f"cam2/link{self._number}.png"))
        (self._drop / name).symlink_to(self._chance.choice(targets))

    def put_no_file(self) -> None:
        """Put a FIFO, a socket or a folder with an image's name into the drop folder."""
        self._number += 1
        path = self._drop / f"odd{self._number}.png"
        kind = self._chance.randrange(3)
        if kind == 0:
            os.mkfifo(path)
        elif kind == 1:
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(str(path))
        else:
            path.mkdir()
            (path / "inside.png").write_bytes(self._content())

    def lock_everything(self) -> None:
        """Lock the drop folder and all that can be opened in it, for good."""
        for path in (self._drop, self._drop.parent, *self._drop.rglob("*")):
            if str(path) in self._locks or len(self._locks) > 200 or not (path.is_dir() or path.is_file()):
                continue
            with contextlib.suppress(OSError):
                fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
                self._locks[str(path)] = fd
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def break_in(self) -> None:
        """Try to change, lock or move files of the station."""
        for path in (*self._station, self._decoys / CARRIED_NAMES[0]):
            stolen = self._drop / f".stolen{path.name}"
            attempts: dict[str, Callable[[], object]] = {
                "write": lambda path=path: os.close(os.open(path, os.O_WRONLY | os.O_APPEND)),
                "chmod": lambda path=path: path.chmod(0o777),
                "rename": lambda path=path, stolen=stolen: path.rename(stolen),
                "link": lambda path=path, stolen=stolen: os.link(path, stolen, follow_symlinks=False),
                "remove": lambda path=path: path.unlink(),
                "create": lambda path=path: (path / "new.png").touch(),
            }
            for what, attempt in attempts.items():
                with contextlib.suppress(OSError):
                    attempt()
                    self._tell(breach=what, path=str(path))

    # --- the diary, and the files in it ---------------------------------------------------------------

    def _content(self) -> bytes:
        """The picture with a number in a text chunk of its own, so that no two files have the same bytes."""
        self._number += 1
        text = b"tEXtnumber\0" + f"{self._number:016x}".encode()
        chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
        return self._picture[:33] + chunk + self._picture[33:]

    def _write(self, name: str, content: bytes, *, hidden: bool | None = None) -> None:
        path = self._drop / name
        if self._chance.random() < 0.5 if hidden is None else hidden:
            aside = path.with_name(f".{path.name}.tmp")
            aside.write_bytes(content)
            aside.rename(path)
        else:
            path.write_bytes(content)

    def _prey(self) -> str:
        if not self._nodes:
            raise FileNotFoundError("there is no prey yet")
        return self._chance.choice(sorted(self._nodes))

    def _node(self, name: str) -> Node:
        node = self._nodes.setdefault(name, Node())
        node.names.add(name)
        return node

    def _in_folder(self, folder: str) -> list[Node]:
        return [node for name, node in self._nodes.items() if name.startswith(f"{folder}/")]

    def _attack(self, node: Node) -> None:
        if node.contents:
            self._tell(attack=sorted(node.contents))

    def _again(self, node: Node, name: str) -> None:
        for content in node.contents:
            self._tell(again=content, name=name)

    def _now_holds(self, node: Node, content: bytes, *names: str, may_be_gone: bool = False) -> None:
        """Note new bytes under all names that the file may have, some of which another file may have by now.

        Args:
            node: the file.
            content: its bytes.
            names: the names that were certainly meant.
            may_be_gone: the file may have left the drop folder before the write.
        """
        sha256 = _sha256(content)
        first, *others = sorted({*names, *node.names}) or ["a file without a name"]
        self._sent("prey", first, content)
        for name in others:
            self._tell(again=sha256, name=name)
        node.contents.add(sha256)
        if may_be_gone or len(node.names) > 1:
            self._tell(attack=[sha256])

    def _sent(self, kind: str, name: str, content: bytes, *attacked: str) -> None:
        self._tell(sent=_sha256(content), kind=kind, name=name)
        if attacked:
            self._tell(attack=list(attacked))

    def _tell(self, **event: object) -> None:
        os.write(self._diary, json.dumps(event).encode() + b"\n")


def _renamed(old: Path, new: Path, flag: int) -> bool:
    return _libc.renameat2(_AT_FDCWD, os.fsencode(old), _AT_FDCWD, os.fsencode(new), flag) == 0


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def main(account: int, diary: Path, drop: Path, decoys: Path, station: list[Path]) -> None:
    """Become the account, and obey stdin until it ends."""
    descriptor = os.open(diary, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    picture = (decoys / CARRIED_NAMES[0]).read_bytes()
    os.setgroups([])
    os.setgid(account)
    os.setuid(account)
    os.umask(0o007)
    signal.signal(signal.SIGIO, signal.SIG_IGN)  # says that somebody wants to open a leased file
    hostile = Hostile(descriptor, drop, decoys, station, picture)
    for line in sys.stdin:
        word, _, seed = line.strip().partition(" ")
        if word == "go":  # until the next line
            hostile.work(int(seed), lambda: bool(select.select([sys.stdin], [], [], 0)[0]))
        else:
            hostile.rest()
            sys.stdout.write("quiet\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), *(Path(word) for word in sys.argv[2:5]), [Path(word) for word in sys.argv[5:]])
