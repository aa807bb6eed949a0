"""A ledger that comes back different, or not at all, while the daemon works: images wait, none is lost.

One file of more than 350 lines: all of these tests lose the ledger under a station, each in another way.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from ledger_samples import in_force, inspected, sha
from managers import Manager, manager, running, wait_until, working
from servers import demote_postgresql, postgresql_server, postgresql_url, standby_of
from sqlalchemy.engine import URL
from stations import Station
from waiting import HANG_S, wait_for

from inspector.errors import StoreUnavailable
from inspector.ledger import database, ledger_file, sqlite
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


def test_images_wait_while_the_sqlite_file_is_overwritten(
    tmp_path: Path, tiny: Path, url_of: Callable[[str], URL], systemd: Manager
) -> None:
    """While a backup is copied over it no row is written and no image moves; after a restart all goes on."""
    station = Station(tmp_path, tiny, url_of("sqlite"))
    file = Path(str(station.url.database))
    older, saved = file.read_bytes(), tmp_path / "saved.db"
    with running(station.start()) as daemon:
        systemd.expect("READY=1")
        station.put("a.png", seed=1)
        wait_until(station.is_idle, daemon)
        with closing(connect(file)) as source, closing(connect(saved)) as target:
            source.backup(target)
        inode = file.stat().st_ino
        file.write_bytes(older)  # as cp does
        assert file.stat().st_ino == inode
        station.put("b.png", seed=2)
        assert "was overwritten while it was open; put the old one back" in systemd.expect("STATUS=outage")
        assert station.files(station.drop) == {"b.png"}
        assert len(station.files(station.archive)) == 1
        daemon.terminate()
        assert daemon.wait(HANG_S) == 0
    for leftover in ("-wal", "-shm"):
        file.with_name(f"{file.name}{leftover}").unlink(missing_ok=True)
    saved.replace(file)
    station.once()
    names = station.rows("SELECT source_name FROM inspection ORDER BY id")
    assert [row.source_name for row in names] == ["a.png", "b.png"]
    assert station.reconcile()["unaccounted"] == 0


def test_a_wal_file_that_is_deleted_takes_no_row(url_of: Callable[[str], URL]) -> None:
    """Rows in a -wal file without a name would be lost to every other program, and to us in a power cut."""
    url = url_of("sqlite")
    with Store.open(url, "cell-1", seam_gap_s=300) as store:
        force = in_force(store)
        Path(f"{url.database}-wal").unlink()
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match=r"without its -wal file|overwritten"):
                store.record([inspected()], force)
            with pytest.raises(StoreUnavailable):
                store.reconnect()


@pytest.mark.parametrize("mode", ["PASSIVE", "FULL", "RESTART", "TRUNCATE"])
def test_a_checkpoint_by_hand_is_no_outage(url_of: Callable[[str], URL], mode: str) -> None:
    """A shop's own backup script may call a checkpoint while the station works; both keep their locks."""
    url = url_of("sqlite")
    file = Path(str(url.database))
    os.utime(file, (1e9, 1e9))
    with Store.open(url, "cell-1", seam_gap_s=300) as store:
        store.record([inspected()], in_force(store))
        before = file.stat().st_mtime_ns
        with closing(connect(file)) as other:
            assert other.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()[0] == 0
        assert file.stat().st_mtime_ns != before
        store.record([inspected("b.png")], in_force(store))
        script = (
            f"import sqlite3; sqlite3.connect({str(file)!r}, timeout=0).execute('PRAGMA journal_mode=DELETE')"
        )
        alone = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert "database is locked" in alone.stderr, "the station's locks are gone"
        store.record([inspected("c.png")], in_force(store))


@pytest.mark.parametrize("commits", ["of its own", "of another program", "that change nothing"])
def test_a_checkpoint_beside_a_reader_is_no_outage(url_of: Callable[[str], URL], commits: str) -> None:
    """It leaves out rows that are newer than a report that still runs; station and report go on."""
    url = url_of("sqlite")
    file = Path(str(url.database))
    with (
        Store.open(url, "cell-1", seam_gap_s=300) as store,
        closing(connect(file)) as report,
        closing(connect(file)) as other,
    ):
        force = in_force(store)
        store.record([inspected("a.png")], force)
        report.execute("BEGIN")
        assert report.execute("SELECT count(*) FROM inspection").fetchone() == (1,)
        store.record([inspected("b.png")], force)
        if commits != "of its own":
            added = "VALUES ('other', 1)" if commits == "of another program" else "SELECT '', 1 WHERE false"
            with other:
                other.execute(f"INSERT INTO station (name, first_opened_us) {added}")
        before = file.stat().st_mtime_ns
        _, pages, moved = other.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        assert moved < pages
        assert file.stat().st_mtime_ns != before
        for name in ("c.png", "d.png"):
            store.record([inspected(name)], force)
        assert report.execute("SELECT count(*) FROM inspection").fetchone() == (1,)
    assert count(url) == 4


def test_a_checkpoint_that_ended_on_a_full_disk_is_no_outage(
    url_of: Callable[[str], URL], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file itself cannot be read then; all rows are in the -wal file, and the next checkpoint ends it."""
    url = url_of("sqlite")
    file, whole = Path(str(url.database)), tmp_path / "whole.db"
    monkeypatch.setattr(ledger_file, "_MAX_CHECKPOINT_S", 0.1)
    with Store.open(url, "cell-1", seam_gap_s=300) as store:
        force = in_force(store)
        monkeypatch.setattr(ledger_file, "_CHECKPOINT_EVERY_S", HANG_S)
        store.record_event("start", "")  # the next checkpoint is far away
        for n in range(100):
            store.record([inspected(f"{n}.png")], force)
        with closing(connect(file)) as source, closing(connect(whole)) as target:
            source.backup(target)
        before = file.stat().st_size
        with file.open("r+b") as half:
            half.write(whole.read_bytes()[:before])  # the pages behind its end found no room
        with closing(connect_to_file_alone(file)) as alone, pytest.raises(Exception, match="malformed"):
            alone.execute("SELECT max(id) FROM arrival").fetchone()
        store.record([inspected("a.png")], force)
        with closing(connect(file)) as other:
            assert other.execute("PRAGMA wal_checkpoint(FULL)").fetchone()[0] == 0
        store.record([inspected("b.png")], force)
        with closing(connect_to_file_alone(file)) as alone:
            assert alone.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert count(url) == 102


def test_a_restore_after_a_checkpoint_that_met_a_full_disk_is_noticed(
    url_of: Callable[[str], URL], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that cannot be read by itself is held against the rows that it had: an older one is noticed."""
    url = url_of("sqlite")
    file, whole = Path(str(url.database)), tmp_path / "whole.db"
    monkeypatch.setattr(ledger_file, "_MAX_CHECKPOINT_S", 0.1)
    monkeypatch.setattr(ledger_file, "_CHECKPOINT_EVERY_S", 0)  # after each commit
    with Store.open(url, "cell-1", seam_gap_s=300) as store, closing(connect(file)) as report:
        force = in_force(store)
        store.record([inspected("a.png")], force)
        older = file.read_bytes()
        store.record([inspected("b.png")], force)
        report.execute("BEGIN")
        assert report.execute("SELECT count(*) FROM inspection").fetchone() == (
            2,
        )  # no checkpoint from here on
        for n in range(100):
            store.record([inspected(f"{n}.png")], force)
        with closing(connect(file)) as source, closing(connect(whole)) as target:
            source.backup(target)
        before = file.stat().st_size
        with file.open("r+b") as half:
            half.write(whole.read_bytes()[:before])  # the pages behind its end found no room
        with closing(connect_to_file_alone(file)) as alone, pytest.raises(Exception, match="malformed"):
            alone.execute("SELECT max(id) FROM arrival").fetchone()
        store.record([inspected("c.png")], force)  # with a checkpoint that moves nothing
        file.write_bytes(older)
        with pytest.raises(StoreUnavailable, match="overwritten"):
            store.record([inspected("d.png")], force)


@pytest.mark.parametrize("content", [b"", b"no database at all" * 1000])
def test_a_file_that_is_emptied_or_is_no_database_takes_no_row(
    url_of: Callable[[str], URL], content: bytes
) -> None:
    """A slip in the shell is an outage like any other file in its place."""
    url = url_of("sqlite")
    with Store.open(url, "cell-1", seam_gap_s=300) as store:
        force = in_force(store)
        store.record([inspected("a.png")], force)
        Path(str(url.database)).write_bytes(content)
        with pytest.raises(StoreUnavailable, match="overwritten"):
            store.record([inspected("b.png")], force)


def test_an_overwriting_just_after_a_commit_of_another_program_is_noticed(
    url_of: Callable[[str], URL],
) -> None:
    """A review of a person hides no restore that follows at once."""
    url = url_of("sqlite")
    file = Path(str(url.database))
    older = file.read_bytes()
    with Store.open(url, "cell-1", seam_gap_s=300) as store, closing(connect(file)) as other:
        force = in_force(store)
        store.record([inspected()], force)
        with other:
            other.execute("INSERT INTO station (name, first_opened_us) VALUES ('other', 1)")
        file.write_bytes(older)
        with pytest.raises(StoreUnavailable, match="overwritten"):
            store.record([inspected("b.png")], force)


def test_stations_that_write_to_one_file_at_once_are_no_outage(
    url_of: Callable[[str], URL], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each commit of one station moves pages into the file while the other station begins to write."""
    url = url_of("sqlite")
    monkeypatch.setattr(ledger_file, "_CHECKPOINT_EVERY_S", 0)

    def work(name: str) -> None:
        with Store.open(url, name, seam_gap_s=300) as store:
            force = in_force(store)
            for n in range(100):
                store.record([inspected(f"{n}.png")], force)

    with ThreadPoolExecutor(2) as workers:
        for done in [workers.submit(work, name) for name in ("cell-1", "cell-2")]:
            done.result(HANG_S)


def test_commits_of_another_program_are_no_outage(url_of: Callable[[str], URL]) -> None:
    """A program of the shop's own that writes to the same file moves its pages into it at each commit."""
    url = url_of("sqlite")
    with (
        Store.open(url, "cell-1", seam_gap_s=300) as store,
        closing(connect(Path(str(url.database)))) as other,
    ):
        other.execute("PRAGMA wal_autocheckpoint=1")
        force = in_force(store)
        for n in range(20):
            store.record([inspected(f"{n}.png")], force)
            with other:
                other.execute("INSERT INTO station (name, first_opened_us) VALUES (?, 1)", (f"other-{n}",))


def test_a_file_that_is_overwritten_during_a_transaction_takes_no_row(url_of: Callable[[str], URL]) -> None:
    """The commit goes into the -wal file beside a file that it does not belong to: it is no success."""
    url = url_of("sqlite")
    file = Path(str(url.database))
    older = file.read_bytes()
    with Store.open(url, "cell-1", seam_gap_s=300) as store:
        force = in_force(store)
        store.record([inspected()], force)
        sa.event.listen(store._writers, "commit", lambda _: file.write_bytes(older))
        with pytest.raises(StoreUnavailable, match="overwritten"):
            store.record([inspected("b.png")], force)


def test_an_overwritten_file_is_noticed_whichever_thread_writes(url_of: Callable[[str], URL]) -> None:
    """Commits of the station's other threads hide no change of the file."""
    url = url_of("sqlite")
    file = Path(str(url.database))
    older = file.read_bytes()
    with Store.open(url, "cell-1", seam_gap_s=300) as store, ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(store.record_event, "start", f"{n}") for n in range(20)]:
            done.result(HANG_S)
        file.write_bytes(older)
        with pytest.raises(StoreUnavailable, match="overwritten"):
            store.record_event("start", "")


def test_an_overwritten_file_that_is_put_back_as_it_was_is_used_again(url_of: Callable[[str], URL]) -> None:
    """With its old bytes and time the file is the old one, and nothing was written in between."""
    url = url_of("sqlite")
    file = Path(str(url.database))
    empty = file.read_bytes()
    with Store.open(url, "cell-1", seam_gap_s=300) as store:
        force = in_force(store)
        for n in range(3):
            store.record([inspected(f"{n}.png")], force)
        with closing(connect(file)) as other:
            other.execute("PRAGMA wal_checkpoint(FULL)")
        store.record_event("start", "")
        right, changed = file.read_bytes(), file.stat()
        file.write_bytes(empty)
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="overwritten"):
                store.record([inspected("x.png")], force)
            with pytest.raises(StoreUnavailable, match="overwritten"):
                store.reconnect()
        file.write_bytes(right)
        os.utime(file, ns=(changed.st_atime_ns, changed.st_mtime_ns))  # as cp -p does
        store.reconnect()
        store.record([inspected("x.png")], in_force(store))
        with closing(connect(file)) as other:
            assert other.execute("SELECT count(*) FROM inspection").fetchone() == (4,)
            assert other.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_postgresql_that_was_restored_under_an_idle_station_is_noticed(
    tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]
) -> None:
    """Numbers that belong to another station, artifact and settings by then are in no new row."""
    station = Station(tmp_path, tiny, url_of("postgresql"))
    name = str(station.url.database)
    administer(station.url, f"CREATE DATABASE {name}_backup TEMPLATE {name}")
    with Store.open(station.url.set(database=f"{name}_backup"), "cell-9", seam_gap_s=300) as other:
        other.record([inspected("theirs.png")], in_force(other))
    with working(station.config) as daemon:
        station.put("a.png", seed=1)
        wait_until(station.is_idle, daemon)
        # The pool of the daemon connects again without an error when it is needed next.
        administer(
            station.url,
            f"DROP DATABASE {name} WITH (FORCE)",
            f"ALTER DATABASE {name}_backup RENAME TO {name}",
        )
        station.put("b.png", seed=2)
        wait_until(station.is_idle, daemon)
    rows = station.rows(
        "SELECT i.source_name, s.name AS station, m.artifact_sha256, t.content ->> 'station' AS settings"
        " FROM inspection i JOIN station s ON s.id = i.station_id JOIN model m ON m.id = i.model_id"
        " JOIN settings t ON t.id = i.settings_id WHERE i.source_name <> 'theirs.png'"
    )
    assert [tuple(row) for row in rows] == [("b.png", "cell-1", sha256(tiny), "cell-1")]
    events = station.rows(
        "SELECT e.kind, e.detail, s.name FROM event e JOIN station s ON s.id = e.station_id ORDER BY e.id"
    )
    assert {row.name for row in events} == {"cell-1"}
    assert [row.kind for row in events] == ["outage", "stop"]
    assert "was restored or replaced while it was open" in events[0].detail


@pytest.mark.parametrize("lost", ["the last row", "the station's number"])
def test_nothing_is_read_from_or_written_to_a_restored_postgresql(
    url_of: Callable[[str], URL], lost: str
) -> None:
    """Look-ups and events, too, are refused until the store has connected again."""
    url = url_of("postgresql")
    with Store.open(url, "cell-1", seam_gap_s=300) as store:
        force = in_force(store)
        store.record([inspected("a.png")], force)
        store.record([inspected("b.png")], force)
        if lost == "the last row":
            without_triggers(url, "DELETE FROM arrival WHERE id = (SELECT max(id) FROM arrival)")
        else:
            without_triggers(url, "UPDATE station SET name = 'cell-9'")
        for use in (
            lambda: store.known([("a.png", sha("a.png"))]),
            lambda: store.record_event("start", ""),
            lambda: store.record([inspected("c.png")], force),
            lambda: in_force(store),
        ):
            with pytest.raises(StoreUnavailable, match="restored or replaced"):
                use()
        store.reconnect()
        store.record([inspected("c.png")], in_force(store))
        assert count(url) == 3


def test_a_duplicate_whose_first_judgement_was_lost_in_a_restore_is_judged_again(
    tmp_path: Path, tiny: Path, url_of: Callable[[str], URL], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between look-up and commit an outage may last for hours; the image is not refused, it is new."""
    station = Station(tmp_path, tiny, url_of("postgresql"))
    known = Store.known

    def known_before_the_restore(store: Store, keys: Any) -> Any:
        found = known(store, keys)
        if found:
            without_triggers(station.url, "DELETE FROM arrival", "DELETE FROM inspection")
        return found

    station.put("a.png", seed=1)
    station.once()
    monkeypatch.setattr(Store, "known", known_before_the_restore)
    with working(station.config) as daemon:
        station.put("a.png", seed=1)
        wait_until(station.is_idle, daemon)
    assert station.rows("SELECT outcome FROM arrival") == [("inspected",)]
    assert count(station.url) == 1
    assert station.rows("SELECT count(*) FROM quarantine") == [(0,)]


def test_a_commit_into_a_file_without_a_name_is_no_commit(url_of: Callable[[str], URL]) -> None:
    """If the file goes in the middle of a transaction, the answer is an outage, not a success."""
    url = url_of("sqlite")
    file = Path(str(url.database))
    with Store.open(url, "cell-1", seam_gap_s=300) as store:
        sa.event.listen(store._writers, "commit", lambda connection: file.unlink(missing_ok=True))
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


def connect(file: Path) -> Any:
    """Connect as another program does, with the same library: two would break each other's locks."""
    return sqlite.driver().connect(file)


def connect_to_file_alone(file: Path) -> Any:
    """Connect to the file without its -wal file."""
    return sqlite.driver().connect(f"file:{file}?mode=ro&immutable=1", uri=True)


def administer(url: URL, *statements: str) -> None:
    """Run statements on the server of a database, each without a session that is in the way."""
    server = sa.create_engine(
        url.set(database="postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
    )
    with server.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{url.database}'"
            )
            connection.exec_driver_sql(statement)


def without_triggers(url: URL, *statements: str) -> None:
    """Change history as a restore does."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        for statement in statements:
            connection.exec_driver_sql(statement)


def sha256(file: Path) -> str:
    """Hash of a file, in hex digits."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def count(url: URL) -> int:
    """Rows of ``inspection``."""
    with database.reading(url) as engine, database.transaction(engine) as connection:
        return int(connection.execute(sa.text("SELECT count(*) FROM inspection")).scalar_one())
