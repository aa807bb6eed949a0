"""A hostile camera account: the station and the camera are two users, with the shipped folders and modes.

The station runs as in ``deploy/``: its own user, a member of the camera's group, with the unit's umask. The
camera's user may write to the drop folder only. It delivers honest files, and does to its other files, its
folders and all that it can reach whatever its rights allow (``hostile_camera.py``). The daemon is killed
now and then meanwhile.

The camera may destroy its own files before they are judged. Its diary names them beforehand, so that they
do not count as lost. Bytes that the diary does not name must be in the ledger, once, with their file.
Bytes that are in the ledger must be on the disk as they were judged, whatever was done to them. What does not
belong to the camera (*decoys*) must stay as it is, by inode, owner, mode and bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self

import audit
from accounts import CAMERA, SERVICE, shipped_folders, shipped_umask
from audit import Audit
from camera import FORMATS, encoded
from chaos_leg import Leg, Scenario, Skipped
from hostile_camera import CARRIED_NAMES
from rig import Broken, Rig, databases, scalar

from inspector.station.listing import waiting_files

_ROUND_S: Final = 2.0  # s of deeds per round, at most
LEFT: Final = ("pruned", "requeued")
State = dict[Path, tuple[object, ...]]
_TO_REST_S: Final = 20.0  # s until the ledger and the disk must agree after the last file has left the folder

# Another account may not reach the interpreter's own folder. So all that the program imports is imported by a
# rehearsal with another station, before it gives up root's rights.
_AS_SERVICE: Final = """
import logging, os, sys
from typer.testing import CliRunner
from inspector.commands.cli import app, main
account, group, umask, rehearsal = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3], 8), sys.argv[4]
done = CliRunner().invoke(app, ["once", "--config", rehearsal], catch_exceptions=False)
assert done.exit_code == 0, done.output
logging.root.handlers.clear()
os.setgroups([group])
os.setgid(account)
os.setuid(account)
os.umask(umask)
del sys.argv[1:5]
main()
"""


class ServiceRig(Rig):
    """A station below the shipped folders, whose programs run as the service's user."""

    def __init__(self, base: Path, leg: Leg) -> None:
        folder = base / "station"
        artifact = folder / "weldnet.pt"
        shutil.copy(leg.artifact, artifact)
        with databases("sqlite", folder) as url:
            super().__init__(
                *(folder, artifact, url),
                logs=leg.folder,
                drop_folder=str(base / "drop"),
                subfolders=True,
                give_up_s=2,
                settle_s=0.1,
            )
        (folder / "drop").rmdir()
        self.drop = base / "drop"
        for path in folder.iterdir():
            os.chown(path, SERVICE, SERVICE)
            path.chmod(0o750 if path.is_dir() else 0o640)

        rehearsal = leg.folder / "rehearsal"
        rehearsal.mkdir()
        with databases("sqlite", rehearsal) as url:
            self._rehearsal = Rig(rehearsal, leg.artifact, url)
        self._pictures = {f"picture.{suffix}": encoded(leg.seed, suffix) for suffix in FORMATS}

    def _program(self) -> list[str]:
        for name, content in (self._pictures | {"broken.png": b"no picture"}).items():
            (self._rehearsal.drop / name).write_bytes(content)
        accounts = [str(SERVICE), str(CAMERA), shipped_umask()]
        return [sys.executable, "-c", _AS_SERVICE, *accounts, str(self._rehearsal.config)]

    def waiting(self) -> int:
        """The number of files that wait, in the folders of the cameras too."""
        return sum(1 for _ in waiting_files(self.drop, subfolders=True))


class HostileCamera:
    """The camera's account: a process of its own within the block; see ``hostile_camera.py``."""

    def __init__(self, rig: Rig, diary: Path, decoys: Path, station: list[Path]) -> None:
        self._diary, self._read = diary, 0
        words = [CAMERA, diary, rig.drop, decoys, *station]
        program = str(Path(__file__).with_name("hostile_camera.py"))
        self._process = subprocess.Popen(
            [sys.executable, program, *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.kinds: dict[str, str] = {}  # sha256: steady, carried or prey
        self.names: dict[str, str] = {}  # sha256: the first name
        self.times: Counter[str] = Counter()  # sha256: the most arrivals that it can have
        self.attacked: set[str] = set()
        self.breaches: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def go(self, seed: int) -> None:
        """Let it work."""
        self._say(f"go {seed}")

    def quiet(self) -> None:
        """Let it come to rest, and read what it did."""
        self._say("quiet")
        if self._process.stdout is None or self._process.stdout.readline().strip() != "quiet":
            raise Broken("the hostile camera has ended by itself")
        with self._diary.open() as lines:
            lines.seek(self._read)
            for line in lines.readlines():
                self._note(json.loads(line))
            self._read = lines.tell()

    def _say(self, line: str) -> None:
        if self._process.stdin is None:
            raise Broken("the hostile camera has no stdin")
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def _note(self, event: dict[str, Any]) -> None:
        if sha256 := event.get("sent"):
            self.kinds[sha256], self.names[sha256] = event["kind"], event["name"]
            self.times[sha256] += 1
        elif sha256 := event.get("again"):
            self.times[sha256] += 1
        elif "attack" in event:
            self.attacked.update(event["attack"])
        else:
            self.breaches.append(f"{event['breach']} {event['path']}")


def hostile_camera(leg: Leg) -> None:
    """Run the station beside a camera's account that means it no good."""
    if os.geteuid() != 0:
        raise Skipped("processes of two other accounts need root")
    leg.folder.chmod(0o755)
    base = shipped_folders(leg.folder)
    rig = ServiceRig(base, leg)
    tempting = _put_decoys(leg, base)
    names = ("weldnet.pt", "config.yaml", "quality.db", "archive", "quarantine")
    belongings = [rig.folder / name for name in names]
    decoys = _snapshot(leg.folder / "elsewhere", base / "reports", *belongings[:2])
    with rig, HostileCamera(rig, leg.folder / "diary", tempting, belongings) as camera:
        rig.launch_ready()
        for number in leg.each_round():
            camera.go(leg.chance.randrange(1 << 30))
            time.sleep(leg.chance.uniform(0.5, _ROUND_S))
            if number % 3 == 1:
                rig.kill()
                leg.counts["kills"] += 1
                leg.pause(0.5)
                rig.launch_ready()
            camera.quiet()
            rig.wait_until_idle()
            _check(leg, rig, camera, decoys)
        rig.stop()
        _check(leg, rig, camera, decoys, finally_=True)


def _put_decoys(leg: Leg, base: Path) -> Path:
    """Files that the service may move and the camera may find, with the names of the camera's own."""
    elsewhere = leg.folder / "elsewhere"
    tempting = elsewhere / "tempting"
    tempting.mkdir(parents=True)
    picture = encoded(leg.seed, "png")
    for name in CARRIED_NAMES:
        (tempting / name).write_bytes(picture)
    (elsewhere / "root.png").write_bytes(picture)
    report = base / "reports" / "report.html"
    report.write_text("a report")
    for path in (tempting, *tempting.iterdir(), report):
        os.chown(path, SERVICE, SERVICE)
    return tempting


def _snapshot(*roots: Path) -> State:
    """What files and folders are, with all that is in them."""
    paths = [path for root in roots for path in (root, *(root.rglob("*") if root.is_dir() else ()))]
    return {path: _state_of(path) for path in paths}


def _state_of(path: Path) -> tuple[object, ...]:
    """Inode, owner, mode, and the bytes of a file or the names in a folder; empty if it is gone."""
    if not os.path.lexists(path):
        return ()
    about = path.lstat()
    content = sorted(os.listdir(path)) if stat.S_ISDIR(about.st_mode) else _sha256(path)
    return about.st_ino, about.st_uid, about.st_gid, about.st_mode, content


def _check(
    leg: Leg, rig: ServiceRig, camera: HostileCamera, decoys: State, *, finally_: bool = False
) -> None:
    """Audit a station with an empty drop folder.

    If the camera takes a file away after it was read, the file is not in the drop folder, and its row is yet
    to come. So a problem counts only if it is still there after a while.
    """
    until = time.monotonic() + _TO_REST_S
    while (result := _audit(rig, camera)).problems and time.monotonic() < until:
        time.sleep(0.2)
    changed = [path for path, state in decoys.items() if _state_of(path) != state]
    result.problems.extend(("foreign", f"{path} is not as it was") for path in changed)
    result.problems.extend(("foreign", f"the camera's account could {breach}") for breach in camera.breaches)
    if finally_:
        result.problems.extend(audit.unaccounted(rig))
        if (said := scalar(rig.url, "PRAGMA integrity_check")) != "ok":
            result.problems.append(("database", f"integrity_check says {said}"))
        judged = {row.sha256 for row in audit.arrivals(rig)}
        leg.counts["attacked"] += len(camera.attacked)
        leg.counts["of them judged all the same"] += len(camera.attacked & judged)
    leg.note(rig, result)


def _audit(rig: ServiceRig, camera: HostileCamera) -> Audit:
    """Compare the camera's diary with the ledger, and the ledger with the disk."""
    rows = audit.arrivals(rig)
    outcomes = Counter(row.outcome for row in rows)
    result = Audit(
        sent=len(camera.kinds),
        inspected=outcomes["inspected"],
        duplicates=outcomes["duplicate"],
        quarantined=outcomes["quarantined"],
        waiting=rig.waiting(),
    )
    result.problems.extend(_wrong_rows(rows, camera))
    result.problems.extend(_wrong_files(rig))
    result.problems.extend(audit.reconciled(rig, subfolders=True))
    return result


def _wrong_rows(rows: list[Any], camera: HostileCamera) -> Iterator[tuple[str, str]]:
    """Find bytes that have no row, too many or the wrong one, and rows of bytes that were never sent."""
    by_bytes = defaultdict(list)
    for row in rows:
        by_bytes[row.sha256].append(row)
        if row.sha256 not in camera.kinds and row.outcome != "quarantined":  # half of a file may end there
            yield "foreign", f"{row.source_name} {row.sha256} was judged, and never sent whole"
    for sha256, kind in camera.kinds.items():
        name, found = f"{camera.names[sha256]} {sha256[:8]} ({kind})", by_bytes[sha256]
        if not found and sha256 not in camera.attacked:
            yield "lost", f"{name} was never attacked, and has no row"
        if len(found) > camera.times[sha256]:
            yield "double", f"{name} was there {camera.times[sha256]} times, and has {len(found)} rows"
        if kind == "steady" and any(
            (row.source_name, row.outcome) != (camera.names[sha256], "inspected") for row in found
        ):
            yield "changed", f"{name}: {[(row.source_name, row.outcome) for row in found]}"


def _wrong_files(rig: ServiceRig) -> Iterator[tuple[str, str]]:
    """Find rows whose file is missing or holds other bytes, and files of no row.

    What is in a folder in the quarantine belongs to the folder's row.
    """
    latest = {}
    for row in rig.rows("SELECT path, sha256, outcome, quarantine_id FROM arrival ORDER BY id"):
        latest[(rig.archive if row.quarantine_id is None else rig.quarantine) / row.path] = row
    expected = {path for path, row in latest.items() if row.outcome not in LEFT}
    for path, row in latest.items():
        if row.outcome in LEFT:
            if row.sha256:  # only what has no bytes may go with its folder, before it has moved
                yield "lost", f"{path} was removed"
        elif not os.path.lexists(path):
            yield "lost", f"{path} is not there"
        elif row.sha256 and (not stat.S_ISREG(path.lstat().st_mode) or _sha256(path) != row.sha256):
            yield "changed", f"{path} does not hold the bytes that were judged"
    for root in (rig.archive, rig.quarantine):
        for folder, folders, files in os.walk(root):
            folders[:] = [name for name in folders if Path(folder, name) not in expected]
            for path in (Path(folder, name) for name in files):
                if path not in expected and not path.name.startswith("."):
                    yield "foreign", f"{path} has no row"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


SCENARIOS = {"hostile-camera": Scenario(hostile_camera, "a camera's account at war, kill -9", 50, 25)}
