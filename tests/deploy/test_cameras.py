"""Cameras on Windows: a real SMB client and a real SFTP client deliver to a station at work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import windows_cameras
from accounts import require_root
from PIL import Image
from programs import program
from stations import frame
from waiting import HANG_S


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> dict[str, Any]:
    """Return what the clients could do, and what the station made of it."""
    require_root()
    for tool in ("smbd", "smbclient", "sshd", "sftp", "useradd", "systemd-sysusers", "systemd-tmpfiles"):
        program(tool)
    unshare = [program("unshare"), "--mount"]
    if subprocess.run(
        [*unshare, "mount", "--make-rprivate", "/"], check=False, capture_output=True
    ).returncode:
        pytest.skip("needs the right to mount folders, so that no account of this machine changes")
    image = tmp_path_factory.mktemp("cameras") / "weld.png"
    Image.fromarray(frame(1)).save(image)
    command = [*unshare, sys.executable, windows_cameras.__file__, str(tiny), str(image)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=HANG_S)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("way", ["smb", "smb, renamed", "sftp", "sftp, renamed"])
def test_an_image_that_is_delivered_is_inspected(delivered: dict[str, Any], way: str) -> None:
    """Written by its own name, or under a temporary one and renamed, it gets its row and its place."""
    done, said = delivered["said"][way]
    assert done, said
    figures = json.loads(delivered["figures"])
    assert (figures["seen"], figures["inspected"], figures["unaccounted"]) == (4, 4, 0), delivered["log"]


@pytest.mark.parametrize("what", ["smb, Thumbs.db", "smb, outside", "sftp, outside"])
def test_the_camera_can_do_nothing_else(delivered: dict[str, Any], what: str) -> None:
    """A file of Windows Explorer is refused, and so is a look at the station's own folder."""
    done, said = delivered["said"][what]
    assert not done, said
