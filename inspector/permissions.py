"""Who may write what: files that somebody else could have written, and drop folders that accounts share.

TorchScript is code, and the settings name it, so a file that another account can write is refused.

Somebody else is everybody but root and the user who runs this program. A file can be replaced by whoever may
write to a folder on its way, so each of them counts, but for folders with the sticky bit, where nobody may
rename another's files. A group that holds nobody else (the private groups of most systems) is no somebody.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path
from typing import Final

from inspector.errors import FolderError, UsageError

_OTHERS_MAY_WRITE: Final = "WELD_OTHERS_MAY_WRITE"
_OVERFLOW_ID: Final = 65_534  # who stands for all that a user namespace does not know


def require_protected_settings(path: Path) -> None:
    """Refuse a settings file that others can write: its own word on whether that is allowed is void.

    Raises:
        UsageError: they can, and the environment does not allow it.
    """
    if os.environ.get(_OTHERS_MAY_WRITE, "").lower() not in ("1", "true", "yes", "on"):
        require_protected(path, f"set {_OTHERS_MAY_WRITE}=true in the environment")


def require_protected(path: Path, fix: str) -> None:
    """Refuse a file that others can write, or replace.

    Args:
        path: an existing file.
        fix: what to do if that is meant.

    Raises:
        UsageError: they can, or it is not there.
    """
    given, real = path.absolute(), path.resolve()
    for component in dict.fromkeys([real, *real.parents, *given.parents]):
        try:
            problem = _other_writer(component)
        except OSError as error:
            raise UsageError(f"{component}: {error.strerror}") from None
        if problem:
            raise UsageError(f"{path} is not to be trusted: {problem}; or, if that is meant, {fix}")


def _other_writer(component: Path) -> str | None:
    about = component.stat()
    is_sticky = stat.S_ISDIR(about.st_mode) and about.st_mode & stat.S_ISVTX
    if about.st_uid not in (0, os.geteuid()):
        return f"{component} belongs to {_user(about.st_uid)}; chown it"
    if about.st_mode & stat.S_IWOTH and not is_sticky:
        return f"everybody may write to {component}; chmod o-w {component}"
    if about.st_mode & stat.S_IWGRP and not is_sticky and _holds_others(about.st_gid):
        return f"group {_group(about.st_gid)} may write to {component}; chmod g-w {component}"
    return None


def _holds_others(group: int) -> bool:
    if group in (0, _OVERFLOW_ID):
        return group == _OVERFLOW_ID
    try:
        members = {pwd.getpwnam(name).pw_uid for name in grp.getgrgid(group).gr_mem}
    except KeyError:  # without a name: it is known to nobody, or to nobody here
        return group != os.getegid()
    members |= {user.pw_uid for user in pwd.getpwall() if user.pw_gid == group}
    return bool(members - {0, os.geteuid()})


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def may_move_from(drop: Path) -> None:
    """Refuse a drop folder from which this user could not take what others put into it.

    Raises:
        FolderError: a sticky bit, or files that this user cannot read.
    """
    try:
        about = drop.stat()
        files = [path for path in drop.iterdir() if path.is_file() and not path.name.startswith(".")]
    except OSError as error:
        raise FolderError(
            f"drop_folder {drop}: {error.strerror}; create it, or correct the setting"
        ) from None
    if about.st_mode & stat.S_ISVTX and os.geteuid() not in (0, about.st_uid):
        raise FolderError(f"{drop} has the sticky bit: nobody may move another's files; chmod -t {drop}")
    unreadable = [path.name for path in files if not os.access(path, os.R_OK)]
    if unreadable:
        raise FolderError(
            f"{drop}: this user may not read {len(unreadable)} files, such as {unreadable[0]!r}; share a "
            f"group with the camera's account, 'chmod g+s {drop}', and let it write with umask 0027"
        )


def may_deliver(user: str, drop: Path) -> None:
    """Refuse a drop folder that another account cannot write to, or whose files this user could not read.

    Raises:
        UsageError: there is no such account.
        FolderError: it may not reach or write to the folder, or its files would keep its own group.
    """
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        raise UsageError(f"there is no account {user!r} on this machine; correct --camera-user") from None
    groups = set(os.getgrouplist(user, account.pw_gid))
    for folder in reversed(drop.resolve().parents):
        if not _may(folder, account.pw_uid, groups, stat.S_IXOTH):
            raise FolderError(f"{user} may not pass through {folder}; chmod o+x {folder}")
    about = drop.stat()
    group = _group(about.st_gid)
    if not _may(drop, account.pw_uid, groups, stat.S_IWOTH | stat.S_IXOTH):
        raise FolderError(f"{user} may not write to {drop}; usermod -aG {group} {user}, chmod g+rwxs {drop}")
    if account.pw_uid != os.geteuid() and not about.st_mode & stat.S_ISGID:
        raise FolderError(
            f"{drop} lacks the set-group-ID bit: what {user} writes keeps {user}'s own group, "
            f"and this user may not read it; chmod g+s {drop}"
        )


def _may(folder: Path, user: int, groups: set[int], bits: int) -> bool:
    """Whether an account has these rights (as of others: rwx in the last three bits) by the folder's mode."""
    about = folder.stat()
    if user == 0:
        return True
    shift = 6 if about.st_uid == user else 3 if about.st_gid in groups else 0
    return about.st_mode >> shift & bits == bits
