"""Processes of other accounts, by numbers that no account of this machine has."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from programs import program
from waiting import HANG_S

from inspector import resources

SERVICE: Final = 61_233  # user and group of a station
CAMERA: Final = 61_234  # user and group of a camera's account


_NUMBERS: Final = {"root": 0, "weldnet": SERVICE, "camera": CAMERA}


def shipped_folders(folder: Path) -> Path:
    """Make the folders of tmpfiles.conf below another folder than /srv, with numbers for their owners."""
    text = (resources.folder("deploy") / "tmpfiles.conf").read_text()
    lines = re.findall(r"^d (\S+) +(\d+) (\w+) +(\w+) ", text, re.MULTILINE)
    assert len(lines) >= 5
    for path, mode, user, group in lines:
        place = folder / path.removeprefix("/srv/")
        place.mkdir()
        os.chown(place, _NUMBERS[user], _NUMBERS[group])
        place.chmod(int(mode, 8))
    return folder / "weldnet"


def shipped_umask() -> str:
    """The umask of the service's unit."""
    unit = (resources.folder("deploy") / "weldnet-inspector.service").read_text()
    [umask] = re.findall(r"^UMask=(\d+)$", unit, re.MULTILINE)
    return umask


def require_root() -> None:
    """Skip the test unless this user may start processes of other accounts."""
    if os.geteuid() != 0:
        pytest.skip("needs root: it starts processes of two other accounts")


def run_in_own_mounts(script: str, *arguments: Path) -> dict[str, Any]:
    """Run a script as root in its own mount namespace, so that no account of this machine changes.

    Return the JSON object that it prints. Skip the test if this user may not mount folders.
    """
    require_root()
    unshare = [program("unshare"), "--mount"]
    private = [*unshare, "mount", "--make-rprivate", "/"]
    if subprocess.run(private, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount folders, so that no account of this machine changes")
    command = [*unshare, sys.executable, script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=HANG_S)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@contextmanager
def shared_folder() -> Iterator[Path]:
    """A folder that every account may pass through; pytest's own is private."""
    folder = Path(tempfile.mkdtemp(prefix="weldnet-accounts-"))
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder)


def start_as(
    account: int, *command: str, groups: tuple[int, ...] = (), **options: Any
) -> subprocess.Popen[str]:
    """Start a program as an account whose own group has its number; the caller ends it."""
    return subprocess.Popen(
        command,
        user=account,
        group=account,
        extra_groups=list(groups),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd="/",
        **options,
    )
