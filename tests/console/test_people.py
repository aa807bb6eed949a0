"""The people who may sign in: the commands that change their file, and what makes the file unsafe."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from inspector.commands.cli import app
from inspector.console import people
from inspector.console.attempts import PER_ADDRESS, PER_NAME, Attempts
from inspector.console.people import People, Role
from inspector.errors import SettingsError, StationError, UsageError

WORDS = "seam seam seam"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The settings of a station without a database."""
    file = tmp_path / "config.yaml"
    file.write_text("station: cell-1\n")
    return file


@pytest.fixture(scope="module")
def two_people(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file of two people, written once: hashes of passwords take long, so that nobody can guess many."""
    path = tmp_path_factory.mktemp("people") / "console-people.yaml"
    people.add(path, "anna", Role.REVIEW, WORDS)
    people.add(path, "dora", Role.LOOK, WORDS)
    return path.read_bytes()


@pytest.fixture
def file(tmp_path: Path, two_people: bytes) -> Path:
    """A file of two people."""
    path = tmp_path / "console-people.yaml"
    path.write_bytes(two_people)
    path.chmod(0o600)
    return path


def user(config: Path, *words: str, stdin: str = WORDS + "\n") -> Result:
    """Run a command for people; the password comes on stdin."""
    return CliRunner().invoke(app, ["console", "user", *words, "--config", str(config)], input=stdin)


def test_people_are_added_listed_changed_and_removed(config, tmp_path):
    """The commands keep the file; a password is on stdin and nowhere in the file."""
    assert user(config, "add", "anna", "--role", "review").output == "anna may review\n"
    assert user(config, "add", "Jörg Müller", "--role", "look").exit_code == 0
    assert user(config, "list").output == "look     Jörg Müller\nreview   anna\n"
    file = tmp_path / "console-people.yaml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert WORDS not in file.read_text()
    known = People.load(file)
    assert known.check("anna", WORDS) == known.person("anna")
    assert user(config, "password", "anna", stdin="another one of mine\n").exit_code == 0
    assert known.check("anna", WORDS) is None
    assert known.check("anna", "another one of mine").role is Role.REVIEW
    assert user(config, "remove", "anna").exit_code == 0
    assert user(config, "list").output == "look     Jörg Müller\n"


@pytest.mark.parametrize(
    ("words", "stdin", "says"),
    [
        (["add", "anna", "--role", "review"], WORDS, "anna is in"),
        (["add", "bert", "--role", "review"], "short\n", "a password has 12 to 1000 characters"),
        (["add", "bert", "--role", "review"], "", "stdin has no password"),
        (["add", "", "--role", "review"], WORDS, "is no name"),
        (["add", "a\u202eb", "--role", "review"], WORDS, "is no name"),
        (["add", " a", "--role", "review"], WORDS, "is no name"),
        (["add", "a" * 65, "--role", "review"], WORDS, "is no name"),
        (["remove", "bert"], WORDS, "'bert' is not in"),
        (["password", "bert"], WORDS, "'bert' is not in"),
    ],
)
def test_a_mistake_is_one_line_and_changes_nothing(config, file, words, stdin, says):
    """A wrong name, role or password changes no byte of the file and is named."""
    before = file.read_bytes()
    done = user(config, *words, stdin=stdin)
    assert isinstance(done.exception, UsageError)
    assert says in str(done.exception)
    assert "\n" not in str(done.exception)
    assert file.read_bytes() == before


def test_a_proxy_s_people_have_no_password(config, tmp_path):
    """With a header of a proxy nobody is asked for a password, and no password lets the person in."""
    config.write_text("station: a\nconsole_proxy: 127.0.0.1\nconsole_proxy_header: X-User\n")
    assert user(config, "add", "anna", "--role", "review", stdin="").exit_code == 0
    known = People.load(tmp_path / "console-people.yaml")
    assert known.person("anna").role is Role.REVIEW
    assert [known.check("anna", word) for word in ("", "None", WORDS)] == [None, None, None]


def test_a_change_counts_at_once_and_ends_sessions(file):
    """A removed person is unknown at the next look, and a new password gives another stamp."""
    known = People.load(file)
    before = known.person("dora").stamp
    people.set_password(file, "dora", "another one of hers")
    assert known.person("dora").stamp != before
    people.remove(file, "anna")
    assert known.person("anna") is None
    file.unlink()
    assert known.person("dora") is None
    assert known.is_empty()


def test_the_group_and_the_mode_stay(file, tmp_path):
    """A file that a group may read stays so, and an empty file is one without people."""
    file.chmod(0o640)
    people.remove(file, "anna")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    empty = tmp_path / "empty.yaml"
    empty.touch(mode=0o640)
    assert People.load(empty).is_empty()
    people.add(empty, "anna", Role.LOOK, WORDS)
    assert (stat.S_IMODE(empty.stat().st_mode), list(people.roles(empty))) == (0o640, ["anna"])


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda file: file.chmod(0o644), "other accounts may read or write it; chmod 0640"),
        (lambda file: file.chmod(0o660), "other accounts may read or write it"),
        (lambda file: (file.parent.chmod(0o777), os.utime(file)), "everybody may write to"),
        (lambda file: (file.rename(file.with_name("x")), file.symlink_to("x")), "is a link"),
        (lambda file: (file.unlink(), os.mkfifo(file, 0o600)), "is no file"),
        (lambda file: (file.unlink(), file.mkdir(0o700)), "Is a directory"),
        (lambda file: file.write_text("people: {anna: {role: owner}}"), "is no list of people"),
        (lambda file: file.write_text("session_key: short\npeople: {}"), "is no list of people"),
        (lambda file: file.write_text("[" * 2000), "is no list of people"),
        (lambda file: file.write_bytes(b"\xff\xfe"), "is no list of people"),
        (lambda file: file.write_text("a" * (1 << 20) + "a"), "is no list of people"),
    ],
)
def test_a_file_that_is_not_safe_lets_nobody_in(file, spoil, says):
    """A file that others can read or change is refused at the start, and ends the sessions."""
    running = People.load(file)
    spoil(file)
    with pytest.raises(SettingsError, match=says) as caught:
        People.load(file)
    assert "\n" not in str(caught.value)
    assert running.person("anna") is None
    with pytest.raises((SettingsError, StationError)):
        people.add(file, "bert", Role.LOOK, WORDS)


def test_a_killed_or_failed_write_leaves_the_old_file(file, monkeypatch):
    """If the new file cannot take the old one's place, the old one stays and nothing lies beside it."""
    before = file.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StationError, match="No space left on device; nothing has changed"):
        people.remove(file, "anna")
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir() if path.name.startswith(".")] == []


def test_two_commands_at_once_lose_nobody(file):
    """People whom several commands add at the same time are all in the file."""
    names = [f"person {number}" for number in range(8)]
    adding = [threading.Thread(target=people.add, args=(file, name, Role.LOOK, WORDS)) for name in names]
    for thread in adding:
        thread.start()
    for thread in adding:
        thread.join()
    assert set(people.roles(file)) == {"anna", "dora", *names}
    assert len(yaml.safe_load(file.read_text())["session_key"]) >= 32


def test_attempts_are_limited_by_address_and_by_name():
    """After some wrong passwords an address has to wait, and so has a name; right ones do not count."""
    now = [0.0]
    attempts = Attempts(lambda: now[0])
    of_address, per_s = PER_ADDRESS
    assert all(attempts.may_begin(f"name {number}", "10.0.0.1") for number in range(of_address))
    assert not attempts.may_begin("another", "10.0.0.1")
    assert attempts.may_begin("another", "10.0.0.2")
    now[0] += per_s
    assert attempts.may_begin("another", "10.0.0.1")
    of_name, name_s = PER_NAME
    now[0] += name_s
    assert all(attempts.may_begin("anna", f"10.1.0.{number}") for number in range(of_name))
    assert not attempts.may_begin("anna", "10.2.0.1")
    now[0] += name_s
    for _ in range(of_name + of_address):
        assert attempts.may_begin("anna", "10.3.0.1")
        attempts.succeeded("anna", "10.3.0.1")
