"""Finds an installer's mistakes before the first shift; each finding says what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from inspector import artifact
from inspector.archive import Archive
from inspector.classifier import Classifier
from inspector.errors import StationError
from inspector.settings import Settings
from inspector.store import Store


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried."""

    what: str
    ok: bool
    detail: str


def findings(settings: Settings) -> Iterator[Finding]:
    """Try, in the order in which the daemon would need them: folders, artifact, database.

    Nothing is left behind but the folders for archive and quarantine.
    """
    yield _try("folders", lambda: _folders(settings))
    yield _try("artifact", lambda: _artifact(settings))
    yield _try("database", lambda: _database(settings))


def _try(what: str, work: Callable[[], str]) -> Finding:
    try:
        return Finding(what, ok=True, detail=work())
    except StationError as error:
        return Finding(what, ok=False, detail=str(error))


def _folders(settings: Settings) -> str:
    Archive(settings.drop_folder, settings.archive_folder, settings.quarantine_folder)
    return f"files move from {settings.drop_folder} to archive and quarantine by rename"


def _artifact(settings: Settings) -> str:
    opened = artifact.open(settings.artifact, sha256=settings.artifact_sha256)
    Classifier(opened, settings.thresholds)
    about = opened.metadata
    return (
        f"{settings.artifact}: {about.name} {about.version}, {len(about.classes)} classes, "
        f"{about.width}×{about.height}, golden frames agree"
    )


def _database(settings: Settings) -> str:
    with Store.open(settings.url, settings.station, seam_gap_s=settings.seam_gap_s):
        return f"{settings.url} answers, schema is up to date"
