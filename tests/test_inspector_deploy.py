"""What is shipped for an installer, judged by the real tools: unit, users and folders, alert rules, dashboard."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from inspector import resources

DEPLOY = resources.folder("deploy")
UNIT = DEPLOY / "weldnet-inspector.service"
_STAYED_OFF = ("MemoryDenyWriteExecute", "PrivateNetwork", "DynamicUser", "RootDirectory")


def tool(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a tool of the system; skip where it is not installed."""
    if shutil.which(str(words[0])) is None:
        pytest.skip(f"{words[0]} is not installed here")
    return subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False, timeout=60)


def test_the_unit_is_hardened():
    """systemd-analyze rates its exposure at 1.5 or less."""
    told = tool("systemd-analyze", "security", "--offline=true", "--no-pager", UNIT)
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", told.stdout)
    assert exposure, told
    assert float(exposure[1]) <= 1.5


def test_the_unit_is_sound(tmp_path: Path):
    """systemd-analyze verify says nothing, with the program where the unit expects it."""
    program = tmp_path / "weld-inspect"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    copy = tmp_path / UNIT.name
    text = UNIT.read_text()
    assert "ExecStart=/opt/weldnet/venv/bin/weld-inspect run" in text
    copy.write_text(text.replace("/opt/weldnet/venv/bin/weld-inspect", str(program)))
    told = tool("systemd-analyze", "verify", "--man=no", copy)
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")


def test_each_directive_that_stayed_off_has_its_reason():
    """What hardening guides ask for and torch or the station cannot have is named in the unit, and is off."""
    for directive in _STAYED_OFF:
        assert re.search(rf"^# {directive}=\S*,?\s.*\w{{4}}", UNIT.read_text(), re.MULTILINE), directive
        assert not re.search(rf"^{directive}=", UNIT.read_text(), re.MULTILINE)


def test_the_stop_time_is_longer_than_the_drain():
    """The manager waits longer for the service than the service waits for its own batches."""
    from inspector.settings import Settings

    (stop_s,) = re.findall(r"^TimeoutStopSec=(\d+)s$", UNIT.read_text(), re.MULTILINE)
    assert int(stop_s) > Settings.model_fields["drain_s"].default + 5


def test_users_and_folders_can_be_made(tmp_path: Path):
    """User and folders are made as described, and the folders carry the shared group and set-group-ID."""
    if os.geteuid() != 0:
        pytest.skip("only root gives folders to another user")
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    users = tool("systemd-sysusers", f"--root={root}", DEPLOY / "sysusers.conf")
    assert users.returncode == 0, users.stderr
    assert "\nweldnet:" in "\n" + (root / "etc" / "passwd").read_text()
    assert "\nweldnet:" in "\n" + (root / "etc" / "group").read_text()
    folders = tool("systemd-tmpfiles", f"--root={root}", "--create", DEPLOY / "tmpfiles.conf")
    assert folders.returncode == 0, folders.stderr
    for name in ("", "drop", "archive", "quarantine"):
        assert (root / "srv" / "weldnet" / name).stat().st_mode & 0o7777 == 0o2770
