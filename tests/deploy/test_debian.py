"""The Debian package's own files: fields, scripts, users, folders and settings. ``make deb`` builds it."""

from __future__ import annotations

import os
import re
import subprocess
from email.parser import Parser
from pathlib import Path

import pytest
from programs import program

from inspector import settings

DEPLOY = Path(__file__).parents[2] / "deploy"
DEBIAN = DEPLOY / "debian"
RULES = (DEBIAN / "rules").read_text()


def test_the_package_describes_itself():
    """Source and package have the fields that Debian's policy asks for, and Python's version is a range."""
    source, package = [Parser().parsestr(part) for part in (DEBIAN / "control").read_text().split("\n\n", 1)]
    assert source["Source"] == package["Package"] == "weldnet-station"
    assert {"Maintainer", "Section", "Priority", "Standards-Version"} <= set(source)
    assert {"Architecture", "Depends", "Description"} <= set(package)
    assert "${misc:Depends}" in package["Depends"]
    assert "${python:Depends}" in package["Depends"]
    assert re.search(r"python:Depends=python3 \(>= .*\), python3 \(<< ", RULES)


def test_each_file_that_the_package_takes_is_there():
    """Units, users, folders and examples that the rules install are among the files of the bundle."""
    taken = set(re.findall(r"[\w./*-]+\.(?:conf|service|timer|socket|yaml|json|md|sed)\b", RULES))
    sources = {name for name in taken if "$" not in name and not name.startswith(("/", "usr"))}
    assert {"*.service", "*.timer", "*.socket", "sysusers.conf", "tmpfiles.conf"} <= sources
    for name in sources - {"weldnet.conf", "weldnet-console.conf", "weldnet-config.conf"}:
        folder = DEPLOY if not name.startswith("debian/") else DEBIAN
        assert list(folder.glob(Path(name).name)), name


@pytest.mark.parametrize("script", ["postinst", "postrm"])
def test_the_scripts_are_sound(script: str):
    """A shell parses the script; it stops at an error and has the place for debhelper's own part."""
    file = DEBIAN / f"weldnet-station.{script}"
    assert subprocess.run(["sh", "-n", file], check=False).returncode == 0
    text = file.read_text()
    assert text.startswith("#!/bin/sh\nset -e\n")
    assert "\n#DEBHELPER#\n" in text


def test_the_walk_is_sound():
    """A shell parses the walk of ``make deb-try``; it stops at the first line that fails."""
    file = DEBIAN / "walk.sh"
    assert subprocess.run(["sh", "-n", file], check=False).returncode == 0
    assert "\nset -eu\n" in file.read_text()


def test_each_unit_that_can_be_enabled_is_stopped_by_an_upgrade():
    """The rules name each service and socket with an [Install] section to debhelper, and all timers."""
    enabled = {path.name for path in DEPLOY.glob("*.s*") if "\n[Install]\n" in path.read_text()}
    assert len(enabled) == 4
    part = RULES[RULES.index("\noverride_dh_installsystemd:") :].split("\n\n")[0]
    assert enabled == set(re.findall(r"\bweld\S+\.(?:service|socket)\b", part))
    assert "$(wildcard *.timer)" in part


def test_the_settings_of_the_package_are_the_example_s(tmp_path: Path):
    """Only the paths differ: each is below /srv or /etc, and the file loads."""
    example = DEPLOY / "config.example.yaml"
    made = subprocess.run(
        ["sed", "--file", DEBIAN / "config.sed", example], capture_output=True, text=True, check=True
    )
    (tmp_path / "config.yaml").write_text(made.stdout)
    changed = {
        line.split(":")[0]
        for line, before in zip(made.stdout.splitlines(), example.read_text().splitlines(), strict=True)
        if line != before
    }
    ours, theirs = settings.load(tmp_path / "config.yaml"), settings.load(example)
    for name in type(ours).model_fields:
        assert (getattr(ours, name) == getattr(theirs, name)) is (name not in changed), name
    assert changed == {
        *("drop_folder", "archive_folder", "quarantine_folder", "database_url", "artifact", "console_people")
    }
    assert str(ours.url.database) == "/srv/weldnet/station/quality.db"


def test_users_and_folders_can_be_made_together(tmp_path: Path):
    """The package's folders need its users; the camera's account cannot enter the folder of the settings."""
    if os.geteuid() != 0:
        pytest.skip("only root gives folders to another user")
    root = tmp_path / "root"
    (root / "etc" / "weldnet").mkdir(parents=True)
    (root / "etc" / "weldnet" / "config.yaml").write_text("station: a\n")
    users = [DEPLOY / "sysusers.conf", DEPLOY / "sysusers-console.conf"]
    folders = [DEPLOY / "tmpfiles.conf", DEBIAN / "tmpfiles.conf"]
    for words in (["systemd-sysusers", *users], ["systemd-tmpfiles", "--create", *folders]):
        command = [program(str(words[0])), f"--root={root}", *map(str, words[1:])]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    groups = dict(line.split(":", 1) for line in (root / "etc" / "group").read_text().splitlines())
    place = (root / "etc" / "weldnet").stat()
    assert (place.st_mode & 0o7777, place.st_uid) == (0o750, 0)
    assert place.st_gid == int(groups["weldnet"].split(":")[1])
    people = (root / "etc" / "weldnet" / "console-people.yaml").stat()
    assert (people.st_mode & 0o7777, people.st_gid) == (0o640, int(groups["weldnet-console"].split(":")[1]))
    assert (root / "srv" / "weldnet" / "station" / "config.yaml").readlink() == Path(
        "/etc/weldnet/config.yaml"
    )
