"""The schema: migrations and models say the same, the database enforces it, people can read it."""

from __future__ import annotations

import contextlib
import os
import runpy
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from ledger_samples import SECOND_US, START_US, in_force, inspected, quarantined
from sqlalchemy.engine import URL

import inspector
from inspector import resources
from inspector.errors import SchemaError, StoreRefused
from inspector.ledger import database, schema, views
from inspector.ledger.store import Store, migrate
from inspector.records import Outcome, Verdict
from inspector.reports import definitions
from inspector.reports.query import Query, run

_CATALOGUE = {  # everything that a schema consists of, as the server itself describes it
    "sqlite": ["SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name <> 'alembic_version'"],
    "postgresql": [
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE connamespace = 'public'::regnamespace",
        "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
        "SELECT a.attrelid::regclass::text, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,"
        " a.attidentity, a.attcollation::regcollation::text, col_description(a.attrelid, a.attnum)"
        " FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
        " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0",
        "SELECT relname, obj_description(oid, 'pg_class') FROM pg_class"
        " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v')",
        "SELECT viewname, definition FROM pg_views WHERE schemaname = 'public'",
        "SELECT tgrelid::regclass::text, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
        "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
    ],
}


def catalogue(url: URL) -> set[str]:
    """What the database consists of, one line each; Alembic's own table left out."""
    engine = database.engine(url)
    with engine.begin() as connection:
        found = [
            row for query in _CATALOGUE[url.get_backend_name()] for row in connection.exec_driver_sql(query)
        ]
    engine.dispose()
    return {
        " ".join(" ".join(str(cell) for cell in row).replace(", ", ",").split())
        for row in found
        if "alembic_version" not in str(tuple(row))
    }


def change(url: URL, work: Callable[[sa.Connection], Any]) -> None:
    """Do something to the database, in one transaction."""
    engine = database.immediate(database.engine(url, create=True))
    with database.transaction(engine) as connection:
        work(connection)
    engine.dispose()


def rows_of(url: URL, query: str) -> list[Any]:
    """Rows of a query."""
    with database.reading(url) as engine, engine.begin() as connection:
        return list(connection.execute(sa.text(query)))


def create_all(connection: sa.Connection) -> None:
    """The whole schema from the models, without a migration."""
    schema.metadata.create_all(connection)
    dialect = connection.dialect.name
    for statement in views.create_views(dialect) + views.create_triggers(dialect):
        connection.execute(sa.text(statement))


def test_the_migrations_make_what_the_models_say(url: URL, url_of: Callable[..., URL]) -> None:
    """Migrated and created from the models, a database is the same to the last comment and trigger."""
    other = url_of(url.get_backend_name(), migrated=False)
    change(other, create_all)
    assert _sorted_columns(catalogue(url)) == _sorted_columns(catalogue(other))
    assert len(catalogue(url)) > 20


def _sorted_columns(lines: set[str]) -> set[str]:
    # SQLite keeps the text of CREATE TABLE, where constraints may stand in another order.
    return {
        " ".join(sorted(line.replace("(", " ").replace(")", " ").replace(",", " ").split())) for line in lines
    }


def test_the_ddl_for_people_is_the_schema(url: URL, url_of: Callable[..., URL]) -> None:
    """The files in sql/ are as 'make schema' writes them, and run by themselves they make the same schema."""
    dialect = url.get_backend_name()
    path = resources.folder("sql") / "write_schema.py"
    written = (path.parent / f"schema.{dialect}.sql").read_text(encoding="utf-8")
    assert runpy.run_path(str(path))["text"](dialect) == written, "run 'make schema'"
    other = url_of(dialect, migrated=False)
    change(other, lambda connection: _run_script(connection, written))
    assert _sorted_columns(catalogue(other)) == _sorted_columns(catalogue(url))


def _run_script(connection: sa.Connection, script: str) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(script)
        return
    uncommented = "".join(f"{line.partition(' -- ')[0]}\n" for line in script.splitlines())
    driver: Any = connection.connection.driver_connection
    driver.executescript(uncommented)


def test_a_comment_stands_at_every_column(url_of: Callable[[str], URL]) -> None:
    """On PostgreSQL every table, view and column but the row's own number says what it holds."""
    query = sa.text(
        "SELECT c.relname || coalesce('.' || a.attname, '') FROM pg_class c LEFT JOIN pg_attribute a"
        " ON a.attrelid = c.oid AND a.attnum > 0 AND c.relkind = 'r' AND a.attname <> 'id'"
        " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v')"
        " AND c.relname <> 'alembic_version' AND col_description(c.oid, coalesce(a.attnum, 0)) IS NULL"
        " AND (a.attnum IS NOT NULL OR obj_description(c.oid, 'pg_class') IS NULL)"
    )
    with database.reading(url_of("postgresql")) as engine, engine.begin() as connection:
        assert list(connection.scalars(query)) == []


def test_roles_let_the_daemon_add_and_reporters_read(url_of: Callable[[str], URL]) -> None:
    """As weldnet_daemon a station works but changes nothing; weldnet_reporter runs every report, no more."""
    url = url_of("postgresql")
    roles = (resources.folder("sql") / "roles.sql").read_text(encoding="utf-8")
    users = {"a_station": "weldnet_daemon", "an_engineer": "weldnet_reporter"}
    for _ in range(2):  # it is run again after each migrate
        change(url, lambda connection: connection.exec_driver_sql(roles))
    for user, role in users.items():
        statement = f"CREATE USER {user} IN ROLE {role}"
        change(url, lambda connection, create=statement: connection.exec_driver_sql(create))
    station, engineer = (url.set(username=user) for user in users)
    try:
        with Store.open(station, "cell-1", seam_gap_s=300) as store:
            store.record([inspected(), quarantined()], in_force(store))
            store.record_event("start", "")
            arrivals = [row.id for row in rows_of(station, "SELECT id FROM arrival ORDER BY id")]
            store.record_removals(arrivals[:1], Outcome.PRUNED)  # retention and requeue only add rows, too
            store.record_removals(arrivals[1:], Outcome.REQUEUED)
        told = [row.outcome for row in rows_of(engineer, "SELECT outcome FROM v_arrival ORDER BY id")]
        assert told == ["inspected", "quarantined", "pruned", "requeued"]
        with pytest.raises(StoreRefused, match="permission denied for table station"):
            Store.open(engineer, "cell-2", seam_gap_s=300)
        for name in definitions.names():
            run(engineer, Query(name))
        tables = list(schema.metadata.tables)
        verbs = ("DELETE FROM {}", "UPDATE {} SET id = id", "TRUNCATE {} CASCADE", "DROP TABLE {}")
        forbidden = {user: [verb.format(table) for verb in verbs for table in tables] for user in users}
        said = "(inspection_id, reviewer, verdict, reviewed_us) VALUES (1, 'ann', 'PASS', 0)"
        change(station, lambda connection: connection.exec_driver_sql(f"INSERT INTO review {said}"))
        forbidden["an_engineer"].append(f"INSERT INTO review {said}")
        for user, statements in forbidden.items():
            engine = database.engine(url.set(username=user))
            for statement in statements:
                with pytest.raises(sa.exc.ProgrammingError) as caught, engine.begin() as connection:
                    connection.exec_driver_sql(statement)
                assert getattr(caught.value.orig, "sqlstate", "") == "42501", statement  # no privilege
            engine.dispose()
    finally:
        for user in users:
            change(url, lambda connection, drop=f"DROP USER {user}": connection.exec_driver_sql(drop))


def test_alembic_sees_no_difference(url: URL) -> None:
    """Alembic's own comparison of models and database finds nothing to migrate."""
    engine = database.engine(url)
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), schema.metadata)
    engine.dispose()
    assert differences == []


def test_a_migration_goes_down_and_up_again(url: URL) -> None:
    """Downgraded to nothing, no object stays; upgraded again, the schema is complete and works."""
    before = catalogue(url)
    change(url, lambda connection: command.downgrade(database.alembic_config(connection), "base"))
    assert catalogue(url) == set()
    with pytest.raises(SchemaError, match="has no schema; run 'weld-inspect migrate --config F'"):
        Store.open(url, "cell-1", seam_gap_s=300)
    migrate(url)
    assert catalogue(url) == before


def test_migrating_again_keeps_the_rows(store: Store, url: URL) -> None:
    """On a schema that is up to date, migrate changes nothing, even while a station is at work."""
    store.record([inspected()], in_force(store))
    migrate(url)
    store.record([inspected("b.png")], in_force(store))
    assert run(url, Query("summary")).rows[0][1] == 2


_OLD_ROWS: dict[str, dict[str, Any]] = {  # one of each table, as revision 0001 had them
    "station": {"name": "cell 'é'\n", "first_opened_us": START_US},
    "model": {
        "artifact_sha256": "a" * 64,
        "name": "weldnet",
        "version": "1",
        "metadata": {"classes": ["good"]},
        "first_used_us": START_US,
    },
    "settings": {"sha256": "b" * 64, "content": {"batch_size": 8}, "first_used_us": START_US},
    "inspection": {
        "station_id": 1,
        "model_id": 1,
        "settings_id": 1,
        "source_name": "a%20.png",
        "sha256": "c" * 64,
        "part": "P",
        "pass_no": 1,
        "seen_us": START_US,
        "taken_us": START_US,
        "inspected_us": START_US,
        "local_day": "2026-01-05",
        "shift": "early",
        "verdict": "FAIL",
        "label": "crater crack",
        "confidence": 0.875,
        "probabilities": {"good": 0.125, "crater crack": 0.875},
        "novelty": 0.5,
        "heat": bytes(range(6)),
        "heat_height": 2,
        "heat_width": 3,
        "wait_ms": 1.0,
        "decode_ms": 2.0,
        "infer_ms": 3.0,
        "total_ms": 6.5,
        "batch_size": 8,
        "archive_path": "2026-01-05/FAIL/a.png",
    },
    "quarantine": {
        "station_id": 1,
        "source_name": "b.png",
        "reason": "truncated",
        "detail": "ends early",
        "quarantined_us": START_US,
        "path": "b.png",
    },
    "arrival": {
        "station_id": 1,
        "source_name": "b.png",
        "size_bytes": 12,
        "inode": -1,
        "mtime_us": START_US,
        "seen_us": START_US,
        "recorded_us": START_US,
        "outcome": "quarantined",
        "quarantine_id": 1,
        "path": "b.png",
    },
    "review": {"inspection_id": 1, "reviewer": "ann", "verdict": "PASS", "reviewed_us": START_US},
    "event": {"station_id": 1, "kind": "start", "detail": "", "at_us": START_US},
}
_FOLDER = ScriptDirectory(str(resources.folder("sql") / "migrations"))
_EARLIER = [script.revision for script in _FOLDER.walk_revisions() if not script.is_head]


def test_the_migrations_names_are_alembics_revisions() -> None:
    """What the daemon reads off the files' names, without alembic, is what alembic reads in them."""
    assert database.revisions() == [script.revision for script in _FOLDER.walk_revisions()][::-1]


@pytest.mark.parametrize("revision", _EARLIER)
def test_an_upgrade_keeps_every_row(empty_url: URL, revision: str) -> None:
    """From each earlier revision, all rows stand after the upgrade as before it, and the station works on."""

    def rows(connection: sa.Connection) -> dict[str, list[dict[str, Any]]]:
        there = sa.MetaData()
        there.reflect(connection)
        return {name: _plain(connection, there.tables[name]) for name in _OLD_ROWS}

    def fill(connection: sa.Connection) -> None:
        command.upgrade(database.alembic_config(connection), revision)
        there = sa.MetaData()
        there.reflect(connection)
        for name, row in _OLD_ROWS.items():
            connection.execute(there.tables[name].insert(), row)
        before.update(rows(connection))

    before: dict[str, list[dict[str, Any]]] = {}
    after: dict[str, list[dict[str, Any]]] = {}
    change(empty_url, fill)
    migrate(empty_url)
    change(empty_url, lambda connection: after.update(rows(connection)))
    for name, [old] in before.items():
        [new] = after[name]
        assert {column: new[column] for column in old} == old, name
        assert old.items() >= _OLD_ROWS[name].items(), "what was written is what was read"
    with Store.open(empty_url, "cell-1", seam_gap_s=300) as store:
        store.record([inspected()], in_force(store))
    assert run(empty_url, Query("summary", station=_OLD_ROWS["station"]["name"])).rows[0][1] == 1


def _plain(connection: sa.Connection, table: sa.Table) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(table.select()).mappings()]


def test_history_cannot_be_changed(store: Store, url: URL) -> None:
    """UPDATE and DELETE of any row of any table are refused by the database itself, with the reason."""
    store.record([inspected(), quarantined()], in_force(store))
    store.record_event("start", "")
    said = {"inspection_id": 1, "reviewer": "ann", "verdict": "PASS", "reviewed_us": START_US}
    drawn = {"inspection_id": 1, "seed": 7, "population": 1, "drawn_us": START_US}
    change(url, lambda connection: connection.execute(schema.review.insert(), said))
    change(url, lambda connection: connection.execute(schema.audit_sample.insert(), drawn))
    engine = database.immediate(database.engine(url))
    changes = [f"DELETE FROM {table}" for table in schema.metadata.tables]
    changes += [f"UPDATE {table} SET id = id + 1" for table in schema.metadata.tables]
    if url.get_backend_name() == "postgresql":
        changes += [f"TRUNCATE {table} CASCADE" for table in schema.metadata.tables]
    for statement in changes:
        with pytest.raises(sa.exc.IntegrityError, match=views.REFUSAL), engine.begin() as connection:
            connection.exec_driver_sql(statement)
    engine.dispose()


def test_a_migration_that_fails_leaves_nothing(empty_url: URL) -> None:
    """When a table of that name is there already, migrate says so in one line and makes no other table."""
    change(empty_url, lambda connection: connection.exec_driver_sql("CREATE TABLE review (id INTEGER)"))
    before = catalogue(empty_url)
    with pytest.raises(SchemaError, match="holds tables that this program did not make") as caught:
        migrate(empty_url)
    assert "\n" not in str(caught.value)
    assert catalogue(empty_url) == before


def test_stations_that_migrate_at_once_do_not_disturb_each_other(empty_url: URL) -> None:
    """Two first starts at the same moment make one schema, and neither fails."""
    failures: list[BaseException] = []

    def work() -> None:
        try:
            migrate(empty_url)
        except BaseException as error:  # noqa: BLE001 - told to the test below
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    Store.open(empty_url, "cell-1", seam_gap_s=300).close()


def test_no_schema_an_unknown_and_a_missing_file_are_one_line(empty_url: URL, tmp_path: Path) -> None:
    """Without the schema the store and a report refuse, with the command that mends it."""
    for use in (lambda: Store.open(empty_url, "c", seam_gap_s=1), lambda: run(empty_url, Query("summary"))):
        with pytest.raises(SchemaError, match="run 'weld-inspect migrate --config F'"):
            use()
    assert not list(tmp_path.glob("*.db")), "a look must not create the file"


def test_a_newer_schema_is_refused(url: URL) -> None:
    """A database from a newer program is touched by neither store, migrate nor report."""
    newer = sa.text("UPDATE alembic_version SET version_num = 'ffff'")
    change(url, lambda connection: connection.execute(newer))
    for use in (
        lambda: Store.open(url, "c", seam_gap_s=1),
        lambda: migrate(url),
        lambda: run(url, Query("summary")),
    ):
        with pytest.raises(
            SchemaError, match="revision ffff is from a newer program; update weldnet-station"
        ):
            use()


def test_the_migrations_are_found_in_an_installed_wheel(tmp_path: Path) -> None:
    """Laid out as the wheel is, away from the checkout, the package finds its own migrations."""
    package = tmp_path / "site % packages" / "inspector"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(inspector.__file__).parent, package, ignore=ignore)
    shutil.copytree(resources.folder("sql"), package / "_data" / "sql", ignore=ignore)
    script = (
        "from inspector import resources; from inspector.ledger import store;"
        "from inspector.reports.query import Query, run;"
        "store.migrate('sqlite:///q.db'); run('sqlite:///q.db', Query('summary'));"
        "print(resources.folder('sql'))"
    )
    environment = {**os.environ, "PYTHONPATH": str(package.parent)}
    ran = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout.strip() == str(package / "_data" / "sql"), ran.stderr


_WRONG: dict[str, list[dict[str, Any]]] = {
    "inspection": [
        {"verdict": "MAYBE"},
        {"confidence": 1.5},
        {"sha256": "short"},
        {"local_day": "5.1.2026"},
        {"heat_width": 4},
        {"pass_no": 0},
        {"part": "P", "pass_no": None},
        {"station_id": 99},
        {"model_id": 99},
        {"duplicate_of": 99},
        {"total_ms": None},
        {"source_name": "a.png"},  # with the same station and hash again
    ],
    "arrival": [
        {"outcome": "lost"},
        {"inspection_id": None},
        {"quarantine_id": 1},
        {"outcome": "quarantined"},
        {"inspection_id": 99},
        {"path": "2026-01-05/FAIL/a.png"},  # at the same moment again
    ],
}


@pytest.mark.parametrize("table", ["inspection", "arrival"])
def test_the_database_refuses_what_cannot_be(store: Store, url: URL, table: str) -> None:
    """A row that contradicts itself, refers to nothing or stands there already is refused by both."""
    item = inspected(verdict=Verdict.FAIL, part="P")
    store.record([item, quarantined()], in_force(store))
    sound = schema.metadata.tables[table]
    engine = database.immediate(database.engine(url))
    with engine.begin() as connection:
        row = dict(connection.execute(sound.select().order_by(sound.c.id)).mappings().first() or {})
    del row["id"]
    row |= {"inspection": {"source_name": "other"}, "arrival": {"path": "other"}}[table]
    accepted = []
    for wrong in _WRONG[table]:
        with contextlib.suppress(sa.exc.IntegrityError), engine.begin() as connection:
            connection.execute(sound.insert(), row | wrong)
            accepted.append(wrong)
    with engine.begin() as connection:  # the same row without a mistake goes in
        connection.execute(sound.insert(), row)
    engine.dispose()
    assert not accepted


def test_the_view_shows_timestamps_and_the_latest_human_verdict(store: Store, url: URL) -> None:
    """v_inspection has names for numbers, timestamps for microseconds, and the last review of each image."""
    store.record([inspected("a.png", verdict=Verdict.REVIEW), inspected("b.png")], in_force(store))
    words = [("ann", "PASS", None), ("bob", "FAIL", "crater crack")]
    reviews = [
        {"inspection_id": 1, "reviewer": who, "verdict": verdict, "label": label, "reviewed_us": START_US}
        for who, verdict, label in words
    ]
    change(url, lambda connection: connection.execute(schema.review.insert(), reviews))
    query = sa.text(
        "SELECT station, source_name, model, verdict, human_verdict, human_label, reviewer, reviewed_at,"
        " seen_at, camera_time FROM v_inspection ORDER BY id"
    )
    with database.reading(url) as engine, engine.begin() as connection:
        first, second = connection.execute(query)
    assert first[:7] == ("cell-1", "a.png", "weldnet", "REVIEW", "FAIL", "crater crack", "bob")
    assert second[:8] == ("cell-1", "b.png", "weldnet", "PASS", None, None, None, None)
    utc = [str(cell)[:19] for cell in (first.reviewed_at, first.seen_at, second.seen_at)]
    assert utc == ["2026-01-05 08:00:00"] * 3
    assert first.camera_time is None


def test_every_view_answers(store: Store, url: URL) -> None:
    """Each view of the schema has the row that belongs into it."""
    store.record([inspected(), quarantined()], in_force(store))
    store.record_event("start", "")
    said = {"inspection_id": 1, "reviewer": "ann", "verdict": "PASS", "reviewed_us": START_US + SECOND_US}
    change(url, lambda connection: connection.execute(schema.review.insert(), said))
    drawn = {"inspection_id": 1, "seed": 7, "population": 1, "drawn_us": START_US}
    change(url, lambda connection: connection.execute(schema.audit_sample.insert(), drawn))
    with database.reading(url) as engine, engine.begin() as connection:
        names = sa.inspect(connection).get_view_names()
        sizes = {name: len(connection.execute(sa.text(f"SELECT * FROM {name}")).all()) for name in names}
    assert sizes == dict.fromkeys(views.VIEWS, 1) | {"v_arrival": 2}


def test_programs_that_open_a_fresh_file_at_once_all_get_in(tmp_path: Path) -> None:
    """SQLite refuses a switch to WAL beside another without waiting; that is tried again, not told."""
    at_once = threading.Barrier(4)
    failures: list[BaseException] = []

    def open_each() -> None:
        for number in range(60):  # one in ten failed
            engine = database.engine(f"sqlite:///{tmp_path / f'{number}.db'}", create=True)
            at_once.wait()
            try:
                with engine.connect():
                    pass
            except sa.exc.OperationalError as error:
                failures.append(error)
            engine.dispose()

    threads = [threading.Thread(target=open_each) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
