"""File rights: files that another account could have written, and drop folders that accounts share.

TorchScript is code, and the settings name its file. So an artifact or a settings file that another account
can write is refused.

Another account is any account except root and the user who runs this program. An account that may write to a
folder on the path of a file can replace the file, so each of these folders counts. A folder with the sticky
bit is safe: in it, an account may rename only its own files. A group without other members is safe, too; most
systems create one for each user.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from inspector.errors import FolderError, UsageError

_OTHERS_MAY_WRITE: Final = "WELD_OTHERS_MAY_WRITE"
_CAMERA_GROUP: Final = "camera"  # owns the drop folder, as deploy/sysusers.conf makes it
_OVERFLOW_ID: Final = 65_534  # the number of every account that a user namespace does not know


def environment_allows_others() -> bool:
    """Return whether the environment says that files which others can write are meant."""
    return os.environ.get(_OTHERS_MAY_WRITE, "").lower() in ("1", "true", "yes", "on")


def require_protected_settings(path: Path) -> None:
    """Refuse a settings file that other accounts can write. Its own ``others_may_write`` cannot allow that.

    Raises:
        UsageError: another account can, and the environment does not allow it.
    """
    if not environment_allows_others():
        require_protected(path, f"set {_OTHERS_MAY_WRITE}=true in the environment")


def require_protected_artifact(path: Path) -> None:
    """Refuse an artifact that others can write, since it holds code.

    Raises:
        UsageError: they can.
    """
    require_protected(path, f"set others_may_write: true, or {_OTHERS_MAY_WRITE}=true in the environment")


def require_protected(path: Path, fix: str) -> None:
    """Refuse a file that other accounts can write or replace.

    Args:
        path: an existing file.
        fix: advice for a file that others may write on purpose.

    Raises:
        UsageError: another account can, or the file is missing.
    """
    given, real = path.absolute(), path.resolve()
    for component in dict.fromkeys([real, *real.parents, *given.parents]):
        try:
            problem = _other_writer(component)
        except OSError as error:
            raise UsageError(f"{component}: {error.strerror}") from None
        if problem:
            raise UsageError(f"{path} is not safe: {problem}; or, if that is intended, {fix}")


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
    except KeyError:  # this machine has no name for the group
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
    """Refuse a drop folder from which this user could not move the files of other accounts.

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
        raise FolderError(f"{drop} has the sticky bit: it keeps other users' files there; chmod -t {drop}")
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
        FolderError: the account may not reach or write to the folder, or its files would keep its own group.
    """
    account, groups = _account(user)
    if folder := _barrier(drop.resolve(), account.pw_uid, groups):
        raise FolderError(
            f"{user} may not pass through {folder}; put the drop folder where {user} may go, beside the "
            f"station's own folder, or chmod o+x {folder} if it holds nothing else"
        )
    about = drop.stat()
    if not _may(drop, account.pw_uid, groups, stat.S_IWOTH | stat.S_IXOTH):
        raise FolderError(f"{user} may not write to {drop}; {_share(drop, about, user)}")
    if account.pw_uid != os.geteuid() and not about.st_mode & stat.S_ISGID:
        raise FolderError(
            f"{drop} lacks the set-group-ID bit: what {user} writes keeps {user}'s own group, "
            f"and this user may not read it; chmod g+s {drop}"
        )


def may_not_change(user: str, folders: Iterable[Path], files: Iterable[Path]) -> None:
    """Refuse folders of the station that another account can enter, and files that it can read.

    A file belongs to the account that wrote it until a copy of the station's own takes its place, and an
    earlier version made no copies. In a folder that it can enter the account can change such a file. An
    account that can read a SQLite file can lock it.

    Raises:
        UsageError: there is no such account.
        FolderError: the account can enter a folder or read a file.
    """
    account, groups = _account(user)
    if account.pw_uid in (0, os.geteuid()):
        return
    for places, right, verb in ((folders, stat.S_IXOTH, "enter"), (files, stat.S_IROTH, "read")):
        for place in places:
            if not place.exists() or _barrier(place.resolve(), account.pw_uid, groups):
                continue
            if _may(place, account.pw_uid, groups, right):
                about = place.stat()
                is_member = about.st_gid in groups and about.st_uid != account.pw_uid
                remedy = f"; take it out of the group {_group(about.st_gid)}" if is_member else ""
                mode = "0750" if verb == "enter" else "0640"
                raise FolderError(f"{user} may {verb} {place}, and so change results; chmod {mode}{remedy}")


def members(group: str) -> list[str]:
    """Return the accounts of this machine that are in a group, sorted; none if there is no such group."""
    try:
        about = grp.getgrnam(group)
    except KeyError:
        return []
    accounts = pwd.getpwall()
    return sorted(
        {user.pw_name for user in accounts if user.pw_gid == about.gr_gid}
        | {user.pw_name for user in accounts if user.pw_name in about.gr_mem}
    )


def may_look(user: str, folders: Iterable[Path], files: Iterable[Path]) -> None:
    """Refuse folders that an account cannot list, and files that it cannot read.

    Raises:
        FolderError: the account cannot; the message names the command that lets it.
    """
    account, groups = _account(user)
    list_folder = stat.S_IROTH | stat.S_IXOTH
    for places, right, letters in ((folders, list_folder, "g+rx"), (files, stat.S_IROTH, "g+r")):
        for place in places:
            if not place.exists():
                continue
            barrier = _barrier(place.resolve(), account.pw_uid, groups)
            if barrier is None and _may(place, account.pw_uid, groups, right):
                continue
            closed = barrier or place
            group = _group(place.stat().st_gid)
            fix = (
                f"chmod {'g+x' if barrier else letters} {closed}"
                if closed.stat().st_gid in groups
                else f"usermod --append --groups {group} {user}"
            )
            raise FolderError(f"{user} may not read {place}; as root: {fix}")


def owner_to_run_as(folder: Path) -> str | None:
    """Return the user that a station's folder belongs to, if that is neither this user nor root."""
    try:
        owner = folder.stat().st_uid
    except OSError:
        return None
    return None if owner in (0, os.geteuid()) else _user(owner)


def _account(user: str) -> tuple[pwd.struct_passwd, set[int]]:
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        raise UsageError(f"there is no account {user!r} on this machine; correct --camera-user") from None
    return account, set(os.getgrouplist(user, account.pw_gid))


def _barrier(place: Path, user: int, groups: set[int]) -> Path | None:
    """Return the first folder on the way to a place that an account may not pass through, or None."""
    for folder in reversed(place.parents):
        if not _may(folder, user, groups, stat.S_IXOTH):
            return folder
    return None


def _share(drop: Path, about: os.stat_result, user: str) -> str:
    """Return how an account and this user can share a drop folder: by a group for this purpose only.

    A group of the system, or the service's own group, would give the account access to more than this folder.
    """
    group, fix = _group(about.st_gid), f"chmod 2770 {drop}"
    if group == _CAMERA_GROUP:
        return f"usermod -aG {group} {user}, {fix}"
    members = f"usermod -aG {_CAMERA_GROUP} {user}, usermod -aG {_CAMERA_GROUP} {_user(os.geteuid())}"
    return f"groupadd -f {_CAMERA_GROUP}, {members}, chgrp {_CAMERA_GROUP} {drop}, {fix}"


def _may(folder: Path, user: int, groups: set[int], bits: int) -> bool:
    """Whether the folder's mode gives an account these rights; ``bits`` are the last three, as for others."""
    about = folder.stat()
    if user == 0:
        return True
    shift = 6 if about.st_uid == user else 3 if about.st_gid in groups else 0
    return about.st_mode >> shift & bits == bits
