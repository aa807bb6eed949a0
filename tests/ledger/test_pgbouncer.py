"""A real PgBouncer between the station and PostgreSQL, in both ways to share connections."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from ledger_samples import in_force, inspected
from poolers import pgbouncer
from sqlalchemy.engine import URL
from stations import Station

from inspector.errors import StoreUnavailable
from inspector.ledger import database
from inspector.ledger.store import Store, migrate


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_a_station_works_through_a_pooler(
    url_of: Callable[..., URL], tmp_path: Path, tiny: Path, mode: str
) -> None:
    """Migration, inspection and reports go through it, with time limits and without a right to write."""
    with pgbouncer(url_of("postgresql", migrated=False), mode) as url:
        migrate(url)
        station = Station(tmp_path, tiny, url, batch_size=1)
        for n in range(12):  # past the executions after which psycopg would prepare a statement
            station.put(f"{n}.png", seed=n)
        assert station.once()["inspected"] == 12
        assert station.reconcile()["unaccounted"] == 0
        with database.reading(url) as engine, database.transaction(engine) as connection:
            assert connection.exec_driver_sql("SHOW statement_timeout").scalar() == "5min"
        with (
            database.reading(url) as engine,
            pytest.raises(StoreUnavailable, match="read-only"),
            database.transaction(engine) as connection,
        ):
            connection.exec_driver_sql("INSERT INTO station (name, first_opened_us) VALUES ('x', 1)")


def test_stations_that_share_connections_do_not_disturb_one_another(url_of: Callable[..., URL]) -> None:
    """Four writers on two connections of a transaction pool: every row is there."""
    with pgbouncer(url_of("postgresql"), "transaction") as url:

        def write(station: int) -> None:
            with Store.open(url, f"cell-{station}", seam_gap_s=300) as store:
                force = in_force(store)
                for n in range(20):
                    store.record([inspected(f"{n}.png")], force)

        with ThreadPoolExecutor(4) as writers:
            list(writers.map(write, range(4)))
        with database.reading(url) as engine, database.transaction(engine) as connection:
            assert connection.execute(sa.text("SELECT count(*) FROM inspection")).scalar() == 80


def test_a_clash_of_prepared_statements_is_no_wrong_schema(url_of: Callable[..., URL]) -> None:
    """If a pooler hands out a connection with another client's statements, the error says what to change."""
    for statements in (("PREPARE x AS SELECT 1", "PREPARE x AS SELECT 1"), ("EXECUTE y",)):
        with (
            pytest.raises(StoreUnavailable, match="remove prepare_threshold from database_url"),
            database.reading(url_of("postgresql")) as engine,
            database.transaction(engine) as connection,
        ):
            for statement in statements:
                connection.exec_driver_sql(statement)
