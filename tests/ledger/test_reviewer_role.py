"""People who review on PostgreSQL, and their console, as ``sql/roles.sql`` lets them, and nothing else."""

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
from inspector.records import Review, SeamReview, SignalNote, Verdict
from inspector.reports import definitions
from inspector.reports.query import Query, run
from inspector.review import selection, verdicts
from inspector.review.recorder import open_recorder

_PEOPLES = {"review", "seam_review", "audit_sample"}
_MAY_ADD = {"anna": _PEOPLES, "browser": {"review", "seam_review", "signal_note", "thumbnail_request"}}
_MAY_READ = {
    "anna": {"station", "model", "settings", "inspection", *_PEOPLES},
    "browser": set(schema.metadata.tables),
}
_NO_PRIVILEGE = "42501"


@pytest.fixture
def owner(url_of: Callable[[str], URL]) -> Iterator[URL]:
    """A ledger of an image, and users: ``anna`` (reviewer), ``browser`` (console), ``cell_1`` (daemon)."""
    url = url_of("postgresql")
    users = {"anna": "weldnet_reviewer", "browser": "weldnet_console", "cell_1": "weldnet_daemon"}
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
    for user, name in (("anna", "anna"), ("cell_1", None), ("browser", None), (owner.username, None)):
        url = owner.set(username=user)
        with open_recorder(url, "cell-1", seam_gap_s=300, zone=UTC) as recorder:
            assert recorder.account == name
            recorder.record([Review(1, name or "bert", Verdict.PASS)])
    assert [row.reviewer for row in rows_of(owner, "SELECT reviewer FROM review")] == ["anna", "bert"]


def test_the_console_signs_for_the_person_at_the_browser(owner: URL) -> None:
    """The console reads every report and adds verdicts of others and a note, once for each key."""
    browser, before = owner.set(username="browser"), time.time_ns() // 1000
    for name in definitions.names():
        run(browser, Query(name))
    said = [
        Review(1, "bert", Verdict.FAIL, "burn through", key="1", is_blind=True),
        SeamReview(1, "carla", Verdict.PASS, key="1"),
    ]
    note = SignalNote("p_chart", "a shift", "bert", "gas", "new bottle", key="1")
    with Store.open(browser, "cell-1", seam_gap_s=300) as store:
        assert [store.record_reviews(said) for _ in range(2)] == [2, 0]
        assert [store.record_signal_note(note) for _ in range(2)] == [1, 0]
    backdated = (
        "INSERT INTO review (inspection_id, reviewer, verdict, reviewed_us) VALUES (1, 'eve', 'PASS', 0)"
    )
    change(browser, lambda connection: connection.exec_driver_sql(backdated))
    signed = rows_of(
        owner,
        "SELECT reviewer, reviewed_us FROM review UNION ALL SELECT reviewer, reviewed_us FROM seam_review",
    )
    assert [row.reviewer for row in signed] == ["bert", "eve", "carla"]
    assert all(row.reviewed_us >= before for row in signed)


def test_the_station_and_the_owner_record_verdicts_of_others(owner: URL) -> None:
    """A verdict of any name is added by the station's user and by the owner, as ``review import`` does."""
    for user in ("cell_1", owner.username):
        with Store.open(owner.set(username=user), "cell-1", seam_gap_s=300) as store:
            store.record_reviews([Review(1, f"friend of {user}", Verdict.PASS)])
    assert len(rows_of(owner, "SELECT id FROM review")) == 2


@pytest.mark.parametrize("user", _MAY_ADD)
def test_a_reviewer_may_do_nothing_else(owner: URL, user: str) -> None:
    """Reviewer and console change and remove no row, add no other, choose no number, read no other table."""
    anna, tables = owner.set(username=user), list(schema.metadata.tables)
    with pytest.raises(StoreRefused, match="permission denied for table station"):
        Store.open(anna, "cell-2", seam_gap_s=300)
    every = (
        *("DELETE FROM {}", "UPDATE {} SET id = id", "TRUNCATE {} CASCADE", "DROP TABLE {}"),
        *("ALTER TABLE {} DISABLE TRIGGER ALL", "INSERT INTO {} (id) VALUES (9)"),
        "LOCK TABLE {} IN ACCESS EXCLUSIVE MODE",
        "CREATE TRIGGER theirs BEFORE INSERT ON {} FOR EACH ROW EXECUTE FUNCTION refuse_change()",
    )
    forbidden = [verb.format(table) for verb in every for table in tables]
    forbidden += [f"INSERT INTO {table} DEFAULT VALUES" for table in tables if table not in _MAY_ADD[user]]
    forbidden += [f"SELECT 1 FROM {table}" for table in tables if table not in _MAY_READ[user]]
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
