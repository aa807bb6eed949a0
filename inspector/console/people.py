"""The people who may sign in, as the console knows them: roles, passwords, and what ends their sessions."""

from __future__ import annotations

import hashlib
import logging
import secrets
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from inspector.console import people_file
from inspector.console.people_file import Entry, PeopleFile
from inspector.console.people_file import Role as Role
from inspector.errors import SettingsError, UsageError

log = logging.getLogger("weldnet")

MIN_PASSWORD: Final = 12  # characters; NIST SP 800-63B asks for 8 at least
MAX_PASSWORD: Final = 1000  # characters; hashing takes time
_MAX_NAME: Final = 64  # characters: it is in every row
# One at a time, on one thread, with the 19 MiB that OWASP names as the least: the station has priority.
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_ONE_HASH: Final = threading.Lock()
_HASH_OF_NOBODY: Final = _HASHER.hash(secrets.token_hex())  # an unknown name takes as long as a known one


@dataclass(frozen=True, slots=True)
class Person:
    """A person who may use the console."""

    name: str
    role: Role
    stamp: str = field(default="", repr=False)  # changes with the password: sessions of the old one end


class People:
    """The file of people; it is read again when it changes, so a removed person's session ends at once.

    A file that becomes wrong while the console runs lets nobody in until it is right again.

    Args:
        path: the file; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read: tuple[int, ...] | None = None
        self._content = PeopleFile()

    @classmethod
    def load(cls, path: Path) -> People:
        """Read the file.

        Raises:
            SettingsError: it is no such file, or it is not safe.
        """
        people = cls(path)
        people._read_again()
        return people

    @property
    def session_key(self) -> str:
        """The secret that signs the sessions."""
        return self._content.session_key

    def is_empty(self) -> bool:
        """Whether nobody may sign in."""
        self._refresh()
        return not self._content.people

    def person(self, name: str) -> Person | None:
        """The person of this name, if there is one."""
        self._refresh()
        entry = self._content.people.get(name)
        return Person(name, entry.role, _stamp(entry)) if entry else None

    def check(self, name: str, password: str) -> Person | None:
        """The person, if the password is right; this takes a fraction of a second."""
        self._refresh()
        entry = self._content.people.get(name)
        expected = (entry.password if entry else None) or _HASH_OF_NOBODY
        with _ONE_HASH:
            try:
                _HASHER.verify(expected, password[:MAX_PASSWORD])
            except (VerificationError, InvalidHashError):
                return None
        return Person(name, entry.role, _stamp(entry)) if entry else None

    def _refresh(self) -> None:
        try:
            self._read_again()
        except SettingsError as error:
            if self._content.people:
                log.warning("console: nobody may sign in: %s", error)
            self._content = PeopleFile(self._content.session_key)

    def _read_again(self) -> None:
        try:
            about = self.path.lstat()
            # The inode too: a change within the clock's tick still brings another file.
            now = about.st_mtime_ns, about.st_ctime_ns, about.st_ino, about.st_size
            if now != self._read:
                self._read = now
                self._content = people_file.read(self.path)
        except FileNotFoundError:
            self._read, self._content = None, PeopleFile(self._content.session_key)
        except OSError as error:
            raise SettingsError(f"{self.path}: cannot read the list of people: {error.strerror}") from None


def add(path: Path, name: str, role: Role, password: str | None) -> None:
    """Add a person to the file.

    Args:
        path: the file; it is made if it is missing.
        name: the person's, as it will be in each verdict.
        role: what the person may do.
        password: None if the person comes through a proxy only.

    Raises:
        UsageError: the name is known already or no name, or the password is too short.
        StationError: the file cannot be written.
    """
    if not name or name != name.strip() or not name.isprintable() or len(name) > _MAX_NAME:
        raise UsageError(
            f"{name!r} is no name; use 1 to {_MAX_NAME} printable characters, without spaces around them"
        )
    entry = Entry(role, _hashed(password))
    with people_file.changing(path) as people:
        if name in people:
            raise UsageError(f"{name} is in {path} already; remove the person first, or use 'user password'")
        people[name] = entry


def set_password(path: Path, name: str, password: str) -> None:
    """Give a person another password; sessions with the old one end.

    Raises:
        UsageError: the person is not known, or the password is too short.
        StationError: the file cannot be written.
    """
    hashed = _hashed(password)
    with people_file.changing(path) as people:
        people[name] = Entry(_known(people, name, path).role, hashed)


def remove(path: Path, name: str) -> None:
    """Remove a person, whose sessions end.

    Raises:
        UsageError: the person is not known.
        StationError: the file cannot be written.
    """
    with people_file.changing(path) as people:
        _known(people, name, path)
        del people[name]


def roles(path: Path) -> dict[str, Role]:
    """Return the people with their roles; none if there is no file yet.

    Raises:
        SettingsError: it is no such file, or it is not safe.
    """
    try:
        return {name: entry.role for name, entry in sorted(people_file.read(path).people.items())}
    except FileNotFoundError:
        return {}


def _known(people: dict[str, Entry], name: str, path: Path) -> Entry:
    if name not in people:
        known = ", ".join(sorted(people)) or "nobody yet ('console user add')"
        raise UsageError(f"{name!r} is not in {path}; there is {known}")
    return people[name]


def _hashed(password: str | None) -> str | None:
    if password is None:
        return None
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise UsageError(f"a password has {MIN_PASSWORD} to {MAX_PASSWORD} characters; use a few words")
    with _ONE_HASH:
        return _HASHER.hash(password)


def _stamp(entry: Entry) -> str:
    return hashlib.sha256((entry.password or "").encode()).hexdigest()[:16]
