"""Checks of what people who review and read need: groups, the review service, the role on PostgreSQL."""

from __future__ import annotations

import grp
import stat
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import URL

from inspector import permissions
from inspector.errors import FolderError, UsageError
from inspector.ledger import database
from inspector.review.client import ServiceClient, own_account
from inspector.review.service import GROUP, UNIT, socket_of

_READERS: Final = "weldnet"  # the group of the station's folders, as deploy/sysusers.conf makes it
_ROLE: Final = "weldnet_reviewer"
_SIGNED: Final = ("review", "seam_review")  # tables whose rows carry the name of the user who adds them


def may_look(archive: Path, files: list[Path]) -> list[str]:
    """Return the accounts in the groups of readers and reviewers; each of them can read what it needs.

    Args:
        archive: the archive folder.
        files: the settings file, and the SQLite file if there is one.

    Raises:
        FolderError: one of them cannot.
    """
    people = {*permissions.members(_READERS), *permissions.members(GROUP)} - {own_account(), "root"}
    for user in sorted(people):
        permissions.may_look(user, [archive], files)
    return sorted(people)


def review_service(file: Path) -> list[str]:
    """Ask the review service of a SQLite file for this account's name; return the accounts that may use it.

    Raises:
        FolderError: the socket is open to others.
        UsageError: the service sees another name.
        StoreUnavailable: it does not answer.
    """
    people, path = permissions.members(GROUP), socket_of(file)
    if not people and not path.exists():
        return []
    if path.exists():
        about = path.stat()
        if about.st_mode & stat.S_IWOTH:
            raise FolderError(f"every account may connect to {path}; SocketMode=0660 in {UNIT}")
        if people and about.st_gid != grp.getgrnam(GROUP).gr_gid:
            raise FolderError(f"{path} does not belong to the group {GROUP}; SocketGroup={GROUP} in {UNIT}")
    client = ServiceClient(path)
    try:
        name = client.ask_for_name()
    finally:
        client.close()
    if name != own_account():
        raise UsageError(f"{path}: the review service takes {own_account()} for {name}; see {UNIT}")
    return people


def missing_in_roles(url: URL) -> list[str]:
    """Return what ``roles.sql`` would add to a PostgreSQL for reviewers, and is not there or switched off.

    Raises:
        StoreUnavailable: an outage.
    """
    role = sa.text("SELECT count(*) FROM pg_roles WHERE rolname = :role")
    signed = sa.text(
        "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled IN ('O', 'A')"
        " AND tgfoid = to_regproc('public.sign_review')"
    )
    with database.reading(url) as engine, database.transaction(engine) as connection:
        missing = [] if connection.scalar(role, {"role": _ROLE}) else [f"role {_ROLE}"]
        found = set(connection.scalars(signed))
    return missing + [f"trigger {name}" for table in _SIGNED if (name := f"{table}_signed") not in found]
