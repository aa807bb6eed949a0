"""Summaries of hours: reports say the same with and without them, whatever comes after them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import sqlalchemy as sa
from catalogues import change, rows_of
from ledger_samples import SECOND_US, START_US, copy_image, in_force, inspected
from shelves import Shelf, figures, say
from sqlalchemy.engine import URL

from inspector.errors import StoreUnavailable
from inspector.ledger import changes, database
from inspector.ledger.store import Store
from inspector.ledger.summaries import HOUR_US, false_hours, summarize
from inspector.records import Inspected, Review, Verdict
from inspector.reports import definitions
from inspector.reports.query import GROUPINGS, Query, run
from inspector.times import iso

LATE_US = START_US + 100 * HOUR_US
SUMMARIZED = [
    name
    for name in definitions.names()
    if {"hour_summary", "hour_latency", "hour_work"} & set(re.findall(r"\w+", definitions.sql(name)))
]
PERIODS: list[dict[str, Any]] = [
    {},
    {"since": "2026-01-05T08:17:03", "until": "2026-01-05T12:40:00.5"},
    {"station": "cell-2", "since": "2026-01-05T09:00:00", "until": "2026-01-05T11:00:00+00:30"},
    {"part": "P1", "until": "2026-01-05T10:00:00"},
]
REFERENCES: list[dict[str, Any]] = [
    {"since": "2026-01-05T10:00:00", "reference_since": "2026-01-05T08:30:00"},
    {
        "since": "2026-01-05T09:15:00",
        "reference_since": "2026-01-05",
        "reference_until": "2026-01-05T11:00:00",
    },
]


def some(random: np.random.Generator, prefix: str, n: int) -> list[Inspected]:
    """Images of six hours, in no order of time; some have the bytes of another one."""
    return [
        inspected(
            f"{prefix}-{number}.png",
            content=f"{prefix}-{number - (number % 9 == 5)}",
            seen_us=START_US + int(random.integers(0, 6 * 3600)) * SECOND_US,
            part=part,
            seam=str(random.choice(["S1", "S2"])) if part and random.random() < 0.8 else None,
            verdict=Verdict(random.choice(["PASS", "FAIL", "REVIEW"], p=[0.6, 0.25, 0.15])),
            milliseconds=(*map(float, random.integers(1, 90, 4)),),
        )
        for number in range(n)
        for part in [str(random.choice(["P1", "P2", "P3"])) if random.random() < 0.8 else None]
    ]


def answers(url: URL) -> dict[str, Any]:
    """The rows of every report that uses summaries, for some periods, stations, parts and verdicts."""
    with database.reading(url) as engine, database.transaction(engine) as connection:
        return {
            f"{name} {by} {verdicts} {period}": connection.execute(
                sa.text(definitions.sql(name)),
                Query(name, by=by, verdicts=verdicts, **period).parameters(),
            ).all()
            for name in SUMMARIZED
            for by in GROUPINGS.get(name, (None,))[:2]
            for verdicts in (("final", "station") if definitions.takes(name, "verdicts") else (None,))
            for period in PERIODS + (REFERENCES if definitions.takes(name, "reference_since_us") else [])
            if "part" not in period or definitions.takes(name, "part")
        }


def test_reports_are_the_same_with_summaries(url: URL, url_of: Callable[..., URL]) -> None:
    """Summaries before, between and after images and verdicts change no row of any report."""
    assert len(SUMMARIZED) > 5
    without = url_of(url.get_backend_name())
    for each, is_summarized in ((url, True), (without, False)):
        random = np.random.default_rng(5)
        with (
            Store.open(each, "cell-1", seam_gap_s=600) as one,
            Store.open(each, "cell-2", seam_gap_s=600) as two,
        ):
            for step in range(2):
                for store in (one, two):
                    ids = store.record(
                        some(random, f"{store.station}-{step}", 60), in_force(store, str(step))
                    )
                    words = random.choice(["PASS", "FAIL", "REVIEW"], len(ids))
                    said = [
                        Review(number, "ann", Verdict(word)) for number, word in zip(ids, words, strict=True)
                    ]
                    store.record_reviews(said[::3])
                    if is_summarized and (step, store) != (1, two):
                        assert summarize(each, LATE_US) == 6
    assert len(rows_of(url, "SELECT DISTINCT hour_us, station_id FROM hour_summary")) == 12
    expected = answers(without)
    assert answers(url) == expected
    assert [summarize(url, LATE_US) for _ in range(2)] == [6, 0]
    assert answers(url) == expected
    assert false_hours(url) == []


@pytest.mark.parametrize(
    ("table", "steps", "at_least"),
    [
        ("hour_count", ("seal", "unsealed", "hours", "checked", "known"), 6),
        ("hour_work", ("seal", "unsealed", "hours", "checked", "known", "stretch"), 3),
        ("hour_latency", ("seal", "unsealed", "hours", "known", "stretch"), 2),
    ],
)
def test_reports_share_the_steps_that_find_summaries(
    table: str, steps: tuple[str, ...], at_least: int
) -> None:
    """The steps that reports share are alike in all: each is a file of its own, to run in any SQL client."""
    texts = [
        definitions.sql(name)
        for name in SUMMARIZED
        if re.search(rf"\b{table}\b", definitions.sql(name))
        and not definitions.takes(name, "reference_since_us")
        and name != "gaps"  # has no part
    ]
    assert len(texts) >= at_least
    for step in steps:
        pattern = rf"\b{step} AS (?:MATERIALIZED )?\((.*?)\n\)"
        assert len({re.search(pattern, text, re.DOTALL)[1] for text in texts}) == 1, step


def test_only_hours_that_are_over_are_summarized(store: Store, url: URL) -> None:
    """An hour is summarized an hour after its end, because a later image would make the summary useless."""
    store.record([inspected("a.png"), inspected("b.png", seen_us=START_US + HOUR_US)], in_force(store))
    end_us = START_US // HOUR_US * HOUR_US + HOUR_US
    assert [summarize(url, end_us + delay) for delay in (0, HOUR_US - 1, HOUR_US, HOUR_US)] == [0, 0, 1, 0]


def test_an_image_that_is_committed_later_is_counted(
    url_of: Callable[..., URL], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction that stays open leaves summaries without a seal, and counts as soon as it ends."""
    monkeypatch.setattr(changes, "_MAX_SETTLE_S", 0.1)
    url = url_of("postgresql")
    with Store.open(url, "cell-1", seam_gap_s=300) as store:
        force = in_force(store)
        engine = sa.create_engine(url)
        with engine.connect() as open_one:
            # The other station's transaction: a row with a lower number than the image that is summarized.
            store.record([inspected("first.png")], force)
            copy_image(open_one, "late.png", verdict="FAIL")
            store.record([inspected("second.png")], force)
            with pytest.raises(StoreUnavailable, match="has not ended"):
                summarize(url, LATE_US)
            assert run(url, Query("summary")).rows[0][1:4] == (2, 2, 0)
            open_one.commit()
        engine.dispose()
    assert [tuple(row) for row in rows_of(url, "SELECT n FROM hour_summary")] == [(2,)]
    assert rows_of(url, "SELECT id FROM summary_seal") == []
    for hours in (1, 0):
        assert run(url, Query("summary")).rows[0][1:4] == (3, 2, 1)
        assert [row[2] for row in run(url, Query("latency_by_hour")).rows] == [3] * 4
        assert summarize(url, LATE_US) == hours


@pytest.mark.parametrize(
    "table", ["hour_summary", "hour_count", "hour_latency", "hour_work", "hour_class", "hour_batch"]
)
def test_a_false_summary_is_found(store: Store, url: URL, table: str) -> None:
    """A summary that an account has invented is named by the start of its hour."""
    store.record([inspected("a.png")], in_force(store))
    summarize(url, LATE_US)
    assert false_hours(url) == []
    names = rows_of(url, f"SELECT * FROM {table}")[0]._fields[1:]
    values = ", ".join("n + 1" if name == "n" else name for name in names)
    lie = f"INSERT INTO {table} ({', '.join(names)}) SELECT {values} FROM {table}"
    change(url, lambda connection: connection.exec_driver_sql(lie))
    assert false_hours(url) == [START_US // HOUR_US * HOUR_US]


def test_the_command_summarizes_and_checks(tmp_path: Path, url_of: Callable[[str], URL]) -> None:
    """It prints the number of hours, and with --check names those with a false summary and ends with 1."""
    shelf = Shelf(tmp_path, url_of("sqlite"))
    for days in (3, 3, 2):
        shelf.image(f"{days}-{time.monotonic_ns()}.png", days=days)
    [(first_us,)] = rows_of(shelf.url, "SELECT max(inspected_us) FROM inspection")
    hours = len(rows_of(shelf.url, f"SELECT DISTINCT inspected_us / {HOUR_US} FROM inspection"))
    assert [figures(shelf, "summarize")["hours"] for _ in range(2)] == [hours, 0]
    assert figures(shelf, "summarize", "--check") == {"false": 0}
    lie = f"INSERT INTO hour_count SELECT id + 100, {{}} FROM hour_count WHERE last_us = {first_us}"
    names = ", ".join(rows_of(shelf.url, "SELECT * FROM hour_count")[0]._fields[1:])
    change(shelf.url, lambda connection: connection.exec_driver_sql(lie.format(names)))
    done = say(shelf, "summarize", "--check")
    assert (done.exit_code, done.stdout.split()) == (1, ["false", "1"])
    assert done.stderr.startswith(iso(first_us // HOUR_US * HOUR_US, ZoneInfo("UTC")) or "-"), done.stderr
