"""The file of the people who may sign in: YAML with a role and a hash of the password for each name.

It also holds the secret that signs the sessions, so nobody but its owner and one group may read it. Only
commands write it; the console reads it.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import yaml

from inspector import permissions
from inspector.errors import SettingsError, StationError, UsageError

_MODE: Final = 0o600  # of a new file; 0640 stays, for a console with an account of its own
_MIN_KEY: Final = 32  # characters of the secret
_MAX_BYTES: Final = 1 << 20  # some thousand people
_ADVICE: Final = "make one with 'weld-inspect console user add'"


class Role(StrEnum):
    """What a person may do; each role includes the ones before it."""

    LOOK = "look"
    REVIEW = "review"
    RELEASE = "release"

    def includes(self, other: Role) -> bool:
        """Whether a person of this role may do what ``other`` may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True)
class Entry:
    """A person's line in the file; without a hash the person can only come through a proxy."""

    role: Role
    password: str | None = field(default=None, repr=False)  # argon2's encoded hash


@dataclass(frozen=True, slots=True)
class PeopleFile:
    """The content of the file."""

    session_key: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)
    people: dict[str, Entry] = field(default_factory=dict)


def read(path: Path) -> PeopleFile:
    """Read the file; an empty one has no people.

    Raises:
        FileNotFoundError: there is none.
        SettingsError: it is no such file, or other accounts can read, write or replace it.
    """
    try:
        content = yaml.safe_load(_read_safely(path))
        return PeopleFile() if content is None else _checked(content)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise SettingsError(f"{path}: cannot read the list of people: {error.strerror}") from None
    except UsageError as error:
        raise SettingsError(str(error)) from None
    except (yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise SettingsError(f"{path}: is no list of people for the console; {_ADVICE}") from None


@contextmanager
def changing(path: Path) -> Iterator[dict[str, Entry]]:
    """Provide the people to change; they are written at the end, all at once or not at all.

    Raises:
        SettingsError: the file there is none of these, or is not safe.
        StationError: it cannot be written.
    """
    with _locked(path.parent):
        try:
            before = read(path)
        except FileNotFoundError:
            before = PeopleFile()
        yield before.people
        _write(path, before)


def _checked(content: Any) -> PeopleFile:
    key, people = content["session_key"], content["people"] or {}
    if not isinstance(key, str) or len(key) < _MIN_KEY:
        raise ValueError
    return PeopleFile(key, {_name(name): _entry(about) for name, about in people.items()})


def _name(name: object) -> str:
    if not isinstance(name, str) or not name or name != name.strip() or not name.isprintable():
        raise ValueError
    return name


def _entry(about: Any) -> Entry:
    password = about.get("password")
    if password is not None and not isinstance(password, str):
        raise ValueError
    return Entry(Role(about["role"]), password)


def _read_safely(path: Path) -> str:
    """Read a file that is no link, and that other accounts can neither read nor change.

    Raises:
        OSError: it cannot be read.
        UsageError: it is not safe.
    """
    if path.is_symlink():
        raise UsageError(f"{path} is a link; name the list of people itself (console_people)")
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as stream:  # noqa: PTH123 - a descriptor
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise UsageError(f"{path} is no file; {_ADVICE}")
        if about.st_mode & 0o027:
            raise UsageError(f"{path} is not safe: other accounts may read or write it; chmod 0640 {path}")
        permissions.require_protected_settings(path)
        content = stream.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise ValueError
    return content.decode()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one command at a time change a file in a folder; the lock ends with the process."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StationError(f"{folder}: {error.strerror}; create it, or correct console_people") from None
    try:
        with suppress(OSError):  # some network file systems have no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, content: PeopleFile) -> None:
    """Replace the file by a new one with the same owner, group and mode."""
    people = {
        name: {"role": entry.role.value} | ({"password": entry.password} if entry.password else {})
        for name, entry in sorted(content.people.items())
    }
    text = yaml.safe_dump(
        {"session_key": content.session_key, "people": people}, allow_unicode=True, sort_keys=False
    )
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        before = path.stat() if path.exists() else None
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
        try:
            with open(descriptor, "w", encoding="utf-8") as stream:  # noqa: PTH123 - a descriptor
                stream.write(text)
                stream.flush()
                if before is not None:
                    os.fchown(descriptor, before.st_uid, before.st_gid)
                    os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
                os.fsync(descriptor)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise StationError(f"{path}: cannot be written: {error.strerror}; nothing has changed") from None
