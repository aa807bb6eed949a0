"""The shadow: a candidate judges archived images too, while the station has nothing else to do.

- Images wait in a queue of limited length. If it is full, the newest ones are left out; in an outage of the
  database, all.
- One image at a time is with a worker, and only while no file is in work. So a file that comes meanwhile
  finds the other workers free, and a single worker after some ten milliseconds.
- Whatever goes wrong is one event and a pause. The station goes on, and the image has no row.

``weld-inspect rejudge`` with the same artifact judges later what was left out or failed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from datetime import UTC
from functools import partial
from typing import Final

from inspector.errors import StoreUnavailable
from inspector.ledger.store import Store
from inspector.records import InForce, Rejudgement
from inspector.station.events import Events
from inspector.station.second_opinion import Archived, SecondOpinion
from inspector.station.workers import Workers
from inspector.times import iso

MAX_WAITING: Final = 10_000  # images: their names take 3 MB, and a busy hour of a fast camera fits
_ROWS_AT_ONCE: Final = 50  # one transaction: the station's next commit waits for it a few milliseconds
_PAUSE_S: Final = 30.0  # after a fault, which may pass


class Shadow:
    """The images that wait for a second opinion, and the candidate that gives it, if there is one.

    Args:
        events: of the station.
        count: gets ``judged``, ``left_out`` or ``failed`` for each image.
        monotonic: seconds.
    """

    def __init__(
        self,
        events: Events,
        count: Callable[[str, int], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._events = events
        self._count = count
        self._monotonic = monotonic
        self.put_in_force(None, every=1)
        self._offered = 0
        self._waiting: deque[Archived] = deque()  # the main thread adds, the worker takes
        self._rows: list[Rejudgement] = []  # only the worker's while it works
        self._working: Future[None] | None = None
        self._not_before = monotonic()

    def put_in_force(self, opinion: SecondOpinion | None, every: int) -> None:
        """Let this candidate judge every so many images from now on; nothing may be at work."""
        self._opinion, self._every = opinion, every
        self._in_force: InForce | None = None
        self._run = f"shadow {iso(time.time_ns() // 1000, UTC)}"

    def offer(self, images: Iterable[Archived]) -> None:
        """Let every so many of these images wait for the candidate."""
        if self._opinion is None:
            return
        for image in images:
            self._offered += 1
            if self._offered % self._every:
                continue
            if len(self._waiting) < MAX_WAITING:
                self._waiting.append(image)
            else:
                self._count("left_out", 1)

    def go_on(self, workers: Workers, store: Store, *, is_idle: bool) -> None:
        """Give the next image to a worker if the station is idle and the last one is done."""
        if self._working is not None:
            if not self._working.done():
                return
            self._end_of_work()
        has_work = bool(self._waiting or self._rows) and self._monotonic() >= self._not_before
        if is_idle and has_work and self._opinion is not None:
            self._working = workers.submit(partial(self._work, self._opinion), store)

    def finish(self, store: Store) -> None:
        """Wait for the image at work, and record what was judged; the images that wait go on waiting."""
        if self._working is not None:
            wait([self._working])
            self._end_of_work()
        try:
            if self._opinion is not None:
                self._record(self._opinion, store, self._rows)
        except Exception as error:  # noqa: BLE001 - no fault of the shadow is the station's
            self._report(error)
        self._drop(self._rows)

    def forget(self) -> None:
        """Leave out all images that wait: after an outage their numbers may be those of others."""
        self._count("left_out", len(self._waiting) + len(self._rows))
        self._waiting, self._rows, self._in_force = deque(), [], None

    def _work(self, opinion: SecondOpinion, store: Store) -> None:
        """Judge one image, in a worker; record when many rows have come together, or no image waits."""
        waiting, rows = self._waiting, self._rows  # forget() puts others in their place
        if waiting and len(rows) < _ROWS_AT_ONCE:
            image = waiting.popleft()
            try:
                judged, unread = opinion.on([image])
            except BaseException:
                self._count("failed", 1)
                raise
            self._count("failed", len(unread))
            rows += judged
        if len(rows) >= _ROWS_AT_ONCE or not waiting:
            self._record(opinion, store, rows)

    def _record(self, opinion: SecondOpinion, store: Store, rows: list[Rejudgement]) -> None:
        if not rows or rows is not self._rows:
            return
        try:
            in_force = self._in_force = self._in_force or opinion.register(store)
            store.record_rejudgements(rows, self._run, in_force)
        except StoreUnavailable:  # the rows are sent again
            self._in_force = None
            raise
        except BaseException:
            self._drop(rows)
            raise
        self._count("judged", len(rows))
        rows.clear()

    def _drop(self, rows: list[Rejudgement]) -> None:
        self._count("failed", len(rows))
        rows.clear()

    def _end_of_work(self) -> None:
        working, self._working = self._working, None
        if working is not None and (error := working.exception()) is not None:
            self._report(error)

    def _report(self, error: BaseException) -> None:
        self._not_before = self._monotonic() + _PAUSE_S
        self._events.add_once("shadow_failed", " ".join(str(error).split()) or type(error).__name__)
