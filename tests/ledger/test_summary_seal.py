"""Seals of summaries: reports count no image of a sealed hour, and say the same whatever comes later."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any

import pytest
import sqlalchemy as sa
from catalogues import change, rows_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger_samples import SECOND_US, START_US, copy_image, in_force, inspected
from sqlalchemy.engine import URL

from inspector.errors import StoreUnavailable
from inspector.forwarding import copying
from inspector.ledger import changes, database
from inspector.ledger.schema import inspection
from inspector.ledger.store import Store
from inspector.ledger.summaries import HOUR_US, false_hours, summarize
from inspector.records import Verdict
from inspector.reports import definitions
from inspector.reports.query import Query, run

FIRST_US = START_US // HOUR_US * HOUR_US
LATE_US = START_US + 100 * HOUR_US
_ONE_OF_EACH = ("summary", "throughput", "gaps", "latency_by_hour", "p_chart", "confidence")
_PERIODS: list[dict[str, Any]] = [
    {},
    {"since": "2026-01-05T08:30:00", "until": "2026-01-05T11:00:00"},
    {"station": "cell-2", "since": "2026-01-05T09:00:00"},
]
_DERIVED = re.compile(r"\b(FROM|JOIN) (summary_seal|hour_summary|hour_work|hour_latency)( [ylwo]\b)?")


def without_summaries(sql: str) -> str:
    """Return the text of a report as if there were no summary and no seal, so that it counts every image."""
    return _DERIVED.sub(lambda it: f"{it[1]} (SELECT * FROM {it[2]} WHERE 1 = 0){it[3] or ' no_row'}", sql)


def differences(url: URL) -> list[str]:
    """Return the reports that say something else with summaries and seals than without them."""
    found = []
    with database.reading(url) as engine, database.transaction(engine) as connection:
        for name in _ONE_OF_EACH:
            sql = definitions.sql(name)
            for period in _PERIODS:
                values = Query(name, **period).parameters()
                said = connection.execute(sa.text(sql), values).all()
                if said != connection.execute(sa.text(without_summaries(sql)), values).all():
                    found.append(f"{name} {period}")
    return found


# --- any order of images, open transactions and summaries -----------------------------------------------

_PLACES = st.tuples(st.sampled_from([-3, 0, 1, 2, 3, 90_000]), st.integers(0, 3599))  # hour, second
_RECORD = st.tuples(
    st.just("record"), st.sampled_from(["cell-1", "cell-2"]), st.lists(_PLACES, min_size=1, max_size=3)
)
# So many hours after the first one, by a right clock or by one that is years ahead.
_SUMMARIZE = st.tuples(st.just("summarize"), st.sampled_from([3, 4, 100_000]))
_BEGIN = st.tuples(st.just("begin"), _PLACES)
_END = st.sampled_from([("commit",), ("roll back",)])
_STEPS = {  # SQLite has one writer at a time
    "sqlite": st.lists(st.one_of(_RECORD, _SUMMARIZE), min_size=6, max_size=12),
    "postgresql": st.lists(st.one_of(_RECORD, _SUMMARIZE, _BEGIN, _END), min_size=8, max_size=16),
}


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_reports_say_the_same_in_any_order(url_of: Callable[..., URL], backend: str) -> None:
    """Late images, wrong clocks and transactions that end later change no report beside the images."""

    @settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
    @given(steps=_STEPS[backend], late=_BEGIN, newest=_RECORD)
    def in_this_order(steps: list[Any], late: Any, newest: Any) -> None:
        with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
            patch.setattr(changes, "_MAX_SETTLE_S", 0.01)  # nobody ends a transaction meanwhile
            Shop(url_of(backend), stack).work([*steps, late, newest, ("summarize", 5)])

    in_this_order()


class Shop:
    """Two stations and forwarders that write to one database; transactions of forwarders may stay open."""

    def __init__(self, url: URL, stack: ExitStack) -> None:
        self._url = url
        self._stores = {
            name: stack.enter_context(Store.open(url, name, seam_gap_s=300)) for name in ("cell-1", "cell-2")
        }
        self._force = {name: in_force(store) for name, store in self._stores.items()}
        self._number = 0
        self._engine = database.engine(url)
        stack.callback(self._engine.dispose)
        self._open: list[sa.Connection] = []
        stack.callback(lambda: [connection.close() for connection in self._open])
        self._record("cell-1", [(0, 0)])

    def work(self, steps: list[tuple[Any, ...]]) -> None:
        """Take these steps, and compare the reports after each summary and at the end."""
        for name, *values in steps:
            match name:
                case "record":
                    self._record(*values)
                case "begin":
                    self._begin(*values)
                case "summarize":
                    with suppress(StoreUnavailable):
                        summarize(self._url, FIRST_US + values[0] * HOUR_US)
                    assert differences(self._url) == []
                case _:
                    self._end(name)
        while self._open:
            self._end("commit")
        assert differences(self._url) == []
        summarize(self._url, LATE_US)
        assert differences(self._url) == []
        assert false_hours(self._url) == []

    def _record(self, station: str, places: list[tuple[int, int]]) -> None:
        items = [
            inspected(f"{self._next()}.png", seen_us=_at(place), verdict=verdict)
            for place in places
            for verdict in [Verdict.FAIL if sum(place) % 3 == 0 else Verdict.PASS]
        ]
        self._stores[station].record(items, self._force[station])

    def _begin(self, place: tuple[int, int]) -> None:
        """Take a number and add an image with it in a transaction that stays open; SQLite has one writer."""
        if self._url.get_backend_name() != "postgresql":
            return
        self._open.append(self._engine.connect())
        [number] = copying.new_numbers(self._open[-1], inspection, 1)
        copy_image(self._open[-1], f"{self._next()}.png", id=number, inspected_us=_at(place))

    def _end(self, how: str) -> None:
        if self._open:
            with self._open.pop(0) as connection:
                connection.commit() if how == "commit" else connection.rollback()

    def _next(self) -> int:
        self._number += 1
        return self._number


def _at(place: tuple[int, int]) -> int:
    hour, second = place
    return FIRST_US + hour * HOUR_US + second * SECOND_US


# --- what a seal is worth -------------------------------------------------------------------------------


def test_a_sealed_hour_is_not_counted(store: Store, url: URL) -> None:
    """A report reads no image of a sealed hour; so a false seal loses the hour, and the proof names it."""
    store.record([inspected("a.png"), inspected("b.png", seen_us=START_US + HOUR_US)], in_force(store))
    summarize(url, START_US + 2 * HOUR_US)
    assert len(rows_of(url, "SELECT id FROM summary_seal")) == 1
    assert run(url, Query("summary")).rows[0][1] == 2
    forge = f"INSERT INTO summary_seal (inspection_id, until_us, work_id) VALUES (2, {LATE_US}, 1)"
    change(url, lambda connection: connection.exec_driver_sql(forge))
    assert run(url, Query("summary")).rows[0][1] == 1
    assert false_hours(url) == [FIRST_US + HOUR_US]
    summarize(url, LATE_US)
    assert run(url, Query("summary")).rows[0][1] == 2, "the next run counts all images, and adds what lacks"
    assert false_hours(url) == []


def test_an_invented_summary_is_found_before_it_is_used(store: Store, url: URL) -> None:
    """The proof names a summary of a station's hour without images, and one of more images than there are."""
    store.record([inspected("a.png")], in_force(store))
    for hour_us, n in ((FIRST_US - HOUR_US, 1), (FIRST_US, 5)):
        lie = f"INSERT INTO hour_summary (station_id, hour_us, n) VALUES (1, {hour_us}, {n})"
        change(url, lambda connection, lie=lie: connection.exec_driver_sql(lie))
    assert false_hours(url) == [FIRST_US - HOUR_US, FIRST_US]


def test_a_database_keeps_no_seal_without_summaries(store: Store, url: URL) -> None:
    """Summaries cannot be removed without the seals, and no seal can be added without a summary."""
    store.record([inspected("a.png")], in_force(store))
    forge = f"INSERT INTO summary_seal (inspection_id, until_us, work_id) VALUES (1, {LATE_US}, 9)"
    with pytest.raises(Exception, match=r"(?i)foreign key"):
        change(url, lambda connection: connection.exec_driver_sql(forge))
    summarize(url, START_US)
    assert rows_of(url, "SELECT id FROM summary_seal") == [], "no hour was over"
    summarize(url, LATE_US)
    if url.get_backend_name() != "postgresql":
        return
    tables = "hour_count, hour_summary, hour_latency, hour_class, hour_batch, hour_work"
    remove = "SET session_replication_role = replica; TRUNCATE {}"
    with pytest.raises(sa.exc.DBAPIError, match="summary_seal"):
        change(url, lambda connection: connection.exec_driver_sql(remove.format(tables)))
    change(url, lambda connection: connection.exec_driver_sql(remove.format(f"{tables}, summary_seal")))
    assert differences(url) == []
    assert summarize(url, LATE_US) == 1
    assert false_hours(url) == []


# --- more than one program at a time --------------------------------------------------------------------


def test_a_seal_waits_for_lower_numbers(url_of: Callable[..., URL], monkeypatch: pytest.MonkeyPatch) -> None:
    """A seal comes after the end of a transaction that may add an image with a lower number."""
    monkeypatch.setattr(changes, "_MAX_SETTLE_S", 600)  # this process may get no processor for a while
    url = url_of("postgresql")
    polls, waits = 0, threading.Event()

    @sa.event.listens_for(sa.Engine, "after_cursor_execute")
    def _count(_connection: sa.Connection, _cursor: object, statement: str, *_others: object) -> None:
        nonlocal polls
        polls += "pg_locks" in statement
        if polls > 3:
            waits.set()

    try:
        with Store.open(url, "cell-1", seam_gap_s=300) as store, ThreadPoolExecutor(1) as pool:
            store.record([inspected("a.png")], in_force(store))
            engine = database.engine(url)
            with database.transaction(engine) as forwarder:
                [number] = copying.new_numbers(forwarder, inspection, 1)
                assert number < store.record([inspected("b.png")], in_force(store))[0]
                summaries = pool.submit(summarize, url, LATE_US)
                assert waits.wait(60)
                assert rows_of(url, "SELECT id FROM hour_summary UNION SELECT id FROM summary_seal") == []
                copy_image(forwarder, "late.png", id=number)
            engine.dispose()
            assert summaries.result(60) == 1
    finally:
        sa.event.remove(sa.Engine, "after_cursor_execute", _count)
    assert [tuple(row) for row in rows_of(url, "SELECT n FROM hour_summary")] == [(3,)]
    assert [tuple(row) for row in rows_of(url, "SELECT inspection_id FROM summary_seal")] == [(3,)]
    assert run(url, Query("summary")).rows[0][1] == 3
    assert false_hours(url) == []


def test_a_transaction_that_does_not_end_costs_the_seal(
    url_of: Callable[..., URL], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Summaries are made beside a transaction that stays open, without a seal, and the message says both."""
    monkeypatch.setattr(changes, "_MAX_SETTLE_S", 0.01)
    url = url_of("postgresql")
    with Store.open(url, "cell-1", seam_gap_s=300) as store:
        store.record([inspected("a.png")], in_force(store))
        engine = database.engine(url)
        with database.transaction(engine) as forwarder:
            copying.new_numbers(forwarder, inspection, 1)
            with pytest.raises(StoreUnavailable, match=r"has not ended for .* made, but not sealed"):
                summarize(url, LATE_US)
        engine.dispose()
    assert len(rows_of(url, "SELECT id FROM hour_summary")) == 1
    assert rows_of(url, "SELECT id FROM summary_seal") == []


def test_two_at_once_beside_a_station(url: URL) -> None:
    """Two runs at once beside a station that records leave reports that say the same, and no false hour."""
    with Store.open(url, "cell-1", seam_gap_s=300) as store, ThreadPoolExecutor(2) as pool:
        force = in_force(store)
        for turn in range(4):
            runs = [pool.submit(summarize, url, LATE_US) for _ in range(2)]
            for number in range(10):
                name, hour = f"{turn}-{number}.png", number % 4
                store.record([inspected(name, seen_us=START_US + hour * HOUR_US)], force)
            for each in runs:
                each.result(60)
            assert differences(url) == []
            assert false_hours(url) == []
    assert len(rows_of(url, "SELECT id FROM summary_seal")) > 1


_KILLED = """
import os, signal, sys
import sqlalchemy as sa
from inspector.ledger.summaries import summarize
countdown = int(sys.argv[2])
@sa.event.listens_for(sa.Engine, "after_cursor_execute")
def _die(connection, cursor, statement, *others):
    global countdown
    countdown -= statement.startswith("INSERT")
    if not countdown:
        os.kill(os.getpid(), signal.SIGKILL)
summarize(sys.argv[1], int(sys.argv[3]))
"""


@pytest.mark.parametrize("inserts", [1, 4, 6, 7, 12, 13])
def test_a_killed_run_leaves_no_seal(store: Store, url: URL, inserts: int) -> None:
    """A run that is killed after any INSERT leaves whole hours and no seal, and the next run goes on."""
    store.record(
        [inspected(f"{hour}.png", seen_us=START_US + hour * HOUR_US) for hour in range(2)], in_force(store)
    )
    where = url.render_as_string(hide_password=False)
    script = [sys.executable, "-c", _KILLED, where, str(inserts), str(LATE_US)]
    assert subprocess.run(script, check=False).returncode == -signal.SIGKILL
    assert rows_of(url, "SELECT id FROM summary_seal") == []
    left = 2 - len(rows_of(url, "SELECT id FROM hour_work"))
    assert differences(url) == []
    assert summarize(url, LATE_US) == left
    assert len(rows_of(url, "SELECT id FROM summary_seal")) == 1
    assert differences(url) == []
    assert false_hours(url) == []
