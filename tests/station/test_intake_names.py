"""Names, sub-folders and file systems that the intake takes, leaves alone, or scans."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from accounts import SERVICE, require_root, shared_folder
from intakes import (
    GIVE_UP_S,
    OLD_S,
    SCAN_S,
    SETTLE_S,
    Clock,
    let_events_arrive,
    names,
    open_intake,
    take_after_events,
)
from watchdog.observers.inotify_c import InotifyFD

from inspector import filesystems
from inspector.station.intake import Intake
from inspector.station.listing import waiting_files

# --- what is intake ---------------------------------------------------------------------------------


def test_hidden_and_temporary_names_are_no_intake(
    drop: Path, start: Callable[..., Intake], clock: Clock
) -> None:
    """Names with a leading dot or ending in .tmp or .part stay where they are."""
    for name in (".hidden.png", "a.tmp", "b.png.part", "C.TMP"):
        (drop / name).write_bytes(b"data")
    clock.now += OLD_S
    intake = start()
    assert not intake.take(9)
    assert intake.pending() == 0


def test_directories_are_left_alone_unless_they_pose_as_images(
    drop: Path, start: Callable[..., Intake], clock: Clock
) -> None:
    """A plain directory is reported once and stays; one called x.png is intake, for the quarantine."""
    (drop / "folder").mkdir()
    (drop / "x.PNG").mkdir()
    intake = start()
    clock.now += SCAN_S
    assert names(intake.take(9)) == ["x.PNG"]
    for _ in range(3):
        clock.now += SCAN_S
        intake.take(9)
    assert list(intake.events) == [("directory", "folder is left in the drop folder")]


def test_a_file_of_any_name_is_taken(drop: Path, start: Callable[..., Intake], clock: Clock) -> None:
    """FIFOs, dangling links and names of any bytes become arrivals whose path leads back to them."""
    os.mkfifo(drop / "fifo.png")
    (drop / "link.png").symlink_to("nowhere")
    for raw in (b"a b\n.png", b"weld_\xe4\xff.jpg", b"n" * 251 + b".png"):
        (drop / os.fsdecode(raw)).write_bytes(b"data")
    clock.now += OLD_S
    arrivals = start().take(9)
    assert {os.fsencode(arrival.path.name) for arrival in arrivals} == set(os.listdir(os.fsencode(drop)))  # noqa: PTH208
    assert {"weld_%E4%FF.jpg", "a b%0A.png"} < set(names(arrivals))


# --- names of uploaders, NAS boxes and companions -----------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("x.png.filepart", "x.png.8f3c2d1e.partial", "x.png.crdownload", "x.png.part", "x.png.tmp"),
        *(
            "x.png.download",
            "x.png.opdownload",
            "x.png.upload",
            "x.png.inprogress",
            "x.png.!ut",
            "x.png.aria2",
        ),
        *(
            "x.png.downloading",
            "x.png.crswap",
            "x.png.xltd",
            "x.png.ffs_tmp",
            ".in.x.png.",
            "x.png.ocTid9.part",
        ),
        *("x.png.FilePart", "x.png~", "~$x.png", ".x.png.Ab12Cd", "x.png.swp", "x.png_tmp", "x.png.gstmp"),
    ],
)
def test_an_uploaders_temporary_name_is_no_intake(
    drop: Path, start: Callable[..., Intake], clock: Clock, name: str
) -> None:
    """A file under a known temporary name is left alone, however old; its rename makes it one arrival."""
    intake = start()
    (drop / name).write_bytes(b"data")
    let_events_arrive(intake, drop)
    clock.now += OLD_S
    assert not intake.take(9)
    assert not list(waiting_files(drop))
    (drop / name).rename(drop / "x.png")
    assert names(take_after_events(intake)) == ["x.png"]


@pytest.mark.parametrize("name", ["x.png.8f3c2d1e", "x.png.sb-1a2b3c4d-Xy12", "frame0001", "x.png.uploadXY"])
def test_an_unknown_ending_is_taken_only_after_it_has_not_changed_for_long(
    drop: Path, start: Callable[..., Intake], clock: Clock, name: str
) -> None:
    """A close proves nothing for a name that is not an image's; `give_up_s` without a change does."""
    intake = start()
    (drop / name).write_bytes(b"data")
    let_events_arrive(intake, drop)
    clock.now += GIVE_UP_S - 0.1
    assert name not in names(intake.take(9))
    clock.now += 0.2
    assert name in names(intake.take(9))


@pytest.mark.parametrize("name", ["x.png", "X.JPEG", "x.tiff", "weld.dcm", "x.gif", "x.jp2"])
def test_the_name_of_an_image_is_taken_at_its_close(
    drop: Path, start: Callable[..., Intake], clock: Clock, name: str
) -> None:
    """A close is enough for a name that ends like an image, also one of a format that is refused."""
    intake = start()
    (drop / name).write_bytes(b"data")
    assert names(take_after_events(intake)) == [name]


def test_an_upload_that_is_renamed_is_taken_once(
    drop: Path, start: Callable[..., Intake], clock: Clock
) -> None:
    """A file that is closed under an unknown temporary name arrives under its own name only."""
    intake = start()
    (drop / "x.png.8f3c2d1e").write_bytes(b"data")
    let_events_arrive(intake, drop)
    clock.now += SETTLE_S * 3
    assert not intake.take(9)
    (drop / "x.png.8f3c2d1e").rename(drop / "x.png")
    assert names(take_after_events(intake)) == ["x.png"]
    clock.now += SCAN_S + GIVE_UP_S
    assert not intake.take(9)


def test_ignored_names_stay_and_are_not_counted(
    drop: Path, start: Callable[..., Intake], clock: Clock
) -> None:
    """Companions of images are neither taken nor waiting, in any case of letters and in sub-folders."""
    ignore = ["*.json", "Thumbs.db", "preview*"]
    for name in (
        "cam1/x.JSON",
        "cam1/thumbs.db",
        "cam1/x.png",
        "previews/y.png",
        "preview-x.png",
        "z.json.png",
    ):
        (drop / name).parent.mkdir(exist_ok=True)
        (drop / name).write_bytes(b"data")
    clock.now += OLD_S
    intake = start(subfolders=True, ignore=ignore)
    assert sorted(names(intake.take(9))) == ["cam1/x.png", "z.json.png"]
    assert intake.pending() == 2
    waiting = waiting_files(drop, subfolders=True, ignore=ignore)
    assert sorted(str(path.relative_to(drop)) for path in waiting) == ["cam1/x.png", "z.json.png"]


@pytest.mark.parametrize(
    "folder",
    [
        *(
            "#recycle",
            "@eaDir",
            "@Recycle",
            "@tmp",
            "$RECYCLE.BIN",
            "System Volume Information",
            "lost+found",
        ),
        *("trashbox", "_NAS_Recycle_RAID", "TheVolumeSettingsFolder", "DfsrPrivate", "_gsdata_", "FOUND.000"),
        *("#snapshot", "Network Trash Folder", ".@__thumb", ".Trash-1000", "RECYCLER", "__MACOSX"),
    ],
)
def test_a_folder_of_the_system_is_no_camera(
    drop: Path, start: Callable[..., Intake], clock: Clock, folder: str
) -> None:
    """Files that a share keeps in folders for deleted files or thumbnails are not judged."""
    (drop / folder).mkdir()
    (drop / "cam#1").mkdir()
    for place in (folder, "cam#1"):
        (drop / place / "weld.png").write_bytes(b"data")
    clock.now += OLD_S
    intake = start(subfolders=True)
    assert names(intake.take(9)) == ["cam#1/weld.png"]
    assert [path.parent.name for path in waiting_files(drop, subfolders=True)] == ["cam#1"]


# --- sub-folders ------------------------------------------------------------------------------------


def test_subfolders_are_intake_where_they_are_asked_for(
    drop: Path, start: Callable[..., Intake], clock: Clock
) -> None:
    """A close in a camera's sub-folder is seen at once, and the name includes the folder."""
    (drop / "cam1").mkdir()
    intake = start(subfolders=True)
    (drop / "cam1" / "weld.png").write_bytes(b"data")
    (drop / "weld.png").write_bytes(b"data")
    taken = take_after_events(intake, 2)
    assert {(a.source_name, a.path) for a in taken} == {
        ("cam1/weld.png", drop / "cam1" / "weld.png"),
        ("weld.png", drop / "weld.png"),
    }
    for arrival in taken:
        arrival.path.unlink()
        intake.release(arrival)
    assert intake.pending() == 0
    assert not intake.events


def test_a_new_subfolder_is_found_and_watched(drop: Path, start: Callable[..., Intake], clock: Clock) -> None:
    """A camera that is installed later needs no restart; one that is removed does no harm."""
    intake = start(subfolders=True)
    (drop / "cam2").mkdir()
    (drop / "cam2" / "first.png").write_bytes(b"data")
    clock.now += SCAN_S
    intake.take(0)
    clock.now += SETTLE_S
    assert names(intake.take(9)) == ["cam2/first.png"]
    (drop / "cam2" / "second.png").write_bytes(b"data")
    assert names(take_after_events(intake)) == ["cam2/second.png"]
    shutil.rmtree(drop / "cam2")
    for _ in range(2):
        clock.now += SCAN_S
        assert not intake.take(9)
    (drop / "weld.png").write_bytes(b"data")
    assert names(take_after_events(intake)) == ["weld.png"]
    assert not intake.events


def test_a_folder_that_is_not_a_cameras_is_left_alone(
    tmp_path: Path, drop: Path, start: Callable[..., Intake], clock: Clock
) -> None:
    """Hidden, temporary and deeper folders are no intake; a link to a folder is, as a link."""
    for folder in (".hidden", "new.tmp", "cam1/deeper", "x.png"):
        (drop / folder).mkdir(parents=True)
        (drop / folder / "weld.png").write_bytes(b"data")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "weld.png").write_bytes(b"data")
    (drop / "link").symlink_to(outside)
    (drop / "cam1" / "weld.png.part").write_bytes(b"data")
    clock.now += OLD_S
    intake = start(subfolders=True)
    assert {path.relative_to(drop) for path in waiting_files(drop, subfolders=True)} == {
        Path("link"),
        Path("x.png"),
    }
    assert set(names(intake.take(9))) == {"link", "x.png"}
    details = {detail for kind, detail in intake.events if kind == "directory"}
    assert "cam1/deeper is left in the drop folder" in details


def test_a_camera_that_closes_its_folder_hides_no_other_from_the_count(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The files of the other cameras are still counted, and the closed folder is named."""
    require_root()
    with shared_folder() as drop:
        for name, mode in (("cam1", 0o755), ("cam2", 0)):
            (drop / name).mkdir()
            (drop / name / "weld.png").touch()
            (drop / name).chmod(mode)
        os.seteuid(SERVICE)
        try:
            found = list(waiting_files(drop, subfolders=True))
        finally:
            os.seteuid(0)
    assert found == [drop / "cam1" / "weld.png"]
    assert "cam2 cannot be listed" in caplog.text


# --- file systems that others write to --------------------------------------------------------------


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "9p", "virtiofs"])
def test_a_remote_folder_is_polled(
    tmp_path: Path, drop: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A network folder has no watch; scans find files, which must not change for 3 s; an event says so."""
    table = tmp_path / "mountinfo"
    table.write_text(
        f"27 1 254:0 / / rw - ext4 /dev/vda rw\n28 27 0:9 / {drop} rw - {kind} server:/share rw\n"
    )
    monkeypatch.setattr(filesystems, "_MOUNTS", table)
    with open_intake(drop, clock) as intake:
        assert not [thread for thread in threading.enumerate() if isinstance(thread, InotifyFD)]
        (drop / "weld.png").write_bytes(b"data")
        clock.now += SCAN_S
        assert not intake.take(9)
        clock.now += 2.9
        assert not intake.take(9)
        clock.now += 0.1
        assert names(intake.take(9)) == ["weld.png"]
        assert [event for event, _ in intake.events] == ["polling"]
        assert kind in intake.troubles[0]
