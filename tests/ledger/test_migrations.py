"""Migrations up and down, with rows, on both back ends; and databases of another schema or none."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory
from catalogues import catalogue, change, row_counts, rows_of
from ledger_samples import START_US, in_force, inspected, quarantined
from sqlalchemy.engine import URL
from waiting import HANG_S, wait_for

import inspector
from inspector import resources
from inspector.errors import RowRefused, SchemaError, StoreUnavailable
from inspector.ledger import database, views
from inspector.ledger import store as store_module
from inspector.ledger.store import Store, migrate
from inspector.records import Review, SeamReview, Verdict
from inspector.reports.query import Query, run


def test_a_migration_goes_down_and_up_again(url: URL) -> None:
    """A downgrade to nothing leaves no object; an upgrade after it makes the whole schema again."""
    before = catalogue(url)
    change(url, lambda connection: command.downgrade(database.alembic_config(connection), "base"))
    assert catalogue(url) == set()
    with pytest.raises(SchemaError, match="has no schema; run 'weld-inspect migrate --config F'"):
        Store.open(url, "cell-1", seam_gap_s=300)
    migrate(url)
    assert catalogue(url) == before


def test_migrating_again_keeps_the_rows(store: Store, url: URL) -> None:
    """On a schema that is up to date, migrate changes nothing, even while a station works."""
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
_OTHER_KEYS: dict[str, dict[str, Any]] = {  # what makes each of them another row
    "station": {"name": "cell-9"},
    "model": {"artifact_sha256": "d" * 64},
    "settings": {"sha256": "d" * 64},
    "inspection": {"source_name": "c.png"},
    "quarantine": {"path": "c.png"},
    "arrival": {"path": "c.png"},
    "review": {},
    "event": {},
}
_FOLDER = ScriptDirectory(str(resources.folder("sql") / "migrations"))
_EARLIER = [script.revision for script in _FOLDER.walk_revisions() if not script.is_head]


def test_the_migrations_names_are_alembics_revisions() -> None:
    """The revisions that the daemon reads from the files' names are those that Alembic reads in the files."""
    assert database.revisions() == [script.revision for script in _FOLDER.walk_revisions()][::-1]


@pytest.mark.parametrize("revision", _EARLIER)
def test_an_upgrade_keeps_every_row(empty_url: URL, revision: str) -> None:
    """An upgrade keeps all rows; the station goes on, and so does a daemon that knows only old columns."""

    def rows(connection: sa.Connection) -> dict[str, list[dict[str, Any]]]:
        there = sa.MetaData()
        there.reflect(connection)
        return {name: _plain(connection, there.tables[name]) for name in _OLD_ROWS}

    def fill(connection: sa.Connection) -> None:
        command.upgrade(database.alembic_config(connection), revision)
        old.reflect(connection)
        for name, row in _OLD_ROWS.items():
            connection.execute(old.tables[name].insert(), row)
        before.update(rows(connection))

    def go_on_as_before(connection: sa.Connection) -> None:
        for name, row in _OLD_ROWS.items():
            connection.execute(old.tables[name].insert(), row | _OTHER_KEYS[name])

    old = sa.MetaData()
    before: dict[str, list[dict[str, Any]]] = {}
    after: dict[str, list[dict[str, Any]]] = {}
    change(empty_url, fill)
    migrate(empty_url)
    change(empty_url, lambda connection: after.update(rows(connection)))
    for name, [was] in before.items():
        [new] = after[name]
        assert {column: new[column] for column in was} == was, name
        assert was.items() >= _OLD_ROWS[name].items(), "each value is read as it was written"
    change(empty_url, go_on_as_before)
    with Store.open(empty_url, "cell-1", seam_gap_s=300) as store:
        store.record([inspected()], in_force(store))
    assert run(empty_url, Query("summary", station=_OLD_ROWS["station"]["name"])).rows[0][1] == 2


def _plain(connection: sa.Connection, table: sa.Table) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(table.select()).mappings()]


def test_history_is_append_only_down_and_up_again(store: Store, url: URL) -> None:
    """A downgrade and an upgrade with rows keep them; after the upgrade no statement replaces an old row."""
    [image, _] = store.record([inspected(part="P"), quarantined()], in_force(store))
    store.record_reviews([Review(image, "ann", Verdict.FAIL), SeamReview(image, "ann", Verdict.PASS)])
    before = rows_of(url, "SELECT * FROM station")
    change(url, lambda connection: command.downgrade(database.alembic_config(connection), "0004"))
    assert rows_of(url, "SELECT * FROM station") == before
    migrate(url)
    assert rows_of(url, "SELECT * FROM station") == before
    finals = rows_of(url, "SELECT final_verdict FROM v_inspection UNION ALL SELECT final_verdict FROM v_seam")
    assert [row.final_verdict for row in finals] == ["FAIL", "REVIEW"], (
        "verdicts on seams went down with 0006"
    )
    new = "INTO station (id, name, first_opened_us) VALUES (1, 'cell-9', 0)"
    replace = {
        "sqlite": f"INSERT OR REPLACE {new}",
        "postgresql": f"INSERT {new} ON CONFLICT (id) DO UPDATE SET name = excluded.name",
    }
    with pytest.raises(RowRefused, match=views.REFUSAL):
        change(url, lambda connection: connection.exec_driver_sql(replace[url.get_backend_name()]))
    assert rows_of(url, "SELECT * FROM station") == before
    assert row_counts(url) == (1, 1, 2)


def test_a_migration_that_fails_leaves_nothing(empty_url: URL) -> None:
    """If a table of that name exists, migrate says so in one line and makes no other table."""
    change(empty_url, lambda connection: connection.exec_driver_sql("CREATE TABLE review (id INTEGER)"))
    before = catalogue(empty_url)
    with pytest.raises(SchemaError, match="holds tables that this program did not make") as caught:
        migrate(empty_url)
    assert "\n" not in str(caught.value)
    assert catalogue(empty_url) == before


def test_stations_that_migrate_at_once_do_not_disturb_each_other(empty_url: URL) -> None:
    """Two stations that start for the first time at once make one schema, and neither fails."""
    failures: list[BaseException] = []

    def work() -> None:
        try:
            migrate(empty_url)
        except BaseException as error:  # noqa: BLE001 - the test fails with it below
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    Store.open(empty_url, "cell-1", seam_gap_s=300).close()


def test_a_migration_waits_for_another_one_and_not_for_ever_for_a_table(
    url_of: Callable[..., URL], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Another migration is waited for, with a line in the log; a table in use is named after a moment."""
    monkeypatch.setattr(store_module, "_MAX_TABLE_LOCK_WAIT_S", 1)
    url = url_of("postgresql")
    change(url, lambda connection: command.downgrade(database.alembic_config(connection), "0003"))
    other = sa.create_engine(url, poolclass=sa.NullPool)
    with other.begin() as connection:
        connection.exec_driver_sql("LOCK TABLE inspection IN ACCESS SHARE MODE")  # as a report does
        with pytest.raises(StoreUnavailable, match="end the report or station that holds the table"):
            migrate(url)
    with ThreadPoolExecutor(1) as worker, caplog.at_level(logging.WARNING):
        with other.begin() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(store_module._MIGRATION_LOCK_ID)))
            migrating = worker.submit(migrate, url)
            wait_for(lambda: "another migration is at work" in caplog.text)
        migrating.result(HANG_S)
    other.dispose()
    Store.open(url, "cell-1", seam_gap_s=300).close()


def test_no_schema_an_unknown_and_a_missing_file_are_one_line(empty_url: URL, tmp_path: Path) -> None:
    """Without the schema the store and a report refuse to work, and name the command that makes it."""
    for use in (lambda: Store.open(empty_url, "c", seam_gap_s=1), lambda: run(empty_url, Query("summary"))):
        with pytest.raises(SchemaError, match="run 'weld-inspect migrate --config F'"):
            use()
    assert not list(tmp_path.glob("*.db")), "reading must not create the file"


def test_a_newer_schema_is_refused(url: URL) -> None:
    """Store, migrate and report refuse a database from a newer program."""
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
    """Installed as from the wheel, without the checkout, the package finds its own migrations."""
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
