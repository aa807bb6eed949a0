"""A ledger that comes back different, or not at all, while the daemon works: images wait, none is lost."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from managers import Manager, manager, wait_until, working
from servers import demote_postgresql, postgresql_server, postgresql_url, standby_of
from sqlalchemy.engine import URL
from stations import Station
from waiting import wait_for

from inspector.errors import StoreUnavailable
from inspector.ledger import database
from inspector.ledger.store import Store, migrate
from inspector.monitoring.health import DatabaseProbe


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A service manager that listens to the daemon."""
    with manager(tmp_path) as listening:
        monkeypatch.setenv("NOTIFY_SOCKET", str(listening.path))
        yield listening


@pytest.mark.parametrize("deleted", [False, True])
def test_images_wait_while_the_sqlite_file_is_another_one(
    tmp_path: Path, tiny: Path, url_of: Callable[[str], URL], systemd: Manager, deleted: bool
) -> None:
    """A replaced or deleted file takes no row and moves no image; once the old one is back all goes on."""
    station = Station(tmp_path, tiny, url_of("sqlite"))
    file = Path(str(station.url.database))
    with working(station.config) as daemon:
        systemd.expect("READY=1")
        station.put("a.png", seed=1)
        wait_until(station.is_idle, daemon)
        kept = tmp_path / "kept.db"
        os.link(file, kept)
        if deleted:
            file.unlink()
        else:
            shutil.copy(file, tmp_path / "other.db")
            (tmp_path / "other.db").replace(file)
        station.put("b.png", seed=2)
        assert "was deleted or replaced" in systemd.expect("STATUS=outage")
        assert station.files(station.drop) == {"b.png"}
        assert len(station.files(station.archive)) == 1
        kept.replace(file)
        wait_until(station.is_idle, daemon)
    assert [row.source_name for row in station.rows("SELECT source_name FROM inspection ORDER BY id")] == [
        "a.png",
        "b.png",
    ]
    assert station.reconcile()["unaccounted"] == 0


def test_a_commit_into_a_file_without_a_name_is_no_commit(url_of: Callable[[str], URL]) -> None:
    """If the file goes in the middle of a transaction, the answer is an outage, not a success."""
    url = url_of("sqlite")
    file = Path(str(url.database))
    with Store.open(url, "cell-1", seam_gap_s=300) as store:
        sa.event.listen(store._readers, "commit", lambda connection: file.unlink(missing_ok=True))
        with pytest.raises(StoreUnavailable, match="deleted or replaced"):
            store.record_event("start", "")


def test_health_reports_a_replaced_sqlite_file(url_of: Callable[[str], URL]) -> None:
    """The health page names it, too: its own connection would go on reading the old file."""
    url = url_of("sqlite")
    file = Path(str(url.database))
    with DatabaseProbe(url) as probe:
        wait_for(lambda: probe._engine.pool.checkedin() > 0)
        file.rename(file.with_suffix(".old"))
        wait_for(lambda: "deleted or replaced" in str(probe.fault()))


def test_the_station_follows_a_failover_and_comes_back(tmp_path: Path, tiny: Path, systemd: Manager) -> None:
    """Of two hosts the one that takes rows is used: after a failover the standby, and no image is lost."""
    with postgresql_server() as server, standby_of(server) as standby:
        primary = postgresql_url(server)
        migrate(primary)
        hosts = [f"{url.query['host']}" for url in (primary, standby.url())]
        station = Station(tmp_path, tiny, primary.set(query={"host": tuple(f"{h}:5432" for h in hosts)}))
        with working(station.config) as daemon:
            systemd.expect("READY=1")
            station.put("a.png", seed=1)
            wait_until(station.is_idle, daemon)
            wait_for(lambda: count(standby.url()) == 1)  # a row that is not replicated yet would be lost
            demote_postgresql(server)
            station.put("b.png", seed=2)
            assert "1 images wait" in systemd.expect("STATUS=outage")
            standby.promote()
            wait_until(station.is_idle, daemon)
        assert (count(primary), count(standby.url())) == (1, 2)


def test_results_and_reports_come_from_the_server_that_takes_rows(tmp_path: Path, tiny: Path) -> None:
    """After a failover the old primary answers first, with old rows; no result waits for it."""
    with postgresql_server() as server, standby_of(server) as standby:
        primary = postgresql_url(server)
        migrate(primary)
        hosts = tuple(f"{url.query['host']}:5432" for url in (primary, standby.url()))
        results = tmp_path / "results"
        results.mkdir()
        both = primary.set(query={"host": hosts})
        station = Station(tmp_path, tiny, both, results_folder=str(results))
        with working(station.config) as daemon:
            station.put("a.png", seed=1)
            wait_until(lambda: any(results.glob("a.*.json")), daemon)
            wait_for(lambda: count(standby.url()) == 1)
            demote_postgresql(server)
            standby.promote()
            station.put("b.png", seed=2)
            wait_until(lambda: any(results.glob("b.*.json")), daemon)
            wait_until(station.is_idle, daemon)
        assert station.reconcile()["inspected"] == 2
        assert (count(primary), count(both), count(standby.url())) == (1, 2, 2)


def test_a_server_that_becomes_read_only_is_left_for_a_new_connection(url_of: Callable[[str], URL]) -> None:
    """A live connection that takes no more rows is an outage, and the next try has a new connection."""
    url = url_of("postgresql")
    with Store.open(url, "cell-1", seam_gap_s=300) as store:
        with store._readers.connect() as connection:
            first = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
            connection.exec_driver_sql("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
            connection.commit()
        with pytest.raises(StoreUnavailable, match="read-only"):
            store.record_event("start", "")
        store.reconnect()
        store.record_event("start", "")
        with store._readers.connect() as connection:
            assert connection.exec_driver_sql("SELECT pg_backend_pid()").scalar() != first


def count(url: URL) -> int:
    """Rows of ``inspection``."""
    with database.reading(url) as engine, database.transaction(engine) as connection:
        return int(connection.execute(sa.text("SELECT count(*) FROM inspection")).scalar_one())
