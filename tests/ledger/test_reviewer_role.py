"""People who review on PostgreSQL, as ``sql/roles.sql`` lets them: verdicts and samples, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC

import pytest
import sqlalchemy as sa
from catalogues import change, rows_of
from ledger_samples import inspected, quarantined
from sqlalchemy.engine import URL
from verdict_samples import force

from inspector import resources
from inspector.errors import RowRefused, StoreRefused
from inspector.ledger import database, schema
from inspector.ledger.store import Store
from inspector.records import Review, SeamReview, Verdict
from inspector.reports.query import Query, run
from inspector.review import selection, verdicts
from inspector.review.recorder import open_recorder

_MAY_ADD = {"review", "seam_review", "audit_sample"}
_MAY_READ = {"station", "model", "settings", "inspection", *_MAY_ADD}
_NO_PRIVILEGE = "42501"


@pytest.fixture
def owner(url_of: Callable[[str], URL]) -> Iterator[URL]:
    """A ledger of an image, with the roles and the users ``anna`` (reviewer) and ``cell_1`` (daemon)."""
    url = url_of("postgresql")
    users = {"anna": "weldnet_reviewer", "cell_1": "weldnet_daemon"}
    roles = (resources.folder("sql") / "roles.sql").read_text(encoding="utf-8")
    for _ in range(2):  # users run it again after each migrate
        change(url, lambda connection: connection.exec_driver_sql(roles))
    for user, role in users.items():
        create = f"CREATE USER {user} IN ROLE {role}"
        change(url, lambda connection, sql=create: connection.exec_driver_sql(sql))
    try:
        with Store.open(url.set(username="cell_1"), "cell-1", seam_gap_s=300) as store:
            store.record([inspected(part="P"), quarantined()], force(store))
        yield url
    finally:
        for user in users:
            change(url, lambda connection, drop=f"DROP USER {user}": connection.exec_driver_sql(drop))


def test_a_reviewer_gives_verdicts_in_the_own_name(owner: URL) -> None:
    """A reviewer sees the queue and adds verdicts and a sample, with the own name and the server's time."""
    anna, before = owner.set(username="anna"), time.time_ns() // 1000
    assert run(anna, Query("review_queue")).columns
    assert len(selection.by_number(anna, [1])) == 1
    said = [Review(1, "anna", Verdict.FAIL, "burn through", "crack"), SeamReview(1, "anna", Verdict.PASS)]
    assert verdicts.mistakes(anna, [Review(1, "anna", Verdict.FAIL)]) == [None]
    with Store.open(anna, "cell-1", seam_gap_s=300) as store:
        assert store.record_reviews(said) == 2
        assert store.record_reviews(said) == 0
        store.record_sample([1], seed=7, population=1)
        for forged in (Review(1, "bert", Verdict.PASS), SeamReview(1, "bert", Verdict.FAIL)):
            with pytest.raises(RowRefused, match="the reviewer is anna, not bert"):
                store.record_reviews([forged])
    backdated = (
        "INSERT INTO review (inspection_id, reviewer, verdict, reviewed_us) VALUES (1, 'anna', 'PASS', 0)"
    )
    change(anna, lambda connection: connection.exec_driver_sql(backdated))
    times = rows_of(owner, "SELECT reviewed_us FROM review UNION ALL SELECT reviewed_us FROM seam_review")
    assert len(times) == 3
    assert all(row.reviewed_us >= before for row in times)
    assert [row.inspection_id for row in rows_of(owner, "SELECT inspection_id FROM audit_sample")] == [1]


def test_the_commands_know_the_name_that_is_demanded(owner: URL) -> None:
    """``review set`` signs with the database's user if that is a reviewer; others name the reviewer."""
    for user, name in (("anna", "anna"), ("cell_1", None), (owner.username, None)):
        url = owner.set(username=user)
        with open_recorder(url, "cell-1", seam_gap_s=300, zone=UTC) as recorder:
            assert recorder.account == name
            recorder.record([Review(1, name or "bert", Verdict.PASS)])
    assert [row.reviewer for row in rows_of(owner, "SELECT reviewer FROM review")] == ["anna", "bert"]


def test_the_station_and_the_owner_record_verdicts_of_others(owner: URL) -> None:
    """A verdict of any name is added by the station's user and by the owner, as ``review import`` does."""
    for user in ("cell_1", owner.username):
        with Store.open(owner.set(username=user), "cell-1", seam_gap_s=300) as store:
            store.record_reviews([Review(1, f"friend of {user}", Verdict.PASS)])
    assert len(rows_of(owner, "SELECT id FROM review")) == 2


def test_a_reviewer_may_do_nothing_else(owner: URL) -> None:
    """A reviewer changes and removes no row, adds no other, chooses no number, and reads no other table."""
    anna, tables = owner.set(username="anna"), list(schema.metadata.tables)
    with pytest.raises(StoreRefused, match="permission denied for table station"):
        Store.open(anna, "cell-2", seam_gap_s=300)
    every = (
        *("DELETE FROM {}", "UPDATE {} SET id = id", "TRUNCATE {} CASCADE", "DROP TABLE {}"),
        *("ALTER TABLE {} DISABLE TRIGGER ALL", "INSERT INTO {} (id) VALUES (9)"),
        "LOCK TABLE {} IN ACCESS EXCLUSIVE MODE",
        "CREATE TRIGGER theirs BEFORE INSERT ON {} FOR EACH ROW EXECUTE FUNCTION refuse_change()",
    )
    forbidden = [verb.format(table) for verb in every for table in tables]
    forbidden += [f"INSERT INTO {table} DEFAULT VALUES" for table in tables if table not in _MAY_ADD]
    forbidden += [f"SELECT 1 FROM {table}" for table in tables if table not in _MAY_READ]
    forbidden += [
        "CREATE TABLE public.theirs ()",
        "CREATE SCHEMA theirs",
        "CREATE OR REPLACE FUNCTION sign_review() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN END $$",
        "DROP TRIGGER review_signed ON review",
        "SET session_replication_role = replica",  # it would switch triggers off
        "SET ROLE weldnet_daemon",
        "SET SESSION AUTHORIZATION cell_1",
        "SELECT * FROM pg_authid",
        "COPY review TO PROGRAM 'true'",
    ]
    engine = database.engine(anna)
    for statement in forbidden:
        with pytest.raises(sa.exc.ProgrammingError) as caught, engine.begin() as connection:
            connection.exec_driver_sql(statement)
        assert getattr(caught.value.orig, "sqlstate", "") == _NO_PRIVILEGE, statement
    engine.dispose()
