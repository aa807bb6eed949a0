"""The images that wait for a person, in some order; each is one person's for some minutes."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

import sqlalchemy as sa

from inspector.console import blind
from inspector.console.state import Console
from inspector.ledger import database
from inspector.ledger.schema import audit_sample, review
from inspector.ledger.schema import inspection as inspections
from inspector.records import Verdict
from inspector.reports.query import Query, run

SECOND: Final = "second"  # why an image waits: a second person is to read an audit sample
_FRESH_S: Final = 10.0  # for so long a list serves everybody: reading it counts all that waits ...
_FRESH_TIMES: Final = (
    20.0  # ... and for so many times as long as it took, so that it costs 5% of a core at most
)
_LENGTH: Final = 200  # images of a list, as of a kind in the report review_queue
_RECENT: Final = 50_000  # images among which an order looks, so that a table of millions takes no longer
_MAX_HELD: Final = 50  # images that one window keeps from others; the page holds six
_ANSWERED_S: Final = 600.0  # a list that was read this long ago is gone


class Order(StrEnum):
    """The orders of the queue."""

    QUEUE = "queue"  # as 'review next': REVIEW, audit samples, certain FAILs, undecided
    LEAST_CERTAIN = "least_certain"
    MOST_NOVEL = "most_novel"
    DIFFER = "differ"  # station and person say PASS and FAIL, or FAIL and PASS


class Waiting(NamedTuple):
    """An image that waits, and why: a kind of the report ``review_queue``, ``second``, or the order."""

    inspection: int
    why: str
    not_for: str | None = None  # the person who has looked at it already


class Wish(NamedTuple):
    """What a person wants to see; None: everything."""

    order: Order = Order.QUEUE
    why: str | None = None
    part: str | None = None


class Holder(NamedTuple):
    """Who holds an image: a person, in one window of a browser."""

    person: str
    window: str


class _Read(NamedTuple):
    """A list as it was read from the database."""

    at: float
    images: list[Waiting]
    total: int  # of all that wait, also beyond the list
    until: float  # so long it is fresh


class WaitingImages:
    """The queue of one console, for all its people. Threads may use it.

    Leases are in memory: after a restart two people may get the same image, and then both verdicts are kept.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._reading = threading.Lock()  # one reads, the others take what it has read
        self._lists: dict[Wish, _Read] = {}
        self._leases: dict[int, tuple[Holder, float]] = {}
        self._answered: dict[int, float] = {}

    def take(
        self, holder: Holder, wish: Wish, count: int, held: Sequence[int], skip: Sequence[int]
    ) -> tuple[list[Waiting], int]:
        """Give the next images to a holder, and the number of images that wait.

        An image that the holder got before does not come again while its lease runs: its verdict may still
        be on the way, behind more others than an address can name.

        Args:
            holder: who asks; nobody else gets these images for some minutes.
            wish: the images to choose from, and their order.
            count: the largest number of images.
            held: images that the holder has and goes on looking at: their leases begin again.
            skip: other images that the holder does not want.
        """
        for is_second_try in (False, True):
            unwanted = {*held, *skip}
            read = self._read(wish, is_second_try=is_second_try)
            now = time.monotonic()
            with self._lock:
                self._forget(now)
                until = now + self._console.lease_minutes * 60
                for number in held[:_MAX_HELD]:
                    if self._leases.get(number, (holder, until))[0] == holder:
                        self._leases[number] = holder, until
                free: list[Waiting] = []
                for image in read.images:
                    if (
                        len(free) < count
                        and image.inspection not in unwanted
                        and image.not_for != holder.person
                        and image.inspection not in self._leases
                        and self._answered.get(image.inspection, 0.0) < read.at
                    ):
                        free.append(image)
                        unwanted.add(image.inspection)  # a list may have it for two reasons
                if free or is_second_try:
                    self._leases |= {image.inspection: (holder, until) for image in free}
                    return free, read.total
        raise AssertionError  # the second try returns

    def answered(self, number: int) -> None:
        """Note that an image has a new verdict: it leaves the lists read before, and is nobody's."""
        with self._lock:
            self._answered[number] = time.monotonic()
            self._leases.pop(number, None)

    def give_back(self, holder: Holder) -> None:
        """Let others have the images that a holder has."""
        with self._lock:
            self._leases = {number: lease for number, lease in self._leases.items() if lease[0] != holder}

    def _forget(self, now: float) -> None:
        self._leases = {number: lease for number, lease in self._leases.items() if lease[1] > now}
        self._answered = {number: at for number, at in self._answered.items() if at > now - _ANSWERED_S}

    def _read(self, wish: Wish, *, is_second_try: bool) -> _Read:
        with self._reading:
            before, now = self._lists.get(wish), time.monotonic()
            # Not read again twice within a second, however many people wait for an empty queue.
            if before is not None and now < (before.at + 1.0 if is_second_try else before.until):
                return before
            images, count = _from_database(self._console, wish)
            took = time.monotonic() - now
            read = _Read(now, images, count, now + max(_FRESH_S, _FRESH_TIMES * took))
            self._lists = {known: one for known, one in self._lists.items() if one.until > now}
            self._lists[wish] = read
            return read


def _from_database(console: Console, wish: Wish) -> tuple[list[Waiting], int]:
    if wish.order is not Order.QUEUE:
        images = _ordered(console, wish)
        return images, len(images)
    report = run(console.url, Query("review_queue", part=wish.part, zone=console.zone))
    kinds, numbers, totals = (report.columns.index(name) for name in ("why", "id", "waiting"))
    rows = [row for row in report.rows if wish.why in (None, row[kinds])]
    images = [Waiting(row[numbers], row[kinds]) for row in rows]
    count = sum({row[kinds]: row[totals] for row in rows}.values())
    before = sum(image.why in ("review", "audit") for image in images)
    undecided = [image.inspection for image in images if image.why == "undecided"]
    with database.reading(console.url) as engine, database.transaction(engine) as connection:
        audited = blind.audited(connection, undecided)
        second = (
            blind.second_looks(connection, console.second_share, part=wish.part, limit=_LENGTH)
            if wish.why in (None, SECOND)
            else []
        )
    # That the first reader could not decide would sway the next one.
    images = [image._replace(why="audit") if image.inspection in audited else image for image in images]
    seconds = [Waiting(number, SECOND, reader) for number, reader in second]
    return [*images[:before], *seconds, *images[before:]], count + len(seconds)


def _ordered(console: Console, wish: Wish) -> list[Waiting]:
    """The first images of an order, among the latest ones."""
    c = inspections.c
    newest = sa.select(sa.func.max(review.c.id)).where(review.c.inspection_id == c.id)
    latest = review.alias("latest")
    reviewed = latest.c.id == newest.correlate(inspections).scalar_subquery()
    recent = c.id > sa.select(sa.func.max(c.id)).scalar_subquery() - _RECENT
    joined = inspections.outerjoin(latest, reviewed)
    # Its place in such an order would say of an audit sample what must stay hidden.
    is_audited = sa.exists().where(audit_sample.c.inspection_id == c.id)
    query = sa.select(c.id, latest.c.reviewer).select_from(joined).where(recent, ~is_audited).limit(_LENGTH)
    if wish.part is not None:
        query = query.where(c.part == wish.part)
    passed, failed = Verdict.PASS.value, Verdict.FAIL.value
    match wish.order:
        case Order.LEAST_CERTAIN:
            query = query.where(latest.c.id.is_(None)).order_by(c.confidence, c.id)
        case Order.MOST_NOVEL:
            query = query.where(latest.c.id.is_(None), c.novelty > 0).order_by(c.novelty.desc(), c.id)
        case _:
            opposite = sa.or_(
                sa.and_(c.verdict == passed, latest.c.verdict == failed),
                sa.and_(c.verdict == failed, latest.c.verdict == passed),
            )
            query = query.where(opposite).order_by(latest.c.id.desc())
    with database.reading(console.url) as engine, database.transaction(engine) as connection:
        database.require_schema(connection)
        # Of a difference the one who made it has said all; a colleague is to look.
        return [Waiting(number, wish.order.value, reader) for number, reader in connection.execute(query)]
