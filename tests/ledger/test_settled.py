"""How far the numbers of rows are settled, beside open transactions on a real PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from forwarders import add_images
from ledger_samples import copy_image, in_force, inspected
from sqlalchemy.engine import URL

from inspector.errors import StoreUnavailable
from inspector.forwarding import copying
from inspector.forwarding.centre import Centre
from inspector.ledger import changes, database
from inspector.ledger.schema import inspection, review
from inspector.ledger.store import Store

_NEXT = "SELECT nextval(pg_get_serial_sequence('inspection', 'id'))"


@pytest.fixture
def engine(url_of: Callable[..., URL]) -> Iterator[sa.Engine]:
    """A PostgreSQL ledger with three images."""
    url = url_of("postgresql")
    add_images(url, "cell-1", 3)
    with database.reading(url) as engine:
        yield engine


def take_a_number(connection: sa.Connection) -> int:
    """Take a number as a forwarder does, and return it."""
    [number] = copying.new_numbers(connection, inspection, 1)
    return number


@contextmanager
def turn_of_an_old_forwarder(url: URL) -> Iterator[sa.Connection]:
    """Begin a turn, and take a number without a lock on the table, as versions with schema 0013 did."""
    centre = Centre(url, "cell-1")
    centre.open()
    try:
        with centre.turn(0) as turn:
            turn.connection.exec_driver_sql(_NEXT)
            yield turn.connection
    finally:
        centre.close()


def test_whoever_has_taken_a_number_is_a_writer(engine: sa.Engine) -> None:
    """A forwarder's numbers are not settled before its rows are there, in this version and the one before."""
    with database.transaction(engine) as reader:
        assert changes.writers(reader, [inspection]) == set()
    others = database.engine(engine.url)
    with database.transaction(others) as writer, engine.connect() as reader:
        take_a_number(writer)
        assert len(changes.writers(reader, [inspection])) == 1
    others.dispose()
    with turn_of_an_old_forwarder(engine.url), engine.connect() as reader:
        assert len(changes.writers(reader, [inspection])) == 1
        assert changes.writers(reader, [review]) == set(), "results do not wait for forwarders"


def test_a_lower_number_is_waited_for(engine: sa.Engine) -> None:
    """While a transaction can add a row with a lower number, the higher one that is there is not settled."""
    polls, waits = 0, threading.Event()

    @sa.event.listens_for(engine, "after_cursor_execute")
    def _count(_connection: sa.Connection, _cursor: object, statement: str, *_others: object) -> None:
        nonlocal polls
        polls += "pg_locks" in statement
        if polls > 3:
            waits.set()

    others = database.engine(engine.url)
    with ThreadPoolExecutor(1) as pool:
        with database.transaction(others) as writer:
            number = take_a_number(writer)
            with Store.open(engine.url, "cell-2", seam_gap_s=300) as store:
                [newest] = store.record([inspected("newest.png")], in_force(store))
            assert number < newest
            asked = pool.submit(changes.settled, engine, [inspection])
            assert waits.wait(60)
            assert not asked.done()
            copy_image(writer, "late.png", id=number)
        assert asked.result(60) == {"inspection": newest}
        with database.transaction(engine) as reader:
            assert reader.scalar(sa.select(inspection.c.id).where(inspection.c.id == number)) == number
    others.dispose()


def test_a_transaction_that_does_not_end_is_an_outage(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for ever for a transaction that was forgotten; the message says how to find it."""
    monkeypatch.setattr(changes, "_MAX_SETTLE_S", 0.1)
    with turn_of_an_old_forwarder(engine.url), pytest.raises(StoreUnavailable, match="pg_stat_activity"):
        changes.settled(engine, [inspection])
