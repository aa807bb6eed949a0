"""inspector.permissions: a file that another account could write is refused in a line that says the fix."""

from __future__ import annotations

import grp
import os
import pwd
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from accounts import SERVICE, require_root, shared_folder
from managers import Manager, manager, wait_until, working
from sqlalchemy.engine import URL
from stations import Station

from inspector import permissions
from inspector.errors import FolderError, UsageError
from inspector.settings import load
from inspector.upkeep.check import Level, findings


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file in a folder; both belong to this user."""
    path = tmp_path / "etc" / "config.yaml"
    path.parent.mkdir(mode=0o755)
    path.touch(mode=0o644)
    return path


def refusal(path: Path) -> str:
    """Return the line that refuses a file."""
    with pytest.raises(UsageError) as caught:
        permissions.require_protected(path, "allow it")
    assert caught.value.exit_status == 2
    return str(caught.value)


def test_ones_own_file_is_trusted(file: Path) -> None:
    """A file that all may read and only its owner may write is accepted, also through the owner's link."""
    permissions.require_protected(file, "allow it")
    link = file.with_name("link")
    link.symlink_to(file)
    permissions.require_protected(link, "allow it")


@pytest.mark.parametrize("place", ["file", "folder"])
def test_a_file_that_everybody_may_write_is_refused(file: Path, place: str) -> None:
    """A file that everybody may write or replace is refused, in a line that says how to fix it."""
    loose = file if place == "file" else file.parent
    loose.chmod(0o777)
    assert refusal(file) == (
        f"{file} is not safe: everybody may write to {loose}; chmod o-w {loose}; "
        "or, if that is intended, allow it"
    )


def test_a_folder_with_the_sticky_bit_is_trusted(file: Path) -> None:
    """A folder that everybody may write is accepted if it has the sticky bit, as /tmp has."""
    file.parent.chmod(0o1777)
    permissions.require_protected(file, "allow it")


def test_the_folder_that_a_link_leads_to_counts_too(tmp_path: Path, file: Path) -> None:
    """A link in a safe folder to a file in an unsafe folder is refused."""
    link = tmp_path / "link"
    link.symlink_to(file)
    file.parent.chmod(0o777)
    assert str(file.parent) in refusal(link)


def test_another_users_file_is_refused(file: Path) -> None:
    """Another user's file is refused with any mode, because its owner can change the mode."""
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    os.chown(file, 12345, -1)
    assert f"{file} belongs to user 12345" in refusal(file)


@pytest.mark.parametrize("shared", [True, False])
def test_a_group_counts_where_it_holds_somebody_else(file: Path, shared: bool) -> None:
    """A group that may write is accepted only if it holds no other account."""
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    others = [user for user in pwd.getpwall() if user.pw_gid not in (0, os.getgid()) and user.pw_uid != 0]
    if not others:
        pytest.skip("needs an account beside root")
    os.chown(file, -1, others[0].pw_gid if shared else 0)
    file.chmod(0o664)
    if shared:
        assert "may write to" in refusal(file)
    else:
        permissions.require_protected(file, "allow it")


def test_a_missing_file_is_one_line(file: Path) -> None:
    """A missing file is refused with the system's own words."""
    assert "No such file" in refusal(file.with_name("missing"))


# --- the station ------------------------------------------------------------------------------------


@pytest.fixture
def station(tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]) -> Station:
    """A station with an artifact of its own."""
    artifact = tmp_path / "weldnet.pt"
    artifact.write_bytes(tiny.read_bytes())
    return Station(tmp_path, artifact, url_of("sqlite"))


def test_a_station_refuses_an_artifact_that_others_can_write(station: Station) -> None:
    """The daemon and ``check`` both refuse such an artifact, unless the setting allows it."""
    (station.folder / "weldnet.pt").chmod(0o666)
    with pytest.raises(UsageError, match=r"weldnet\.pt is not safe: everybody may write to"):
        station.once()
    levels = {finding.what: finding.level for finding in findings(station.config, load(station.config))}
    assert levels["artifact"] is Level.WRONG
    station.config.write_text(station.config.read_text() + "others_may_write: true\n")
    station.once()


def test_a_station_refuses_settings_that_others_can_write(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such settings cannot allow themselves, because another account may have written that."""
    station.config.write_text(station.config.read_text() + "others_may_write: true\n")
    station.config.chmod(0o666)
    with pytest.raises(UsageError, match="set WELD_OTHERS_MAY_WRITE=true in the environment"):
        station.once()
    first = next(findings(station.config, load(station.config)))
    assert (first.what, first.level) == ("settings", Level.WRONG)
    monkeypatch.setenv("WELD_OTHERS_MAY_WRITE", "true")
    station.once()


def test_an_artifact_that_goes_away_stops_nothing_and_is_reported(
    station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inspection goes on with the network in memory, and the status says what a restart would find."""
    with manager(tmp_path) as systemd:
        monkeypatch.setenv("NOTIFY_SOCKET", str(systemd.path))
        with working(station.config) as daemon:
            systemd.expect("READY=1")
            path = station.folder / "weldnet.pt"
            path.rename(station.folder / "away.pt")
            expect_status(systemd, "put it back before the next start")
            station.put("w.png", seed=1)
            wait_until(station.is_idle, daemon)
            path.write_bytes(b"another")
            expect_status(systemd, "has changed on disk; reload, or put the old one back")
            (station.folder / "away.pt").rename(path)
            wait_until(lambda: len(artifact_events(station)) == 3, daemon)
    assert artifact_events(station)[-1] == f"{path} is as it was"
    assert station.reconcile()["inspected"] == 1


def expect_status(systemd: Manager, text: str) -> None:
    """Wait for a status that holds this text."""
    while text not in systemd.expect("STATUS="):
        pass


def artifact_events(station: Station) -> list[str]:
    """Return the events of the artifact's file."""
    return [
        row.detail
        for row in station.rows("SELECT detail FROM event WHERE kind = 'artifact_file' ORDER BY id")
    ]


# --- the camera's account -------------------------------------------------------------------------------


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder with a drop folder, an archive and a file, which other accounts can reach."""
    require_root()
    with shared_folder() as folder:
        for name in ("drop", "archive"):
            (folder / name).mkdir()
        (folder / "quality.db").touch()
        yield folder


@pytest.mark.parametrize("group", [0, "adm", "daemon"])
def test_no_group_of_the_system_is_proposed_to_the_camera(shared: Path, group: int | str) -> None:
    """For a drop folder of another group, the line proposes a group for this purpose only."""
    drop = shared / "drop"
    os.chown(drop, -1, group if isinstance(group, int) else grp.getgrnam(group).gr_gid)
    with pytest.raises(FolderError) as caught:
        permissions.may_deliver("nobody", drop)
    line = str(caught.value)
    assert set(re.findall(r"usermod -aG (\S+)", line)) == {"camera"}
    assert "groupadd -f camera, " in line
    assert line.endswith(f"chgrp camera {drop}, chmod 2770 {drop}")


def test_a_folder_that_the_camera_cannot_pass_is_named(shared: Path) -> None:
    """If the camera's account cannot reach the drop folder, the line names the folder that stops it."""
    shared.chmod(0o750)
    with pytest.raises(FolderError, match=f"nobody may not pass through {shared}; put the drop folder"):
        permissions.may_deliver("nobody", shared / "drop")


def test_an_archive_that_the_camera_can_enter_is_refused(shared: Path) -> None:
    """An archive that the camera can enter, or a SQLite file that it can read, is refused by its path."""
    archive, ledger = shared / "archive", shared / "quality.db"
    archive.chmod(0o755)
    ledger.chmod(0o640)
    with pytest.raises(FolderError, match=f"nobody may enter {archive}, and so change results; chmod 0750"):
        permissions.may_not_change("nobody", [archive], [ledger])
    archive.chmod(0o750)
    permissions.may_not_change("nobody", [archive], [ledger, shared / "none"])
    ledger.chmod(0o644)
    with pytest.raises(FolderError, match=f"nobody may read {ledger}"):
        permissions.may_not_change("nobody", [archive], [ledger])
    shared.chmod(0o750)
    permissions.may_not_change("nobody", [archive], [ledger])


def test_a_member_of_the_stations_group_is_to_leave_it(shared: Path) -> None:
    """If the camera's account is in the archive's group, the line says to take it out of the group."""
    os.chown(shared / "archive", SERVICE, pwd.getpwnam("nobody").pw_gid)
    (shared / "archive").chmod(0o2750)
    with pytest.raises(FolderError, match="chmod 0750; take it out of the group"):
        permissions.may_not_change("nobody", [shared / "archive"], [])


def test_check_by_another_user_says_which_user_to_run_it_as(tmp_path: Path, tiny: Path, url: URL) -> None:
    """``check`` by another user tries nothing else: root would find faults in a correct installation."""
    require_root()
    station = Station(tmp_path, tiny, url)
    station.quarantine.mkdir()
    owner = pwd.getpwnam("daemon")
    os.chown(station.quarantine, owner.pw_uid, owner.pw_gid)
    [found] = findings(station.config, load(station.config))
    assert (found.what, found.level) == ("user", Level.WRONG)
    assert f"runuser -u daemon -- weld-inspect check --config {station.config}" in found.detail
    assert "others_may_write" not in found.detail
