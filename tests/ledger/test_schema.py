"""The schema: migrations and models agree, the database enforces it, and people can read it.

One file of more than 350 lines: all of these tests compare or harm the same schema.
"""

from __future__ import annotations

import contextlib
import runpy
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from catalogues import catalogue, change, rows_of
from ledger_samples import SECOND_US, START_US, in_force, inspected, quarantined
from sqlalchemy.engine import URL

from inspector import resources
from inspector.errors import StoreRefused
from inspector.ledger import database, schema, views
from inspector.ledger.store import Store
from inspector.ledger.summaries import HOUR_US, summarize
from inspector.records import Outcome, Rejudgement, Verdict
from inspector.reports import definitions
from inspector.reports.query import Query, run


def create_all(connection: sa.Connection) -> None:
    """Make the whole schema from the models, without a migration."""
    schema.metadata.create_all(connection)
    dialect = connection.dialect.name
    for statement in views.create_views(dialect) + views.create_triggers(dialect):
        connection.execute(sa.text(statement))


def test_the_migrations_make_what_the_models_say(url: URL, url_of: Callable[..., URL]) -> None:
    """The migrations and the models make the same database, to the last comment and trigger."""
    other = url_of(url.get_backend_name(), migrated=False)
    change(other, create_all)
    assert _sorted_columns(catalogue(url)) == _sorted_columns(catalogue(other))
    assert len(catalogue(url)) > 20


def _sorted_columns(lines: set[str]) -> set[str]:
    # SQLite keeps the text of CREATE TABLE, in which constraints may have another order.
    return {
        " ".join(sorted(line.replace("(", " ").replace(")", " ").replace(",", " ").split())) for line in lines
    }


def test_the_ddl_for_people_is_the_schema(url: URL, url_of: Callable[..., URL]) -> None:
    """The files in sql/ are as 'make schema' writes them, and running one makes the same schema."""
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


def test_every_column_has_a_comment(url_of: Callable[[str], URL]) -> None:
    """On PostgreSQL every table, view and column except the row's own id has a comment."""
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
    """As weldnet_daemon a station works but changes no row; weldnet_reporter can only run reports."""
    url = url_of("postgresql")
    roles = (resources.folder("sql") / "roles.sql").read_text(encoding="utf-8")
    users = {"a_station": "weldnet_daemon", "an_engineer": "weldnet_reporter"}
    # As PostgreSQL 14 and older have it:
    change(url, lambda connection: connection.exec_driver_sql("GRANT CREATE ON SCHEMA public TO PUBLIC"))
    for _ in range(2):  # users run it again after each migrate
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
            store.record_removals(arrivals[:1], Outcome.PRUNED)  # retention and requeue only add rows too
            store.record_removals(arrivals[1:], Outcome.REQUEUED)
        outcomes = [row.outcome for row in rows_of(engineer, "SELECT outcome FROM v_arrival ORDER BY id")]
        assert outcomes == ["inspected", "quarantined", "pruned", "requeued"]
        with pytest.raises(StoreRefused, match="permission denied for table station"):
            Store.open(engineer, "cell-2", seam_gap_s=300)
        for name in definitions.names():
            run(engineer, Query(name))
        tables = list(schema.metadata.tables)
        verbs = (
            *("DELETE FROM {}", "UPDATE {} SET id = id", "TRUNCATE {} CASCADE", "DROP TABLE {}"),
            "ALTER TABLE {} DISABLE TRIGGER ALL",
            "CREATE RULE theirs AS ON INSERT TO {} DO INSTEAD NOTHING",
            "CREATE TRIGGER theirs BEFORE INSERT ON {} FOR EACH ROW EXECUTE FUNCTION refuse_change()",
        )
        forbidden = {user: [verb.format(table) for verb in verbs for table in tables] for user in users}
        said = "(inspection_id, reviewer, verdict, reviewed_us) VALUES (1, 'ann', 'PASS', 0)"
        for table in ("review", "seam_review"):
            statement = f"INSERT INTO {table} {said}"
            change(station, lambda connection, add=statement: connection.exec_driver_sql(add))
            forbidden["an_engineer"].append(statement)
        create = ["CREATE TABLE public.theirs ()", "CREATE FUNCTION public.f() RETURNS int RETURN 1"]
        create.append("SET session_replication_role = replica")  # it would switch triggers off
        forbidden = {user: [*statements, *create] for user, statements in forbidden.items()}
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
    beside = {"include_object": lambda thing, name, *_: name != "append_only"}  # views.create_triggers
    engine = database.engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=beside)
        differences = compare_metadata(context, schema.metadata)
    engine.dispose()
    assert differences == []


def add_others_rows(url: URL) -> None:
    """Add a row to each table that others than the station write to, about the first image."""
    said = {"inspection_id": 1, "reviewer": "ann", "verdict": "PASS", "reviewed_us": START_US + SECOND_US}
    drawn = {"inspection_id": 1, "seed": 7, "population": 1, "drawn_us": START_US}
    forwarded = {"positions": {}, "returned": {}, "sent": 0, "behind": 0, "at_us": START_US}
    noted = {"report": "p_chart", "signal": "1", "person": "ann", "cause": "gas", "action": "new bottle"}
    rows = {
        schema.review: said | {"request_key": "key"},
        schema.seam_review: said | {"request_key": "key"},
        schema.audit_sample: drawn,
        schema.forwarded: forwarded | {"station_id": 1},
        schema.signal_note: noted | {"noted_us": START_US, "request_key": "key"},
        schema.thumbnail_request: {"inspection_id": 1, "person": "ann", "asked_us": START_US},
        schema.thumbnail: {"inspection_id": 1, "picture": b"a JPEG", "made_us": START_US},
    }
    for table, row in rows.items():
        add = table.insert().values(row)
        change(url, lambda connection, add=add: connection.execute(add))


def add_a_second_opinion(store: Store) -> None:
    """Add another verdict on the first image."""
    failed = inspected(verdict=Verdict.FAIL).judgement
    store.record_rejudgements([Rejudgement(1, failed)], "rejudge", in_force(store))


def test_history_cannot_be_changed(store: Store, url: URL) -> None:
    """The database itself refuses UPDATE and DELETE of any row of any table, with the reason."""
    store.record([inspected(), quarantined()], in_force(store))
    store.record_event("start", "")
    add_others_rows(url)
    add_a_second_opinion(store)
    summarize(url, START_US + 24 * HOUR_US)
    engine = database.immediate(database.engine(url))
    changes = [f"DELETE FROM {table}" for table in schema.metadata.tables]
    changes += [f"UPDATE {table} SET id = id + 1" for table in schema.metadata.tables]
    if url.get_backend_name() == "postgresql":
        changes += [f"TRUNCATE {table} CASCADE" for table in schema.metadata.tables]
    else:
        changes += [f"UPDATE OR REPLACE {table} SET id = id + 1" for table in schema.metadata.tables]
    for statement in changes:
        with pytest.raises(sa.exc.IntegrityError, match=views.REFUSAL), engine.begin() as connection:
            connection.exec_driver_sql(statement)
    engine.dispose()


_OTHER_KEY: dict[str, dict[str, Any]] = {  # what makes a copy of a row another row, beside its number
    "arrival": {"path": "other"},
    "audit_sample": {"inspection_id": 2},
    "event": {},
    "forwarded": {},
    "hour_batch": {},
    "hour_class": {},
    "hour_count": {},
    "hour_latency": {"of_station": 9},
    "hour_summary": {"n": 9},
    "hour_work": {"n": 9},
    "inspection": {"source_name": "other"},
    "model": {"artifact_sha256": "c" * 64},
    "quarantine": {"path": "other"},
    "rejudgement": {"inspection_id": 2},
    "review": {"request_key": "other"},
    "seam_review": {"request_key": "other"},
    "settings": {"sha256": "c" * 64},
    "signal_note": {"request_key": "other"},
    "station": {"name": "other"},
    "summary_seal": {"until_us": 9},
    "thumbnail": {"inspection_id": 2},
    "thumbnail_request": {"inspection_id": 2},
}
_INSERTS = {  # back end: statement → what is said when the row is there; None if the new row is passed over
    "sqlite": {
        "INSERT OR REPLACE INTO {}": views.REFUSAL,
        "REPLACE INTO {}": views.REFUSAL,
        "INSERT INTO {} ON CONFLICT DO UPDATE SET id = 1": views.REFUSAL,
        "INSERT OR REPLACE INTO {} ON CONFLICT (id) DO NOTHING": views.REFUSAL,
        "INSERT OR IGNORE INTO {}": None,
        "INSERT INTO {} ON CONFLICT DO NOTHING": None,
        "INSERT INTO {}": "UNIQUE constraint failed",
        "INSERT OR FAIL INTO {}": views.REFUSAL,
    },
    "postgresql": {
        "INSERT INTO {} ON CONFLICT ({}) DO UPDATE SET id = excluded.id": views.REFUSAL,
        "INSERT INTO {} ON CONFLICT DO NOTHING": None,
        "INSERT INTO {}": "duplicate key",
    },
}


@pytest.mark.parametrize("table", _OTHER_KEY)
def test_no_insert_replaces_a_row(store: Store, url: URL, table: str) -> None:
    """A row with a key that is there is ignored or refused, as its statement asks for; the old row stays."""
    store.record([inspected(), inspected("b.png"), quarantined()], in_force(store))
    store.record_event("start", "")
    add_others_rows(url)
    add_a_second_opinion(store)
    summarize(url, START_US + 24 * HOUR_US)
    others = {name: repr(value) for name, value in _OTHER_KEY[table].items()}  # as SQL writes them, too
    columns = {column.name: column.name for column in schema.metadata.tables[table].columns}
    copies = {"id": columns | others}  # the number is there
    if others:  # the other key is there; without such a key a copy without a number is simply a new row
        copies[_other_key(table)] = {name: text for name, text in columns.items() if name != "id"}
    engine = database.immediate(database.engine(url))
    before = rows_of(url, f"SELECT * FROM {table} ORDER BY id")
    for key, copy in copies.items():
        for form, says in _INSERTS[url.get_backend_name()].items():
            start, _, end = form.format(table, key).partition(f" {table}")
            values = f"({', '.join(copy)}) SELECT {', '.join(copy.values())} FROM {table} WHERE id = 1"
            statement = f"{start} {table} {values}{end}"
            refused = pytest.raises(sa.exc.IntegrityError, match=says) if says else contextlib.nullcontext()
            with refused, engine.begin() as connection:
                connection.exec_driver_sql(statement)
            assert rows_of(url, f"SELECT * FROM {table} ORDER BY id") == before, statement
    engine.dispose()


def _other_key(table: str) -> str:
    """The columns of a table's key beside its number."""
    [key] = schema.unique_keys(schema.metadata.tables[table])
    return ", ".join(column.name for column in key)


def test_a_replace_that_replaces_nothing_is_an_insert(url_of: Callable[[str], URL]) -> None:
    """INSERT OR REPLACE of a row whose keys are new adds it."""
    url = url_of("sqlite")
    new = "INSERT OR REPLACE INTO station (name, first_opened_us) VALUES ('a', 0), ('b', 0)"
    change(url, lambda connection: connection.exec_driver_sql(new))
    assert [row.name for row in rows_of(url, "SELECT name FROM station ORDER BY id")] == ["a", "b"]


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
    """Both back ends refuse a row that contradicts itself, refers to no row or exists already."""
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
    with engine.begin() as connection:  # the same row without a mistake is accepted
        connection.execute(sound.insert(), row)
    engine.dispose()
    assert not accepted


def test_the_view_shows_timestamps_and_the_latest_human_verdict(store: Store, url: URL) -> None:
    """v_inspection shows names for ids, timestamps for microseconds, and the last review of each image."""
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
    """Each view of the schema shows the row that belongs to it."""
    store.record([inspected(part="P"), quarantined()], in_force(store))
    store.record_event("start", "")
    add_others_rows(url)
    add_a_second_opinion(store)
    summarize(url, START_US + 24 * HOUR_US)
    with database.reading(url) as engine, engine.begin() as connection:
        names = sa.inspect(connection).get_view_names()
        sizes = {name: len(connection.execute(sa.text(f"SELECT * FROM {name}")).all()) for name in names}
    assert sizes == dict.fromkeys(views.VIEWS, 1) | {"v_arrival": 2}


def test_programs_that_open_a_fresh_file_at_once_all_get_in(tmp_path: Path) -> None:
    """SQLite refuses a switch to WAL beside another one at once; the program tries again."""
    at_once = threading.Barrier(4)
    failures: list[BaseException] = []

    def open_each() -> None:
        for number in range(60):  # without a second try one in ten fails
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
