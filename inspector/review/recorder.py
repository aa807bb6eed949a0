"""The way of what people say into the ledger: by this account's own rights, or through the review service."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import tzinfo
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.engine import URL

from inspector.errors import UsageError
from inspector.ledger import database
from inspector.ledger.store import Store
from inspector.records import Review, SeamReview, SignalNote
from inspector.review import verdicts
from inspector.review.client import ServiceClient
from inspector.review.service import socket_of


class Recorder(Protocol):
    """Adds verdicts, samples and notes to the ledger."""

    @property
    def account(self) -> str | None:
        """The name that every verdict gets; None: each verdict has a name of its own."""

    def record(self, reviews: Sequence[Review | SeamReview], *, new_class: bool = False) -> int:
        """Write verdicts without :func:`~inspector.review.verdicts.mistakes`, all of them or none.

        Returns:
            Number of rows added.

        Raises:
            UsageError: this account may not add verdicts.
            StoreUnavailable: an outage.
        """

    def note_signal(self, note: SignalNote) -> int:
        """Write a note on a signal; one whose key is in the ledger adds no row.

        Returns:
            Number of rows added.

        Raises:
            UsageError: the note names no cause or person, or this account may not add notes.
            StoreUnavailable: an outage.
        """

    def draw(
        self,
        count: int,
        *,
        seed: int,
        since: str | None = None,
        until: str | None = None,
        part: str | None = None,
    ) -> verdicts.Draw:
        """Draw a random sample of PASS images; see :func:`inspector.review.verdicts.draw`."""


@contextmanager
def open_recorder(url: URL, station: str, *, seam_gap_s: float, zone: tzinfo) -> Iterator[Recorder]:
    """Provide what adds verdicts to the ledger: the service if this account may not write to a SQLite file.

    Args:
        url: the quality database.
        station: whose PASS images a sample is drawn from.
        seam_gap_s: see :meth:`inspector.ledger.store.Store.open`.
        zone: the station's time zone.

    Raises:
        SchemaError: the database lacks the schema.
        StoreUnavailable: the server or the service does not answer.
    """
    file = Path(url.database or "") if url.get_backend_name() == "sqlite" else None
    if file is not None and os.access(file, os.F_OK) and not _may_write(file):
        client = ServiceClient(socket_of(file))
        try:
            yield client
        finally:
            client.close()
        return
    with Store.open(url, station, seam_gap_s=seam_gap_s) as store:
        yield _OwnRights(store, url, zone)


def _may_write(file: Path) -> bool:
    return os.access(file, os.W_OK) and os.access(file.parent, os.W_OK | os.X_OK)


class _OwnRights:
    """An account that may write to the SQLite file, or a user of PostgreSQL."""

    def __init__(self, store: Store, url: URL, zone: tzinfo) -> None:
        self._store = store
        self._url = url
        self._zone = zone
        self.account = _demanded_name(url)

    def record(self, reviews: Sequence[Review | SeamReview], *, new_class: bool = False) -> int:
        return self._store.record_reviews(reviews)

    def note_signal(self, note: SignalNote) -> int:
        if (mistake := verdicts.note_mistake(note)) is not None:
            raise UsageError(mistake)
        return self._store.record_signal_note(note)

    def draw(
        self,
        count: int,
        *,
        seed: int,
        since: str | None = None,
        until: str | None = None,
        part: str | None = None,
    ) -> verdicts.Draw:
        return verdicts.draw(
            self._store, self._url, count, seed=seed, since=since, until=until, part=part, zone=self._zone
        )


def _demanded_name(url: URL) -> str | None:
    """Return the name that PostgreSQL demands of a user who may only review: ``sign_review`` in roles.sql."""
    if url.get_backend_name() == "sqlite":
        return None
    query = sa.text(
        "SELECT session_user WHERE NOT has_table_privilege('review', 'INSERT')"
        " AND NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'weldnet_console'"
        " AND pg_has_role(session_user, oid, 'MEMBER'))"
    )
    with database.reading(url) as engine, database.transaction(engine) as connection:
        name: str | None = connection.scalar(query)
    return name
