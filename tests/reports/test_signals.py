"""The report signals: points of the p-chart on which a test fired, with the notes of people."""

from __future__ import annotations

import dataclasses
from datetime import date, timedelta
from typing import Any

import pytest
from ledger_samples import SECOND_US, START_US, in_force, inspected
from sqlalchemy.engine import URL

from inspector.ledger.store import Store
from inspector.records import SignalNote, Verdict
from inspector.reports.query import GROUPINGS, Query, run

SHIFTS = ("early", "late")
CALM = {"reference_since": "2026-01-05", "reference_until": "2026-01-08"}
FAILED = (1, 2, 1, 2, 1, 2, 9, 1, 2, 1, 8, 2)  # of ten images of a shift; two shifts a day


def asked(url: URL, name: str, **options: Any) -> list[dict[str, Any]]:
    """The rows of a report as dictionaries."""
    report = run(url, Query(name, **options))
    return [dict(zip(report.columns, row, strict=True)) for row in report.rows]


@pytest.fixture
def shop(store: Store) -> Store:
    """Provide a ledger of six days with two shifts of ten images each; two shifts are bad."""
    force = in_force(store)
    for number, failed in enumerate(FAILED):
        day = (date(2026, 1, 5) + timedelta(days=number // 2)).isoformat()
        at = START_US + number * 12 * 3600 * SECOND_US
        store.record(
            [
                dataclasses.replace(
                    inspected(
                        f"{number}-{i}.png",
                        part="P" if i % 2 else "Q",
                        seen_us=at + i * SECOND_US,
                        verdict=Verdict.FAIL if i < failed else Verdict.PASS,
                    ),
                    shift=SHIFTS[number % 2],
                    shift_day=day,
                    local_day=day,
                )
                for i in range(10)
            ],
            force,
        )
    return store


def note(store: Store, signal: str, cause: str, key: str) -> None:
    """Acknowledge a signal."""
    store.record_signal_note(SignalNote("p_chart", signal, "ann", cause, "new bottle", key))


@pytest.mark.parametrize("by", GROUPINGS["signals"])
def test_the_signals_are_the_flagged_points_of_the_p_chart(shop: Store, url: URL, by: str) -> None:
    """Each point with a test that fired is a row with the chart's own figures, under a key of its own."""
    for option in ({}, CALM, {"part": "P", **CALM}, {"verdicts": "station", **CALM}):
        points = asked(url, "p_chart", by=by, **option)
        flagged = [point for point in points if any(point[f"test_{number}"] for number in range(1, 5))]
        signals = asked(url, "signals", by=by, **option)
        shared = [name for name in points[0] if name not in ("sigma_z", "chart")]
        assert [[row[name] for name in shared] for row in signals] == [
            [point[name] for name in shared] for point in reversed(flagged)
        ]
        assert len({row["signal"] for row in signals}) == len(signals)
        assert {row["noted"] for row in signals} <= {None}
    assert by != "shift" or flagged


def test_signals_without_a_note_come_first(shop: Store, url: URL) -> None:
    """A note belongs to its point: the latest one is shown, and the row moves behind those without a note."""
    keys = ["shift|2026-01-10|early|cell-1", "shift|2026-01-08|early|cell-1"]
    rows = asked(url, "signals", **CALM)
    assert [row["signal"] for row in rows] == keys, "the newest first"
    assert {(row["report"], row["noted"], row["cause"]) for row in rows} == {("p_chart", None, None)}
    note(shop, keys[0], "gas", "1")
    note(shop, keys[0], "nozzle", "2")
    shop.record_signal_note(SignalNote("drift", keys[1], "ann", "another report", "", "3"))
    first, second = asked(url, "signals", **CALM)
    assert (first["signal"], first["noted"]) == (keys[1], None)
    assert (second["signal"], second["person"], second["cause"]) == (keys[0], "ann", "nozzle")
    assert second["action"] == "new bottle"
    assert second["noted"] > "2026"
    assert [row["cause"] for row in asked(url, "signals", verdicts="station", **CALM)] == [None, "nozzle"]


def test_a_note_on_a_part_is_not_one_on_all_parts(shop: Store, url: URL) -> None:
    """The chart of a part has signals of its own, whose keys name the part."""
    keys = [row["signal"] for row in asked(url, "signals", part="P", **CALM)]
    assert keys
    assert {key.rpartition("|")[2] for key in keys} == {"P"}
    note(shop, keys[0], "gas", "1")
    assert asked(url, "signals", part="P", **CALM)[-1]["cause"] == "gas"
    assert {row["cause"] for row in asked(url, "signals", **CALM)} == {None}
