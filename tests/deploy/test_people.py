"""Accounts of people, as INSTALL.md makes them: each can do its work, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import installation
import pytest
from accounts import run_in_own_mounts
from PIL import Image
from programs import program
from stations import frame


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> dict[str, Any]:
    """What each account of an installation by INSTALL.md could do."""
    for tool in ("useradd", "systemd-sysusers", "systemd-tmpfiles", "runuser"):
        program(tool)
    image = tmp_path_factory.mktemp("people") / "weld.png"
    Image.fromarray(frame(1)).save(image)
    return run_in_own_mounts(installation.__file__, tiny, image)


def test_the_accounts_can_do_what_the_notes_say_and_nothing_else(tried: dict[str, Any]) -> None:
    """Each line of the table in INSTALL.md is what the accounts could do, and no verdict has a false name."""
    notes = (installation.DEPLOY / "INSTALL.md").read_text()
    head, *lines = re.findall(r"^\|(.*)\|$", notes, re.MULTILINE)
    accounts = [cell.strip() for cell in head.split("|")[1:]]
    table = {}
    for line in lines[1:]:
        what, *cells = (cell.strip() for cell in line.split("|"))
        table[what] = dict(zip(accounts, cells, strict=True))
    found = {
        what: {who: "yes" if tried["results"][who][what][0] else "no" for who in accounts}
        for what in tried["results"]["camera"]
    }
    assert found == table, tried["results"]
    assert tried["reviewers"] == ["anna", "weldnet-console", "bert", "weldnet", "bert", "erika"]


def test_the_words_for_who_may_not(tried: dict[str, Any]) -> None:
    """A reader who gives a verdict, and a reviewer who uses another name, get a line that says what to do."""
    reader, reviewer = (tried["results"][who] for who in ("reader", "reviewer"))
    assert "usermod --append --groups weld-review rita" in reader["add a verdict (`review set`)"][1]
    forged = reviewer["add a verdict in the name of another (`--reviewer`)"][1]
    assert "this account gives verdicts as anna; leave it out" in forged


def test_the_console_of_the_notes_takes_a_verdict(tried: dict[str, Any]) -> None:
    """The console with its own account shows an image and adds a verdict in the name of who signed in."""
    console = tried["console"]
    assert console["said"] == "erika may review\n"
    assert (console["signed in"], console["image"]) == (303, 200), console
    assert console["verdict"] == [200, '{"added":1}'], console
    assert console["state"].count("must be fixed") == 1, console  # that the station does not run
    assert "not running: systemctl status weldnet-inspector" in console["state"]
    assert "not known: this user may not read" in console["state"]


def test_check_finds_what_keeps_people_from_their_work(tried: dict[str, Any]) -> None:
    """Check finds a service that is off and a folder that the group cannot read, and passes the rest."""
    off, on, closed = (tried["checks"][state] for state in ("off", "on", "closed"))
    assert "systemctl enable --now weldnet-review.socket" in off
    assert on.splitlines() == ["['anna', 'rita', 'weldnet-console']", "['anna', 'weldnet-console']"]
    assert "anna may not read /srv/weldnet/station/archive; as root: chmod g+rx" in closed
