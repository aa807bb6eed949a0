"""Programs of the system that some tests need. Without one they skip, and name Debian's package."""

from __future__ import annotations

import shutil

import pytest

_PACKAGES = {
    "chromium": "chromium",
    "flock": "util-linux",
    "openssl": "openssl",
    "pgbouncer": "pgbouncer",
    "pdftotext": "poppler-utils",
    "promtool": "prometheus",
    "sftp": "openssh-client",
    "smbclient": "smbclient",
    "smbd": "samba",
    "sqlite3": "sqlite3",
    "ssh-keygen": "openssh-client",
    "sshd": "openssh-server",
    "systemd-analyze": "systemd",
    "systemd-sysusers": "systemd",
    "systemd-tmpfiles": "systemd",
    "testparm": "samba-common-bin",
}


def program(name: str, *other_names: str) -> str:
    """Path of an installed program; without it the test skips and says which package has it."""
    for each in (name, *other_names):
        if path := shutil.which(each):
            return path
    pytest.skip(f"{name} is not installed here (apt install {_PACKAGES[name]})")
