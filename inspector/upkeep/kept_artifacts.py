"""The artifact in force and the last ones before it, as files of one folder, exchanged whole.

A kept file is called ``weldnet.pt.kept-NUMBER-DIGITS``. A higher number was in force later. The digits begin
the SHA-256 of the file, so that damage is noticed, and so that the artifact in force is found among the kept
ones. It is one of them after going back: then the next lower number comes before it. Each step is one rename,
so after a crash between any two of them the artifact is whole, and the order is still right.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inspector.errors import FolderError
from inspector.network.metadata import ArtifactFile
from inspector.station.whole_files import flush_names

MAX_KEPT: Final = 3  # besides the one in force, of some megabytes each
_DIGITS: Final = 16
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Kept:
    """An artifact that was in force, by its file's name."""

    path: Path
    number: int
    digits: str

    def is_of(self, sha256: str) -> bool:
        """Whether the file should have this hash."""
        return sha256.startswith(self.digits)


def kept(artifact: Path) -> list[Kept]:
    """Return the kept files of an artifact's path, lowest number first."""
    form = re.compile(re.escape(artifact.name) + rf"\.kept-(\d{{1,9}})-([0-9a-f]{{{_DIGITS}}})")
    found = [
        Kept(path, int(match[1]), match[2])
        for path in artifact.parent.iterdir()
        if (match := form.fullmatch(path.name))
    ]
    return sorted(found, key=lambda each: each.number)


def previous(artifact: Path, sha256: str | None) -> Kept | None:
    """Return the kept file that comes before the one in force; None if there is none.

    Args:
        artifact: its path.
        sha256: hash of the one in force; None if there is no file.
    """
    others = kept(artifact)
    if sha256 is not None:
        place = max((each.number for each in others if each.is_of(sha256)), default=None)
        others = [e for e in others if not e.is_of(sha256) and (place is None or e.number < place)]
    return others[-1] if others else None


def exchange(
    artifact: Path,
    old: ArtifactFile | None,
    new: ArtifactFile,
    announce: Callable[[], None],
    *,
    goes_back: bool,
) -> None:
    """Keep the old file, and put the new one in its place.

    Args:
        artifact: the path of both.
        old: the file that is there, to be kept; None if it is not to be kept, or there is none.
        new: the one that takes its place.
        announce: writes the event, between the last step that may fail and the exchange.
        goes_back: the new one is the previous one, so the order of the kept files remains.

    Raises:
        FolderError: this account may not keep the file's owner and group.
        OSError: the folder is full or not writable; the old file is in its place.
    """
    if old is not None:
        _keep(artifact, old.data, old.sha256)
    for file in (old, new) if not goes_back else ():
        if file is not None:
            _make_latest(artifact, file.sha256)
    staged = _stage(artifact, new.data)
    try:
        announce()
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    _put_in_place(staged, artifact)


def prune(artifact: Path, sha256: str) -> None:
    """Remove the lowest numbers, so that ``MAX_KEPT`` remain besides the artifact in force.

    Args:
        artifact: its path.
        sha256: hash of the one in force.

    Raises:
        OSError: the folder is not writable.
    """
    for each in [each for each in kept(artifact) if not each.is_of(sha256)][:-MAX_KEPT]:
        each.path.unlink(missing_ok=True)


def _keep(artifact: Path, content: bytes, sha256: str) -> None:
    """Keep the artifact in force under the highest number, unless it is kept."""
    numbered = kept(artifact)
    if not any(each.is_of(sha256) for each in numbered):
        number = numbered[-1].number + 1 if numbered else 1
        _put_in_place(_stage(artifact, content), _name(artifact, number, sha256))


def _make_latest(artifact: Path, sha256: str) -> None:
    """Give an artifact the highest number, if it is kept: the next one comes after it."""
    numbered = kept(artifact)
    for each in numbered:
        if each.is_of(sha256) and each is not numbered[-1]:
            _put_in_place(each.path, _name(artifact, numbered[-1].number + 1, sha256))


def _stage(artifact: Path, content: bytes) -> Path:
    """Write a file beside the artifact, with its owner, group and mode, and flush it; return its path.

    Without an artifact the file belongs to the folder's owner, and only its group may read it.
    """
    like = artifact.stat() if artifact.exists() else None
    folder = artifact.parent.stat()
    owner, group, mode = (like.st_uid, like.st_gid, like.st_mode & 0o777) if like else (*_ids(folder), 0o640)
    staged = artifact.with_name(f".{artifact.name}.new")
    staged.unlink(missing_ok=True)  # what a crash left
    with os.fdopen(os.open(staged, _NEW_FILE, 0o600), "wb") as stream:
        try:
            if _ids(os.fstat(stream.fileno())) != (owner, group):
                os.fchown(stream.fileno(), owner, group)
        except PermissionError:
            staged.unlink()
            raise FolderError(
                f"{artifact}: this account may not keep the file's owner and group ({owner}:{group}); run "
                "this with sudo, or as a member of that group"
            ) from None
        os.fchmod(stream.fileno(), mode)
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    return staged


def _put_in_place(staged: Path, path: Path) -> None:
    """Rename a file in its folder, and flush the folder: a power cut leaves the old or the new one, whole."""
    staged.replace(path)
    flush_names(path.parent)


def require_exchangeable(artifact: Path) -> None:
    """Refuse a path at which this account cannot exchange the file.

    Raises:
        FolderError: the account may not write to the folder, or the path is a link.
    """
    if artifact.is_symlink():
        raise FolderError(
            f"{artifact}: is a symbolic link, which would become a file; set 'artifact' to the file, or "
            "change the link by hand and reload"
        )
    if not os.access(artifact.parent, os.W_OK | os.X_OK):
        raise FolderError(
            f"{artifact}: this account may not write to {artifact.parent}; run this as the artifact's "
            "owner, or with sudo"
        )


def _name(artifact: Path, number: int, sha256: str) -> Path:
    return artifact.with_name(f"{artifact.name}.kept-{number:04}-{sha256[:_DIGITS]}")


def _ids(about: os.stat_result) -> tuple[int, int]:
    return about.st_uid, about.st_gid
