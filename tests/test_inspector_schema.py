"""The schema: migrations and models say the same, the database enforces it, people can read it."""

from __future__ import annotations

import contextlib
import os
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
from ledger_samples import SECOND_US, START_US, in_force, inspected, quarantined
from sqlalchemy.engine import URL

import inspector
from inspector import database, reports, resources, schema
from inspector.errors import SchemaError
from inspector.records import Verdict
from inspector.store import Store, migrate

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
        " WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'",
    ],
}


def catalogue(url: URL) -> set[str]:
    """What the database consists of, one line each; views and Alembic's own table left out."""
    engine = database.engine(url)
    with engine.begin() as connection:
        found = [
            row for query in _CATALOGUE[url.get_backend_name()] for row in connection.exec_driver_sql(query)
        ]
    engine.dispose()
    return {
        " ".join(" ".join(str(cell) for cell in row).replace(", ", ",").split())
        for row in found
        if row[0] != "view" and "alembic_version" not in str(tuple(row))
    }


def change(url: URL, work: Callable[[sa.Connection], Any]) -> None:
    """Do something to the database, in one transaction."""
    engine = database.immediate(database.engine(url, create=True))
    with database.transaction(engine) as connection:
        work(connection)
    engine.dispose()


def test_the_migrations_make_what_the_models_say(url: URL, url_of: Callable[..., URL]) -> None:
    """Migrated and created from the models, a database is the same to the last constraint and comment."""
    other = url_of(url.get_backend_name(), migrated=False)
    change(other, schema.metadata.create_all)
    assert _sorted_columns(catalogue(url)) == _sorted_columns(catalogue(other))
    assert len(catalogue(url)) > 20


def _sorted_columns(lines: set[str]) -> set[str]:
    # SQLite keeps the text of CREATE TABLE, where constraints may stand in another order.
    return {
        " ".join(sorted(line.replace("(", " ").replace(")", " ").replace(",", " ").split())) for line in lines
    }


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
    assert reports.run(url, "summary").rows[0][1] == 2


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
    for use in (lambda: Store.open(empty_url, "c", seam_gap_s=1), lambda: reports.run(empty_url, "summary")):
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
        lambda: reports.run(url, "summary"),
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
        "from inspector import resources, reports, store;"
        "store.migrate('sqlite:///q.db'); reports.run('sqlite:///q.db', 'summary');"
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
    store.event("start", "")
    said = {"inspection_id": 1, "reviewer": "ann", "verdict": "PASS", "reviewed_us": START_US + SECOND_US}
    change(url, lambda connection: connection.execute(schema.review.insert(), said))
    with database.reading(url) as engine, engine.begin() as connection:
        views = sa.inspect(connection).get_view_names()
        sizes = {
            view: len(connection.execute(sa.text(f"SELECT * FROM {view}")).all()) for view in sorted(views)
        }
    assert sizes == {"v_arrival": 2, "v_event": 1, "v_inspection": 1, "v_quarantine": 1, "v_review": 1}
