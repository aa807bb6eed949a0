"""The story of a station's forwarder: verdicts of people from the centre, then batch after batch to it.

Rows go in the order of their numbers, so a reference never comes before its row, and one position for each
table says everything. New rows wait behind those of an outage. That wait is short, because the centre takes
hundreds or thousands of rows a second and a station makes a few. Each batch takes some rows of every table,
so an event or a verdict does not wait for a million images.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

from sqlalchemy.engine import URL, Row
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from inspector.errors import FolderError, StationError, StoreRefused, StoreUnavailable, Unavailable
from inspector.forwarding import thumbnails
from inspector.forwarding.centre import REQUESTS, VERDICTS, Centre
from inspector.forwarding.own import Batch, Own
from inspector.ledger.forwarded import Latest
from inspector.station.archive_places import ArchivePlace
from inspector.station.service import StopFlag

log = logging.getLogger("weldnet")

_LOOK_S = 5.0  # between two looks at the own ledger: each batch is a row at the centre, too
_ASK_S = 15.0  # between two looks for verdicts at the centre: a person there does not wait for them
_SIGN_OF_LIFE_S = 600.0  # a station without new rows says so this often; 'report fleet' shows who is silent
_MAX_PAUSE_S = 60.0  # between two tries during an outage: the centre's return is noticed within this time
_NOTE_S = 30.0  # between two notes in the own ledger, which are rows, too; its status may be so old
# A ledger that does not fit the position waits until the one that fits is silent for so long
_RIVAL_S = 600.0


@dataclass(frozen=True, slots=True)
class Sent:
    """Figures of a run; the fields of ``weld-inspect forward --json``."""

    sent: int
    behind: int
    seconds: float


def forward(
    url: URL, central_url: URL, station: str, archive: ArchivePlace, *, once: bool, stop: StopFlag
) -> Sent:
    """Send a station's rows, until none is left or for ever.

    Args:
        url: the station's own ledger.
        central_url: the central PostgreSQL.
        station: name of the station.
        archive: the station's images, of which people at the centre may ask for small pictures.
        once: end when nothing is left, and raise at an outage instead of waiting.
        stop: ends the work between two batches.

    Raises:
        UsageError: a URL is wrong, or a schema is missing or too old. After the first lap that is an outage,
            too: a database may be in the middle of a restore.
        Unavailable: an outage, if ``once``.
    """
    began = time.monotonic()
    with Forwarder(url, central_url, station, archive, stop) as forwarder:
        if once:
            forwarder.lap()
            forwarder.note()
        else:
            _for_ever(forwarder, stop)
        return Sent(forwarder.sent, forwarder.latest.behind, time.monotonic() - began)


def _for_ever(forwarder: Forwarder, stop: StopFlag) -> None:
    """Look for new rows again and again; wait out outages with growing random pauses."""
    has_begun = False

    def is_outage(error: BaseException) -> bool:
        return isinstance(error, StationError if has_begun else Unavailable)

    def note(state: RetryCallState) -> None:
        log.warning("%s; rows wait in the station's database", state.outcome and state.outcome.exception())
        forwarder.disconnect()  # the server of these connections may be a wrong one by now

    retrying = Retrying(
        retry=retry_if_exception(is_outage),
        wait=wait_random_exponential(multiplier=0.5, max=_MAX_PAUSE_S),
        before_sleep=note,
        sleep=stop.pause,
        stop=lambda _: stop.is_set,
        retry_error_callback=lambda _: None,  # a request to stop ends an outage without an error
    )
    while not stop.is_set:
        retrying(forwarder.lap)
        has_begun = True
        stop.pause(_LOOK_S)


class Forwarder:
    """Sender of a station's rows. Close it, or use it as a context manager.

    Args:
        url: the station's own ledger.
        central_url: the central PostgreSQL.
        station: name of the station.
        archive: the station's images.
        stop: ends a lap between two batches.

    Attributes:
        sent: rows since the start.
        latest: how far the station is.
    """

    def __init__(
        self, url: URL, central_url: URL, station: str, archive: ArchivePlace, stop: StopFlag
    ) -> None:
        self.sent = 0
        self.latest = Latest()
        self._own = Own(url, station)
        self._centre = Centre(central_url, station)
        self._archive = archive
        self._stop = stop
        self._is_connected = False
        self._returned: dict[str, int] = {}  # verdicts of the centre up to these are in the own ledger
        self._noted = Latest()  # what the own ledger knows
        self._next_note = self._next_question = 0.0  # monotonic seconds
        self._hindrance = ""  # of the pictures that wait, as it was logged

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.disconnect()

    def disconnect(self) -> None:
        """Close the connections; the next lap opens others."""
        self._is_connected = False
        self._own.close()
        self._centre.close()

    def lap(self) -> None:
        """Fetch verdicts and answer requests now and then, and send all rows that are there.

        Raises:
            StationError: a database does not answer, or refuses.
        """
        if not self._is_connected:
            self._own.open()
            self._centre.open()
            self.latest = self._centre.latest()
            self._returned = self.latest.returned
            self._is_connected = True
        if not self._own.has_station():  # it has never run: there is nothing to send
            return
        while not self._own.has(self.latest.positions):
            self._start_again()
        if time.monotonic() >= self._next_question:
            is_asked = self._fetch_verdicts()
            self._next_question = time.monotonic() + (0 if is_asked else _ASK_S)
        while True:
            is_sent = self._send_batch()
            if time.monotonic() >= self._next_note:
                self.note()
            if not is_sent or self._stop.is_set:
                return

    def _send_batch(self) -> bool:
        """Send the next rows; return False if there are none."""
        batch = self._own.batch(self.latest.positions, self._centre.columns)
        if not any(batch.rows.values()):
            return False
        with self._centre.turn(self._own.first_opened_us) as turn:
            if turn.latest != self.latest:  # another forwarder of the station was faster
                self.latest = turn.latest
                return True
            positions, sent = self._centre.add(turn, batch)
            if positions == batch.positions:
                raise StationError(_stuck(batch))
            behind = self._own.waiting(positions)
            latest = Latest(positions, self._returned, sent, behind, turn.now_us)
            self._centre.note(turn, latest)
        self.latest = latest
        self.sent += sent
        return True

    def _start_again(self) -> None:
        """Begin at the first row: the own ledger was restored or replaced, and lacks the positions' rows.

        Raises:
            StoreUnavailable: the ledger that has these rows is sending, too, under the same name.
        """
        with self._centre.turn(self._own.first_opened_us) as turn:
            if turn.latest != self.latest:  # another forwarder of the station was faster
                self.latest = turn.latest
                return
            silent_s = (turn.now_us - turn.latest.at_us) / 1e6
            if silent_s < _RIVAL_S:
                raise StoreUnavailable(
                    f"another database sends as station {self._own.station}, last {silent_s:.0f} s ago: "
                    "give each station its own name; a database that was restored is sent again after "
                    f"{_RIVAL_S:.0f} s of silence"
                )
            latest = Latest(behind=self._own.waiting({}), at_us=turn.now_us)
            self._centre.note(turn, latest)
        self.latest, self._returned = latest, {}
        log.warning(
            "the database of station %s is another or an older one: all of its rows are sent again, and "
            "those that are at the centre add nothing",
            self._own.station,
        )

    def _fetch_verdicts(self) -> bool:
        """Fetch verdicts that people gave at the centre, and make the pictures that they asked for.

        How far is written down at the centre, when the verdicts are here.

        Returns:
            Whether pictures were asked for: a person there goes through images, and will open the next ones.
        """
        newest, are_new = self._centre.newest(), False
        for table in VERDICTS:
            after = self._returned.get(table.name, 0)
            while rows := self._centre.verdicts(table, after, newest[table.name]):
                if missing := self._own.add_verdicts(table, rows):
                    log.warning("%d verdicts are about images that this database does not have", missing)
                after, are_new = rows[-1][0]["origin_row"], True
        is_asked = False
        if REQUESTS.name in newest:
            newest[REQUESTS.name], is_asked = self._answer_requests(newest[REQUESTS.name])
        self._returned = newest  # those of other stations, too: it goes with the next batch
        silent_s = time.time() - self.latest.at_us / 1e6
        if not are_new and silent_s < _SIGN_OF_LIFE_S:
            return is_asked
        with self._centre.turn(self._own.first_opened_us) as turn:
            behind = self._own.waiting(turn.latest.positions)
            latest = replace(turn.latest, returned=newest, sent=0, behind=behind, at_us=turn.now_us)
            self._centre.note(turn, latest)
        self.latest = latest
        return is_asked

    def _answer_requests(self, newest: int) -> tuple[int, bool]:
        """Make the small pictures that people asked for.

        While the archive is not there, or the account may not add pictures, requests wait, and rows do not.

        Returns:
            The last request that has its answer, and whether there was one.
        """
        after, is_asked = self._returned.get(REQUESTS.name, 0), False
        while requests := self._centre.requests(after, newest):
            try:
                self._archive.require()
                self._centre.answer([self._answer(request) for request in requests])
            except (OSError, FolderError, StoreRefused) as error:
                if str(error) != self._hindrance:
                    log.warning("pictures for the centre wait: %s", error)
                self._hindrance = str(error)
                return after, is_asked
            after, is_asked, self._hindrance = requests[-1].id, True, ""
        return newest, is_asked

    def _answer(self, request: Row[Any]) -> dict[str, Any]:
        image = self._own.image(request.source_name, request.sha256)
        return thumbnails.row_of(image, request.inspection_id, self._archive)

    def note(self) -> None:
        """Write down in the own ledger how far the station is, for its status and its metrics."""
        if self.latest != self._noted:
            self._own.note(self.latest)
            self._noted = self.latest
        self._next_note = time.monotonic() + _NOTE_S


def _stuck(batch: Batch) -> str:
    table = next(name for name, rows in batch.rows.items() if rows)
    number = batch.rows[table][0]["id"]
    return (
        f"row {number} of {table} refers to a row that the central database does not have; nothing is "
        "lost here: ask who removed rows there"
    )
