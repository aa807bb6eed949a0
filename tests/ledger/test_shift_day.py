"""The migration that stores the day on which a shift began: rows from before it, and back again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from catalogues import change
from ledger_samples import SECOND_US, in_force, inspected, quarantined
from sqlalchemy.engine import URL

from inspector.errors import RowRefused
from inspector.ledger import database, schema, views
from inspector.ledger.store import Store, migrate
from inspector.reports.query import Query, run

_BEFORE = "0003"
Row = dict[str, Any]


def downgrade(url: URL) -> None:
    """Take the database back to the revision before the shift's day."""
    change(url, lambda connection: command.downgrade(database.alembic_config(connection), _BEFORE))


def table_rows(url: URL, name: str) -> list[Row]:
    """Return every row of a table as it is in the database, the oldest first."""
    with database.reading(url) as engine, database.transaction(engine) as connection:
        table = sa.Table(name, sa.MetaData(), autoload_with=connection)
        return [dict(row) for row in connection.execute(table.select().order_by(table.c.id)).mappings()]


@pytest.mark.parametrize("seed", [2, 3])
@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_rows_from_before_the_migration_get_their_shift_day(
    url_of: Callable[..., URL], backend: str, seed: int
) -> None:
    """Down and up again, images get the calendar's shift day, unreadable files the shift of a near image."""
    url = url_of(backend, history=seed)
    newer = {"seam_review", "signal_note", "hour_summary", "hour_count", "hour_latency", "rejudgement"}
    newer |= {"forwarded", "hour_work", "hour_class", "hour_batch", "thumbnail_request", "thumbnail"}
    newer |= {"summary_seal"}
    old_tables = [name for name in schema.metadata.tables if name not in newer]
    written = {name: table_rows(url, name) for name in old_tables}
    downgrade(url)
    new = {
        "inspection": {"shift_day"},
        "quarantine": {"shift", "shift_day"},
        "review": {"request_key", "is_blind", "origin_row"},
        "event": {"origin_row"},
    }
    for name, rows in written.items():
        assert table_rows(url, name) == [without(row, new.get(name, set())) for row in rows], name
    assert_views_answer(url)
    migrate(url)
    images, errors = table_rows(url, "inspection"), table_rows(url, "quarantine")
    # Images that a wrong clock puts after midnight, with no evening before them: nothing shows the night.
    alone = {"1969-12-31": "1970-01-01", "2030-12-31": "2031-01-01"}
    days = [alone.get(row["shift_day"], row["shift_day"]) for row in written["inspection"]]
    assert images == [row | {"shift_day": day} for row, day in zip(written["inspection"], days, strict=True)]
    assert [without(row, new["quarantine"]) for row in errors] == [
        without(row, new["quarantine"]) for row in written["quarantine"]
    ]
    found = [(row["shift"], row["shift_day"]) for row in errors]
    assert found == [shift_of_the_nearest(images, row) for row in errors]
    assert len(set(found)) > 5
    assert_views_answer(url)


def without(row: Row, columns: set[str]) -> Row:
    """Return the row without these columns."""
    return {name: value for name, value in row.items() if name not in columns}


def assert_views_answer(url: URL) -> None:
    """Require that every view of the schema gives rows of a history."""
    # Nobody acknowledges a signal of a history, and a downgrade takes the second opinions.
    empty = ("v_signal_note", "v_rejudgement", "v_disagreement")
    with database.reading(url) as engine, database.transaction(engine) as connection:
        for view in sa.inspect(connection).get_view_names():
            row = connection.execute(sa.text(f"SELECT * FROM {view}")).first()
            assert row or view in empty, view


def shift_of_the_nearest(images: list[Row], error: Row) -> tuple[str | None, str | None]:
    """Return shift and shift day of the image judged last before, else first after, within 12 hours."""
    at = error["quarantined_us"]
    own = [image for image in images if image["station_id"] == error["station_id"]]
    near = [image for image in own if abs(image["inspected_us"] - at) <= 12 * 3600 * SECOND_US]
    before = [image for image in near if image["inspected_us"] <= at]
    chosen = max(before, key=_judged, default=None) or min(near, key=_judged, default={})
    return chosen.get("shift"), chosen.get("shift_day")


def _judged(image: Row) -> tuple[int, int]:
    return image["inspected_us"], image["id"]


def test_the_migration_leaves_history_append_only(store: Store, url: URL) -> None:
    """The triggers that it switches off to fill old rows are in force again afterwards."""
    store.record([inspected(), quarantined()], in_force(store))
    downgrade(url)
    migrate(url)
    for table in ("inspection", "quarantine"):
        statement = sa.text(f"UPDATE {table} SET shift_day = '2026-01-01'")
        with pytest.raises(RowRefused, match=views.REFUSAL):
            change(url, lambda connection, update=statement: connection.execute(update))


def test_nights_of_which_only_the_morning_has_images_are_found(store: Store, url: URL) -> None:
    """Images after midnight belong to the night before if nights go over midnight at this station."""
    store.record([inspected()], in_force(store))  # in the early shift of 2026-01-05
    downgrade(url)
    for moment in ("05T22:30", "06T00:30", "07T01:30", "07T22:10", "08T05:59"):
        at_us = (datetime.fromisoformat(f"2026-01-{moment}") - datetime(1970, 1, 1)) // timedelta(
            microseconds=1
        )
        day = f"2026-01-{moment[:2]}"
        add_old_row(url, source_name=moment, seen_us=at_us, local_day=day, shift="night")
    migrate(url)
    found = [row["shift_day"] for row in table_rows(url, "inspection")]
    assert found == [f"2026-01-{day}" for day in ("05", "05", "05", "06", "07", "07")]


@pytest.mark.parametrize("name", ["p_chart", "trend"])
def test_rows_of_an_earlier_versions_daemon_count_by_their_local_day(
    store: Store, url: URL, name: str
) -> None:
    """A daemon that still runs when another machine upgrades the database adds rows without a shift day."""
    store.record([inspected()], in_force(store))
    add_old_row(url, source_name="b.png")
    report = run(url, Query(name, by="shift"))
    [row] = [dict(zip(report.columns, row, strict=True)) for row in report.rows]
    assert (row["day"], row["shift"], row["n"]) == ("2026-01-05", "early", 2)


def add_old_row(url: URL, **columns: Any) -> None:
    """Add an inspection as a daemon before the migration does: a copy of the first one with other columns."""
    first = table_rows(url, "inspection")[0]
    row = {key: value for key, value in first.items() if key not in ("id", "shift_day")} | columns
    change(url, lambda connection: connection.execute(schema.inspection.insert(), row))
