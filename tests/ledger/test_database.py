"""Engines: the settings in force on each back end, and one line of our own errors for every failure."""

from __future__ import annotations

import logging
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from ledger_samples import in_force, inspected, sha
from servers import postgresql_server, postgresql_url
from sqlalchemy.engine import URL, make_url

from inspector.errors import SchemaError, StoreRefused, StoreUnavailable, UsageError
from inspector.ledger import database, sqlite
from inspector.ledger.store import Store, migrate

KEY = ("a.png", sha("a.png"))


@pytest.fixture
def sqlite_url(tmp_path: Path) -> URL:
    """Provide a migrated SQLite file whose writers give up after 0.2 s."""
    url = make_url(f"sqlite:///{tmp_path / 'q.db'}?timeout=0.2")
    migrate(url)
    return url


def setting(engine: sa.Engine, query: str) -> Any:
    """Return one setting of the connection."""
    with engine.connect() as connection:
        return connection.exec_driver_sql(query).scalar()


def test_sqlite_is_durable_patient_and_strict(tmp_path: Path) -> None:
    """Writers have WAL, synchronous=FULL, a timeout of 30 s and foreign keys, and the fixed SQLite if any."""
    migrate(f"sqlite:///{tmp_path / 'q.db'}")
    engine = database.engine(f"sqlite:///{tmp_path / 'q.db'}")
    pragmas = ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
    assert [setting(engine, f"PRAGMA {name}") for name in pragmas] == ["wal", 2, 30_000, 1]
    assert setting(engine, "SELECT sqlite_version()") == sqlite.driver().sqlite_version
    engine.dispose()


def test_a_reader_cannot_write(url: URL) -> None:
    """The engine for reports is read-only, and the server enforces it."""
    with (
        database.reading(url) as engine,
        pytest.raises(StoreUnavailable, match=r"read-?only"),
        database.transaction(engine) as connection,
    ):
        connection.exec_driver_sql("DELETE FROM review")


@pytest.mark.parametrize("folder", ["with space", "50% off?#&", "ünïcode"])
def test_any_folder_name_serves_for_sqlite(tmp_path: Path, folder: str) -> None:
    """Characters with a meaning in a URL or a SQLite URI are only part of the folder's name."""
    (tmp_path / folder).mkdir()
    url = URL.create("sqlite", database=str(tmp_path / folder / "q.db"))
    migrate(url)
    Store.open(url, "cell-1", seam_gap_s=300).close()
    assert (tmp_path / folder / "q.db").stat().st_size > 0


def test_postgresql_never_waits_for_ever(postgresql: URL) -> None:
    """Statements, connecting and a silent server have time limits; the URL's own values win."""
    for read_only, limit in ((False, "30s"), (True, "5min")):
        engine = database.engine(postgresql, read_only=read_only)
        assert setting(engine, "SHOW statement_timeout") == limit
        assert setting(engine, "SHOW application_name") == "weldnet-station"
        engine.dispose()
    engine = database.engine(postgresql.update_query_dict({"application_name": "mine"}))
    assert setting(engine, "SHOW application_name") == "mine"
    engine.dispose()


@pytest.mark.parametrize(
    ("version", "bad"),
    [
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 53, 4), False),
    ],
)
def test_the_versions_with_the_wal_reset_bug_are_known(version: tuple[int, ...], bad: bool) -> None:
    """SQLite before 3.51.3 has the bug, except 3.50.7, 3.44.6 and the later patches of these."""
    assert sqlite.has_wal_reset_bug(version) is bad


def test_an_affected_sqlite_is_named_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without the fixed driver the standard library's SQLite is used, with a warning if it has the bug."""
    monkeypatch.setitem(sys.modules, "pysqlite3.dbapi2", None)
    with caplog.at_level(logging.WARNING):
        migrate(f"sqlite:///{tmp_path / 'q.db'}")
    warned = any("WAL-reset bug" in record.message for record in caplog.records)
    assert warned == sqlite.has_wal_reset_bug(sqlite3.sqlite_version_info)


def test_a_missing_driver_is_an_error_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL without psycopg gives one line with the pip command and without the password."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(UsageError, match=r"pip install 'weldnet-station\[postgres\]'") as caught:
        Store.open("postgresql+psycopg://me:secret@db/quality", "c", seam_gap_s=1)
    assert "secret" not in str(caught.value)


# --- outages ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["", "?password=secret"])
def test_a_server_that_is_not_there_is_an_outage_without_a_password(query: str) -> None:
    """A port without a server gives StoreUnavailable in one line, which shows the URL without a password."""
    for use in (migrate, lambda url: Store.open(url, "c", seam_gap_s=1)):
        with pytest.raises(StoreUnavailable, match="Connection refused") as caught:
            use(f"postgresql+psycopg://me:secret@127.0.0.1:9/quality{query}")
        assert "secret" not in str(caught.value)
        assert "\n" not in str(caught.value)
        assert str(caught.value).startswith("postgresql+psycopg://me:***@127.0.0.1:9/quality: ")


def test_a_wrong_option_in_the_url_is_a_usage_error() -> None:
    """An option that the driver does not know is the user's mistake, not an outage."""
    with pytest.raises(UsageError, match="sslmod"):
        Store.open("postgresql+psycopg://me@127.0.0.1:9/quality?sslmod=require", "c", seam_gap_s=1)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("prepare_threshold=often", "prepare_threshold in database_url must be a whole number"),
        ("autocommit=true", "database_url must not set autocommit"),
        ("row_factory=x", "database_url must not set row_factory"),
        ("client_encoding=latin1", "database_url must not set client_encoding"),
        ("connect_timeout=soon", "connect_timeout"),
        ("port=soon", "port"),
    ],
)
def test_an_option_with_a_wrong_value_is_one_line(query: str, says: str) -> None:
    """What psycopg reads itself, and wants as a number, is named without a traceback or a password."""
    with pytest.raises((UsageError, StoreRefused), match=says) as caught:
        Store.open(f"postgresql+psycopg://me:secret@127.0.0.1:9/quality?{query}", "c", seam_gap_s=1)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_of_another_encoding_is_refused(own_server: Any, encoding: str) -> None:
    """Store and migrate name the encoding, and the statement that makes a right database."""
    server = postgresql_url(own_server)
    create = f"CREATE DATABASE other ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
    administrator = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with administrator.connect() as connection:
        connection.exec_driver_sql(create)
    for use in (migrate, lambda url: Store.open(url, "c", seam_gap_s=1)):
        with pytest.raises(SchemaError, match=rf"its encoding is {encoding}.*ENCODING 'UTF8'"):
            use(server.set(database="other"))


def test_text_is_utf8_in_any_environment(
    url_of: Callable[[str], URL], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Chinese file name is stored and found with PGCLIENTENCODING set to something else."""
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    url, name = url_of("postgresql"), "焊缝-7.png"
    with Store.open(url, "cell-1", seam_gap_s=300) as store:
        [number] = store.record([inspected(name)], in_force(store))
        assert store.known([(name, sha(name))])[name, sha(name)].inspection == number


@pytest.fixture
def own_server() -> Iterator[Any]:
    """A PostgreSQL server that the test may stop."""
    with postgresql_server() as server:
        yield server


def test_a_server_that_stops_and_comes_back_is_an_outage_that_ends(own_server: Any) -> None:
    """While the server is down every use gives StoreUnavailable; afterwards the same store works again."""
    url = postgresql_url(own_server)
    migrate(url)
    with Store.open(url, "cell-1", seam_gap_s=300) as store:
        force = in_force(store)
        [number] = store.record([inspected()], force)
        own_server.stop()
        for use in (
            lambda: store.known([KEY]),
            lambda: store.record([inspected("b.png")], force),
            lambda: store.record_event("start", ""),
        ):
            with pytest.raises(StoreUnavailable):
                use()
        own_server.ensure_postgres_running()
        assert store.known([KEY])[KEY].inspection == number
        store.record([inspected("b.png")], force)


def test_a_connection_that_dies_in_mid_transaction_is_an_outage(url_of: Callable[[str], URL]) -> None:
    """If the server ends the session during a transaction, it gives StoreUnavailable and writes nothing."""
    url = url_of("postgresql")
    administrator = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'weldnet-station'"

    def end_session(connection: Any, cursor: Any, statement: str, *others: Any) -> None:
        if statement.startswith("INSERT INTO arrival"):
            with administrator.connect() as other:
                other.exec_driver_sql(kill)

    with Store.open(url, "cell-1", seam_gap_s=300) as store:
        sa.event.listen(store._readers, "before_cursor_execute", end_session)
        with pytest.raises(StoreUnavailable):
            store.record([inspected()], in_force(store))
        sa.event.remove(store._readers, "before_cursor_execute", end_session)
        assert store.known([KEY]) == {}
        assert len(store.record([inspected()], in_force(store))) == 1
    administrator.dispose()


def test_a_locked_sqlite_is_an_outage(sqlite_url: URL) -> None:
    """A writer that keeps the lock gives StoreUnavailable after the timeout; then work goes on."""
    with Store.open(sqlite_url, "cell-1", seam_gap_s=300) as store:
        force = in_force(store)
        # Through the same library: two SQLite libraries in one process do not see each other's locks.
        other = sqlite.driver().connect(str(sqlite_url.database), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="database is locked"):
            store.record([inspected()], force)
        assert store.known([KEY]) == {}, "readers do not wait"
        other.execute("ROLLBACK")
        other.close()
        assert len(store.record([inspected()], force)) == 1


def test_a_full_disk_is_an_outage(sqlite_url: URL) -> None:
    """If SQLite cannot grow, it gives StoreUnavailable and no row is added; with space it works again."""
    with Store.open(sqlite_url, "cell-1", seam_gap_s=300) as store:
        force = in_force(store)
        pages = ["PRAGMA max_page_count=1", "PRAGMA max_page_count=1000000"]  # 1: not one page more

        @sa.event.listens_for(store._writers, "checkout")
        def _limit(connection: Any, *others: Any) -> None:
            connection.execute(pages[0])

        batch = [inspected(f"{n}.png") for n in range(300)]
        with pytest.raises(StoreUnavailable, match="full"):
            store.record(batch, force)
        del pages[0]
        assert store.known([("0.png", sha("0.png"))]) == {}
        assert len(set(store.record(batch, force))) == 300
