"""Transactions of the ledger: all of a batch or nothing, beside other writers, at a steady cost."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ledger_samples
import pytest
import sqlalchemy as sa
from catalogues import change, row_counts
from ledger_samples import SECOND_US, START_US, in_force, inspected, quarantined
from sqlalchemy.engine import URL

from inspector.errors import RowRefused, StoreRefused
from inspector.ledger import database
from inspector.ledger.store import Store
from inspector.records import Inspected


def test_a_refused_row_takes_its_batch_back(store: Store, url: URL) -> None:
    """If the database refuses one row, nothing of its transaction is stored."""
    with pytest.raises(RowRefused):
        store.record([inspected("a.png"), inspected("b.png", batch_size=0)], in_force(store))
    assert row_counts(url) == (0, 0, 0)
    store.record([inspected("a.png")], in_force(store))
    assert row_counts(url) == (1, 0, 1), "the connection still works"


def test_numbers_that_are_in_use_are_an_outage(url_of: Callable[[str], URL]) -> None:
    """PostgreSQL that comes back without its sequences drops no row; the message has the statement to run."""
    url = url_of("postgresql")
    with Store.open(url, "cell-1", seam_gap_s=300) as store:
        force = in_force(store)
        store.record([inspected("a.png"), quarantined()], force)
        for table in ("inspection", "quarantine", "arrival"):
            change(url, lambda connection, name=table: connection.exec_driver_sql(_BACK.format(name)))
            with pytest.raises(StoreRefused, match=rf"max\(id\)\) FROM {table}") as caught:
                store.record([inspected("b.png"), quarantined("c.png")], force)
            assert row_counts(url) == (1, 1, 2)
            fix = str(caught.value).partition("owner: ")[2]
            change(url, lambda connection, sql=fix: connection.exec_driver_sql(sql))
        store.record([inspected("b.png"), quarantined("c.png")], force)
    assert row_counts(url) == (2, 2, 4)


_BACK = "SELECT setval(pg_get_serial_sequence('{}', 'id'), 1, false)"
_KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[3])
import sqlalchemy as sa
from ledger_samples import in_force, inspected, quarantined
from inspector.ledger.store import Store
with Store.open(sys.argv[1], "cell-1", seam_gap_s=300) as store:
    force = in_force(store)
    store.record([inspected("before.png")], force)
    countdown = int(sys.argv[2])
    @sa.event.listens_for(sa.Engine, "after_cursor_execute")
    def _die(connection, cursor, statement, *others):
        global countdown
        countdown -= statement.startswith("INSERT")
        if not countdown:
            os.kill(os.getpid(), signal.SIGKILL)
    store.record([inspected("a.png"), quarantined(), inspected("b.png")], force)
"""


@pytest.mark.parametrize("statements", [1, 3, 4])
def test_a_kill_in_mid_transaction_leaves_nothing_of_it(url: URL, statements: int) -> None:
    """A kill -9 after any INSERT of a batch leaves the earlier batches whole, and nothing of this one."""
    where = url.render_as_string(hide_password=False)
    script = [
        sys.executable,
        "-c",
        _KILLED,
        where,
        str(statements),
        str(Path(ledger_samples.__file__).parent),
    ]
    died = subprocess.run(script, capture_output=True, text=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert row_counts(url) == (1, 0, 1)
    with Store.open(url, "cell-1", seam_gap_s=300) as store:
        store.record([inspected("a.png"), quarantined(), inspected("b.png")], in_force(store))
    assert row_counts(url) == (3, 1, 4)


def test_stations_that_write_at_once_lose_nothing(url: URL) -> None:
    """Three stations with two threads each write to one database at once, and every row is there once."""
    failures: list[BaseException] = []

    def work(store: Store, thread: int) -> None:
        try:
            force = in_force(store)
            for batch in range(5):
                items = [inspected(f"{thread}-{batch}-{n}.png", part="P") for n in range(4)]
                store.known([(item.arrival.source_name, item.source.sha256) for item in items])
                store.record(items, force)
        except BaseException as error:  # noqa: BLE001 - the test fails with it below
            failures.append(error)

    stores = [Store.open(url, f"cell-{n}", seam_gap_s=300) for n in range(3)]
    threads = [threading.Thread(target=work, args=(store, n)) for store in stores for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        store.close()
    assert not failures
    assert row_counts(url) == (120, 0, 120)


def test_a_report_that_runs_does_not_hold_up_a_commit(store: Store, url: URL) -> None:
    """A reader in the middle of its transaction keeps its view, and a batch can commit meanwhile."""
    with database.reading(url) as engine, engine.connect() as reader:
        query = sa.text("SELECT count(*) FROM inspection")
        assert reader.scalar(query) == 0
        store.record([inspected()], in_force(store))
    assert row_counts(url) == (1, 0, 1)


# --- cost ----------------------------------------------------------------------------------------------


def test_a_batch_costs_the_same_in_a_full_table(url_of: Callable[[str], URL]) -> None:
    """In SQLite's own steps, known and record cost no more after 3,000 rows than after 30.

    All rows are of one part, one seam, one name and, in turn, one content: the worst case of each look-up.
    """
    url = url_of("sqlite")

    def row(number: int) -> Inspected:
        content = "same" if number % 2 else f"{number}"
        name = f"{number}.png" if number % 2 else "a.png"
        seen = START_US + number * SECOND_US
        return inspected(name, content, part="P", seam="1", seen_us=seen, path=f"{number}")

    with Store.open(url, "cell-1", seam_gap_s=300) as store:
        force = in_force(store)

        def cost(number: int) -> int:
            with _counting_steps(store) as steps:
                batch = [*(row(number + n) for n in range(8)), quarantined(path=f"{number}")]
                store.known([(item.arrival.source_name, item.source.sha256) for item in batch])
                store.record(batch, force)
            return len(steps)

        store.record([row(n) for n in range(30)], force)
        first, *_ = cost(30), store.record([row(n) for n in range(100, 3100)], force)
        assert first > 10
        assert cost(4000) < 1.2 * first


@contextmanager
def _counting_steps(store: Store) -> Iterator[list[None]]:
    """Provide a list that grows by one for every 50 instructions of SQLite's virtual machine."""
    steps: list[None] = []

    def count(connection: Any, *others: Any) -> None:
        connection.set_progress_handler(lambda: steps.append(None), 50)

    sa.event.listen(store._writers, "checkout", count)
    yield steps
    sa.event.remove(store._writers, "checkout", count)
