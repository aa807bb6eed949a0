"""Cameras on Windows: a real SMB client and a real SFTP client deliver to a station at work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import windows_cameras
from accounts import run_in_own_mounts
from PIL import Image
from programs import program
from stations import frame


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> dict[str, Any]:
    """Return what the clients could do, and what the station made of it."""
    for tool in ("smbd", "smbclient", "sshd", "sftp", "useradd", "systemd-sysusers", "systemd-tmpfiles"):
        program(tool)
    image = tmp_path_factory.mktemp("cameras") / "weld.png"
    Image.fromarray(frame(1)).save(image)
    return run_in_own_mounts(windows_cameras.__file__, tiny, image)


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
