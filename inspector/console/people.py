"""The people who may sign in: a YAML file with a role and a hash of the password for each name."""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import yaml
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from inspector.errors import SettingsError, StationError, UsageError

# One at a time: each takes 64 MiB and a fraction of a second, and rubbish must not take the station's memory.
_ONE_HASH: Final = threading.Lock()
_HASHER: Final = PasswordHasher()
_HASH_OF_NOBODY: Final = _HASHER.hash(secrets.token_hex())  # an unknown name takes as long as a known one


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
class Person:
    """A person who may use the console."""

    name: str
    role: Role
    stamp: str = field(default="", repr=False)  # changes with the password: sessions of the old one end


class People:
    """The users file; it is read again when it changes.

    Args:
        path: the file; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read: tuple[int, int] | None = None
        self._known: dict[str, tuple[Person, str]] = {}
        self._session_key = secrets.token_hex(32)

    @classmethod
    def load(cls, path: Path) -> People:
        """Read the file.

        Raises:
            SettingsError: it is not a users file.
        """
        people = cls(path)
        people._refresh()
        return people

    @property
    def session_key(self) -> str:
        """The secret that signs the sessions."""
        self._refresh()
        return self._session_key

    def is_empty(self) -> bool:
        """Whether nobody may sign in."""
        self._refresh()
        return not self._known

    def person(self, name: str) -> Person | None:
        """The person of this name, if there is one."""
        self._refresh()
        known = self._known.get(name)
        return known[0] if known else None

    def check(self, name: str, password: str) -> Person | None:
        """The person, if the password is right; this takes a fraction of a second."""
        self._refresh()
        person, expected = self._known.get(name, (None, _HASH_OF_NOBODY))
        with _ONE_HASH:
            try:
                _HASHER.verify(expected or _HASH_OF_NOBODY, password)
            except (VerificationError, InvalidHashError):
                return None
        return person

    def _refresh(self) -> None:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            self._read, self._known = None, {}
            return
        if (now := (status.st_mtime_ns, status.st_ino)) == self._read:
            return
        content = read(self.path)
        self._known = {
            name: (Person(name, Role(about["role"]), _stamp(about)), about.get("password") or "")
            for name, about in content["people"].items()
        }
        self._session_key = content["session_key"]
        self._read = now


def add(path: Path, name: str, role: Role, password: str) -> None:
    """Add a person to the users file, or give a known one another role and password.

    Raises:
        UsageError: the name or the password is empty.
        StationError: the file cannot be written.
    """
    if not name.strip() or not name.isprintable() or not password:
        raise UsageError("a person needs a name and a password")
    content: dict[str, Any] = {"session_key": secrets.token_hex(32), "people": {}}
    if path.exists():
        content = read(path)
    with _ONE_HASH:
        content["people"][name] = {"role": role.value, "password": _HASHER.hash(password)}
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            yaml.safe_dump(content, stream, allow_unicode=True)
        unfinished.replace(path)
    except OSError as error:
        raise StationError(f"{path}: cannot be written: {error.strerror}") from None


def read(path: Path) -> dict[str, Any]:
    """Read a users file.

    Raises:
        SettingsError: it is not one.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        people = content["people"]
        sound = isinstance(content["session_key"], str) and all(
            isinstance(name, str) and about["role"] in list(Role) for name, about in people.items()
        )
    except OSError as error:
        raise SettingsError(f"{path}: cannot read the users file: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError):
        sound = False
    if not sound:
        raise SettingsError(f"{path}: is not a users file; make one with 'weld-inspect console user add'")
    return dict(content)


def _stamp(about: dict[str, Any]) -> str:
    return hashlib.sha256(str(about.get("password") or "").encode()).hexdigest()[:16]
