"""The files of an artifact's folder: exchanged whole, three kept, in order after going back or a kill."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import HANG_S

from inspector.errors import FolderError
from inspector.network.metadata import ArtifactFile
from inspector.upkeep import kept_artifacts

# Exchanges "old" for "new" in a child that is killed at the n-th system call on files, for each n, and then
# finishes the work. Prints what was there after each kill and at the end.
KILLED = """
import json, os, shutil, signal, sys
from pathlib import Path
from inspector.network.metadata import ArtifactFile
from inspector.upkeep import kept_artifacts

folder = Path(sys.argv[1])
place = folder / "weldnet.pt"
old, new = ArtifactFile(place, b"old" * 9999), ArtifactFile(place, b"new" * 9999)

def exchange():
    kept_artifacts.exchange(place, old, new, lambda: None, goes_back=False)
    kept_artifacts.prune(place, new.sha256)

def dying(steps):
    left = steps
    def hook(event, arguments):
        nonlocal left
        if event != "os.kill" and event.partition(".")[0] in ("open", "os"):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
    return hook

def names():
    return sorted(path.name for path in folder.iterdir())

found, killed, steps = [], True, 0
while killed:
    for path in folder.iterdir():
        path.unlink()
    place.write_bytes(old.data)
    if (child := os.fork()) == 0:
        sys.addaudithook(dying(steps))
        exchange()
        os._exit(0)
    killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
    after = place.read_bytes()
    if after == old.data:
        exchange()
    else:
        kept_artifacts.prune(place, new.sha256)
    before = kept_artifacts.previous(place, new.sha256)
    whole = {old.data: "old", new.data: "new"}
    ends = [whole.get(path.read_bytes()) for path in (place, before.path)]
    found.append([whole.get(after), *ends, len(kept_artifacts.kept(place)), ".weldnet.pt.new" in names()])
    steps += 1
print(json.dumps(found))
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The path of an artifact in a folder of its own."""
    (tmp_path / "station").mkdir()
    return tmp_path / "station" / "weldnet.pt"


def file(place: Path, name: str) -> ArtifactFile:
    """An artifact's bytes, which nothing here reads."""
    return ArtifactFile(place, name.encode())


def install(place: Path, name: str) -> None:
    """Install an artifact in place of the one that is there."""
    old = ArtifactFile(place, place.read_bytes()) if place.exists() else None
    new = file(place, name)
    kept_artifacts.exchange(place, old, new, lambda: None, goes_back=False)
    kept_artifacts.prune(place, new.sha256)


def go_back(place: Path) -> str | None:
    """Go back by one; the name of the artifact that is there then, None if there is nothing to go back to."""
    old = ArtifactFile(place, place.read_bytes())
    kept = kept_artifacts.previous(place, old.sha256)
    if kept is None:
        return None
    new = ArtifactFile(place, kept.path.read_bytes())
    assert kept.is_of(new.sha256)
    kept_artifacts.exchange(place, old, new, lambda: None, goes_back=True)
    kept_artifacts.prune(place, new.sha256)
    return place.read_text()


def contents(place: Path) -> list[str]:
    """The kept artifacts, the oldest first."""
    return [each.path.read_text() for each in kept_artifacts.kept(place)]


def test_three_are_kept_and_the_fourth_is_removed(place: Path):
    """Of five earlier artifacts the last three remain, each under a name that begins with its hash."""
    for name in "abcdef":
        install(place, name)
    assert place.read_text() == "f"
    assert contents(place) == ["c", "d", "e"]
    for each in kept_artifacts.kept(place):
        assert each.is_of(ArtifactFile(place, each.path.read_bytes()).sha256)
    assert len(list(place.parent.iterdir())) == 4


def test_going_back_goes_further_back_each_time_and_loses_nothing(place: Path):
    """Back, back and back lead through all that is kept; what was in force last is kept, too."""
    for name in "abcd":
        install(place, name)
    assert [go_back(place) for _ in range(4)] == ["c", "b", "a", None]
    assert contents(place) == ["a", "b", "c", "d"]


def test_after_going_back_a_new_artifact_follows_the_one_in_force(place: Path):
    """Whatever was installed and withdrawn before: the previous one is the one that was replaced."""
    for name in "abc":
        install(place, name)
    assert [go_back(place), go_back(place)] == ["b", "a"]
    install(place, "d")
    assert go_back(place) == "a"
    install(place, "c")  # once more: it is kept already
    assert go_back(place) == "a"


def test_any_series_keeps_the_previous_one(place: Path):
    """After each series of three steps, installing and going back leads to what was in force before."""
    for steps in itertools.product("ab<", repeat=3):
        for path in place.parent.iterdir():
            path.unlink()
        install(place, "z")
        for step in steps:
            if step == "<":
                go_back(place)
            elif place.read_text() != step:
                install(place, step)
        before = place.read_text()
        install(place, "new")
        assert go_back(place) == before, steps
        others = [name for name in contents(place) if name != before]
        assert len(others) <= kept_artifacts.MAX_KEPT


def test_a_file_of_another_name_is_not_taken_for_a_kept_one(place: Path):
    """Only the whole pattern counts: a copy of a person's own is neither restored nor removed."""
    for name in ("weldnet.pt.kept", "weldnet.pt.kept-1-abc", "weldnet.pt.kept-0001-0123456789abcdef.bak"):
        place.with_name(name).write_text("mine")
    place.with_name("weldnetXpt.kept-0001-0123456789abcdef").write_text("mine")
    install(place, "a")
    assert kept_artifacts.previous(place, None) is None


def test_mode_and_group_of_the_file_stay(place: Path):
    """The new file has the rights of the one that it replaces, and so has the kept one."""
    install(place, "a")
    place.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(place, -1, 61_233)
    before = place.stat()
    install(place, "b")
    for path in (place, kept_artifacts.kept(place)[0].path):
        after = path.stat()
        assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_an_event_that_cannot_be_written_leaves_the_old_file(place: Path):
    """Without its event nothing is exchanged, and no unfinished file remains."""
    install(place, "a")

    def refuse() -> None:
        raise FolderError("no")

    with pytest.raises(FolderError):
        kept_artifacts.exchange(place, file(place, "a"), file(place, "b"), refuse, goes_back=False)
    assert place.read_text() == "a"
    assert not place.with_name(".weldnet.pt.new").exists()


def test_a_link_is_refused(place: Path):
    """A link in the artifact's place would become a file: one line says so."""
    other = place.with_name("release-7.pt")
    other.write_text("a")
    place.symlink_to(other)
    with pytest.raises(FolderError, match="is a symbolic link"):
        kept_artifacts.require_exchangeable(place)


def test_a_kill_at_any_moment_leaves_the_old_or_the_new_artifact_whole(place: Path):
    """After SIGKILL at each step in turn the artifact is whole, and the same exchange can be finished."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(place.parent)],
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_S,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) > 10
    assert {after for after, *_ in found} == {"old", "new"}
    for after, *end in found:
        assert after in ("old", "new")
        assert end == ["new", "old", 1, False]
