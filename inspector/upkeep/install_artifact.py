"""A change of the artifact in force: prove it, keep the one before, exchange the file, reload, or go back.

After a crash between any two steps the artifact's file is the old or the new one, whole, and the same command
finishes the work. The event is written before the exchange, so that no artifact judges without one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inspector import locks, permissions
from inspector.errors import ArtifactError, FolderError, SettingsError, StationError, UsageError
from inspector.network import artifact as artifacts
from inspector.network.classifier import Classifier
from inspector.network.metadata import ArtifactFile, Metadata
from inspector.records import ArtifactInUse
from inspector.settings import Settings
from inspector.upkeep import daemon_reload, kept_artifacts
from inspector.upkeep.daemon_reload import Answer
from inspector.upkeep.decided_images import Judge

INSTALLED: Final = "artifact_installed"
RESTORED: Final = "artifact_restored"

Record = Callable[[str, str], None]  # writes an event of a kind


@dataclass(frozen=True, slots=True)
class Candidate:
    """An artifact that was proved here, with the bytes that were proved."""

    file: ArtifactFile
    judge: Judge

    @property
    def name(self) -> ArtifactInUse:
        """The artifact as events and the health page name it."""
        about = self.judge.artifact.metadata
        return ArtifactInUse(about.name, about.version, self.judge.artifact.sha256)


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the artifact in force; see :func:`exchange`."""

    kind: str  # INSTALLED or RESTORED
    old: ArtifactFile | None
    new: Candidate
    author: str  # the account, and the reason


@contextmanager
def exclusively(config: Path, settings: Settings) -> Iterator[None]:
    """Refuse an account that cannot exchange the artifact, and any second command at work during the block.

    Raises:
        UsageError: another account owns the artifact or may change the settings, or this one may not write.
        StationError: another command is at work.
    """
    permissions.require_protected_settings(config)
    place = settings.artifact
    if owner := permissions.owner_to_run_as(place if place.exists() else place.parent):
        raise FolderError(
            f"{place} belongs to {owner}, and this is another account; run it as that one: "
            f"runuser -u {owner} -- weld-inspect install-artifact … --config {config}"
        )
    kept_artifacts.require_exchangeable(place)
    with locks.install_lock(place):
        yield


def in_force(settings: Settings) -> ArtifactFile | None:
    """Read the artifact that the settings name; None if there is no such file.

    Raises:
        ArtifactError: it cannot be read, or other users can write it.
    """
    if not settings.artifact.exists():
        return None
    return ArtifactFile.read(settings.artifact, others_may_write=settings.others_may_write)


def prove(path: Path, config: Path, settings: Settings) -> Candidate:
    """Prove a new artifact: golden frames on this processor, training verdict, and the station's settings.

    Raises:
        ArtifactError: it is not fit for this station, or ``artifact_sha256`` asks for another file.
        SettingsError: ``thresholds`` name a class that it does not fail.
    """
    return _proved(ArtifactFile.read(path, others_may_write=settings.others_may_write), config, settings)


def prove_previous(old: ArtifactFile | None, config: Path, settings: Settings) -> Candidate:
    """Prove the artifact that was in force before.

    Raises:
        UsageError: none is kept, it is damaged, or see :func:`prove`.
    """
    place = settings.artifact
    kept = kept_artifacts.previous(place, old.sha256 if old else None)
    if kept is None:
        raise UsageError(f"{place}: no earlier artifact is kept beside it; name the file to install")
    file = ArtifactFile.read(kept.path, others_may_write=settings.others_may_write)
    if not kept.is_of(file.sha256):
        raise ArtifactError(
            f"{kept.path}: is damaged: its SHA-256 begins with {file.sha256[:16]}, and not as its name says; "
            "remove it, and --back takes the one before"
        )
    return _proved(file, config, settings)


def _proved(file: ArtifactFile, config: Path, settings: Settings) -> Candidate:
    if settings.artifact_sha256 not in (None, file.sha256):
        raise ArtifactError(
            f"{file.path}: has SHA-256 {file.sha256}, and artifact_sha256 allows only "
            f"{settings.artifact_sha256}; set artifact_sha256: {file.sha256} in {config}, then run this again"
        )
    opened = artifacts.open_file(file, accept_unfit=settings.accept_unfit_artifact)
    try:
        classifier = Classifier(opened, settings.thresholds)
    except SettingsError as error:
        raise SettingsError(f"{file.path}: {error}; correct 'thresholds' in {config} first") from None
    return Candidate(file, Judge(opened, classifier))


def differences(old: ArtifactFile | None, new: Metadata) -> list[str]:
    """Return in words how the classes of an artifact differ from those of the one in force."""
    try:
        before = {each.name: each.role for each in old.metadata().classes} if old else {}
    except ArtifactError:  # it is damaged, which is why it is exchanged
        return []
    if not before:
        return []
    after = {each.name: each.role for each in new.classes}
    added = [f"new class '{name}' ({role})" for name, role in after.items() if name not in before]
    gone = [f"no class '{name}' ({role}) any more" for name, role in before.items() if name not in after]
    both = [name for name in after if name in before]
    moved = [f"'{n}' is {after[n]} now, not {before[n]}" for n in both if after[n] != before[n]]
    return added + gone + moved


def exchange(change: Change, settings: Settings, record: Record) -> None:
    """Keep the old file, write the event, and put the new file in its place.

    Raises:
        StoreUnavailable: the event cannot be written; the old file stays.
        StationError: the folder is full, or the file cannot be exchanged; the old file stays.
    """
    place, goes_back = settings.artifact, change.kind == RESTORED

    def announce() -> None:
        record(change.kind, _detail(change))

    try:
        kept_artifacts.exchange(place, change.old, change.new.file, announce, goes_back=goes_back)
    except OSError as error:
        raise StationError(
            f"{place}: cannot be exchanged: {error.strerror}; free some space or correct the folder's "
            "rights, then run this again"
        ) from None


def put_in_force(change: Change, settings: Settings, record: Record) -> Answer:
    """Exchange the file, and let a running daemon take it; if the daemon refuses, put the old file back.

    If the new file is in place already, only the daemon is asked: an earlier command was interrupted.

    Raises:
        StationError: the daemon refuses, and the old file is in place again; or it gives no answer.
        UsageError, StoreUnavailable: see :func:`exchange` and :func:`inspector.upkeep.daemon_reload.reload`.
    """
    is_there = change.old is not None and change.old.sha256 == change.new.file.sha256
    if not is_there:
        exchange(change, settings, record)
    new = change.new.name
    answer, detail = daemon_reload.reload(
        settings.url, settings.station, settings.quarantine_folder, str(new)
    )
    if answer is Answer.NO_ANSWER:
        raise StationError(
            f"{settings.artifact} is {new} now, but the daemon has not said that it judges by it; "
            "'weld-inspect status' shows what keeps it, and 'systemctl reload' asks again"
        )
    if answer is Answer.REFUSED:
        if is_there or change.old is None:
            raise StationError(f"the daemon refuses {new}: {detail}")
        _put_back(change.old, new, settings, record, detail)
        raise StationError(f"the daemon refuses {new}, so the old file is in its place again: {detail}")
    kept_artifacts.prune(settings.artifact, change.new.file.sha256)
    return answer


def _put_back(old: ArtifactFile, new: ArtifactInUse, settings: Settings, record: Record, why: str) -> None:
    """Put the old file back; it is kept already, and the daemon has kept its network in memory."""
    text = f"{_described(old)} instead of {_named(new)}; the daemon refused: {why}"
    kept_artifacts.exchange(settings.artifact, None, old, lambda: record(RESTORED, text), goes_back=True)


def _detail(change: Change) -> str:
    old = _described(change.old) if change.old else "no file"
    return f"{_named(change.new.name)} instead of {old}; {change.author}"


def _described(file: ArtifactFile) -> str:
    try:
        about = file.metadata()
    except ArtifactError:
        return f"a file without metadata ({file.sha256})"
    return _named(ArtifactInUse(about.name, about.version, file.sha256))


def _named(artifact: ArtifactInUse) -> str:
    """Name an artifact with its whole hash."""
    return f"{artifact.name} {artifact.version} ({artifact.sha256})"
