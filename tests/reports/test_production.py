"""Production reports, counted a second time by hand: yield, Pareto, trend, parts, seams, cameras, p-chart.

One file of more than 350 lines: all of these tests share the written histories, which take seconds to make.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import pairwise
from typing import Any

import histories
import numpy as np
import pytest
import sqlalchemy as sa
from catalogues import rows_of
from histories import BERLIN, SHIFTS
from ledger_samples import SECOND_US, START_US, in_force, inspected, quarantined
from shells import assert_prints
from sqlalchemy.engine import URL

from inspector.errors import UsageError
from inspector.ledger import database, schema
from inspector.ledger.store import Store
from inspector.records import Inspected, NameParts, Verdict
from inspector.reports.query import GROUPINGS, SEAM_RULE, VERDICTS, Query, Report, run
from inspector.reports.rendering import render
from inspector.times import local_day_and_shift

HOUR_US = 3600 * SECOND_US
NAMES = ("first_pass_yield", "pareto", "trend", "by_part", "by_seam", "by_camera", "seams", "p_chart")
ASKED = [(name, by) for name in NAMES for by in GROUPINGS.get(name, (None,))]
Row = dict[str, Any]


def images(url: URL, verdicts: str = "final") -> list[Row]:
    """Every inspection with its station's name, as plain rows with the final verdicts or the station's.

    The key ``defect`` is the class of a FAIL: the person's, or the station's if it failed the image too.
    """
    i, s, r = schema.inspection, schema.station, schema.review
    query = sa.select(i, s.c.name.label("station")).join(s).order_by(i.c.id)
    with database.reading(url) as engine, database.transaction(engine) as connection:
        rows = [dict(row) for row in connection.execute(query).mappings()]
        reviews = connection.execute(sa.select(r).order_by(r.c.id)).mappings().all()
    latest = {review["inspection_id"]: review for review in reviews}
    for row in rows:
        row["defect"], said = row["label"], latest.get(row["id"])
        if verdicts == "final" and said and said["verdict"] in ("PASS", "FAIL"):
            row["defect"] = said["label"] or (row["label"] if row["verdict"] == "FAIL" else None)
            row["verdict"] = said["verdict"]
    return rows


def people_on_seams(url: URL) -> dict[tuple[Any, ...], tuple[str, int]]:
    """For each reviewed pass over a seam, the latest verdict on it and the newest frame that was seen."""
    i, s, r = schema.inspection, schema.station, schema.seam_review
    query = sa.select(s.c.name, i.c.part, i.c.seam, i.c.pass_no, r.c.verdict, i.c.id)
    query = query.join_from(r, i).join(s).order_by(r.c.id)
    with database.reading(url) as engine, database.transaction(engine) as connection:
        return {tuple(row[:4]): (row[4], row[5]) for row in connection.execute(query)}


def errors(url: URL) -> list[Row]:
    """Every quarantined file with its station's name."""
    q, s = schema.quarantine, schema.station
    with database.reading(url) as engine, database.transaction(engine) as connection:
        rows = connection.execute(sa.select(q, s.c.name.label("station")).join(s)).mappings()
        return [dict(row) for row in rows]


def grouped(rows: Iterable[Row], key: Callable[[Row], Any]) -> dict[Any, list[Row]]:
    """Rows by key, in order."""
    groups = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def counts(rows: list[Row]) -> tuple[int, int, int, int]:
    """n, passed, failed, review."""
    verdicts = Counter(row["verdict"] for row in rows)
    return len(rows), verdicts["PASS"], verdicts["FAIL"], verdicts["REVIEW"]


def shares(rows: list[Row]) -> tuple[float, ...]:
    """Shares of PASS, FAIL and REVIEW."""
    n, *each = counts(rows)
    return tuple(count / n for count in each)


def began(rows: list[Row]) -> dict[int, tuple[str, str]]:
    """For each image, the local day on which its shift began, and the shift."""
    began = {}
    for row in rows:
        local = datetime.fromtimestamp(row["seen_us"] / 1e6, BERLIN)
        after_midnight = row["shift"] == "night" and local.hour < 6
        began[row["id"]] = ((local.date() - timedelta(days=after_midnight)).isoformat(), row["shift"])
    return began


def as_dicts(report: Report) -> list[Row]:
    """The rows of a report as dictionaries from column to value."""
    return [dict(zip(report.columns, row, strict=True)) for row in report.rows]


# --- both back ends --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "by"), ASKED)
def test_both_back_ends_give_the_same_rows(history_urls: dict[str, URL], name: str, by: str | None) -> None:
    """Each report gives the same rows, to the last bit and in the same types, on SQLite and PostgreSQL."""
    selections: list[dict[str, str]] = [
        {},
        {"station": "cell-1", "part": histories.PARTS[2]},
        {"since": "1960-01-01", "until": "2026-10-22T22:00"},
        {"since": "2035-01-01"},
        {"verdicts": "station"},
    ]
    for selection in selections:
        one, other = (run(url, Query(name, **selection, by=by, zone=BERLIN)) for url in history_urls.values())
        assert repr(one) == repr(other), selection
        assert bool(one.rows) != ("2035-01-01" in selection.values())


# --- the figures -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("verdicts", VERDICTS)
def test_first_pass_yield_is_that_of_the_first_look(history_urls: dict[str, URL], verdicts: str) -> None:
    """By day and station, first passes without repeats count; REVIEW and errors are in the denominator."""
    url = history_urls["sqlite"]
    firsts = [row for row in images(url, verdicts) if row["pass_no"] in (None, 1)]
    rows = [row for row in firsts if row["duplicate_of"] is None]
    bad = [row | {"verdict": "error", "local_day": row["path"][:10]} for row in errors(url)]
    for by, key in (("day", "local_day"), ("station", "station")):
        expected = []
        for group, some in sorted(grouped(rows + bad, lambda row, key=key: row[key]).items()):
            n, passed, failed, review = counts(some)
            wrong = n - passed - failed - review
            share = passed / n if wrong < n else None
            expected.append((group, n, passed, failed, review, wrong, share))
        report = run(url, Query("first_pass_yield", by=by, verdicts=verdicts))
        column = report.columns.index(by)
        assert [(row[column], *row[3:]) for row in report.rows] == expected


def test_first_pass_yield_gives_errors_to_the_shift_they_came_in(history_urls: dict[str, URL]) -> None:
    """By shift: an error counts in the shift in which its file was seen."""
    url = history_urls["sqlite"]
    everything = images(url)
    seen_us = [wrong["quarantined_us"] - 10 * SECOND_US for wrong in errors(url)]
    expected = Counter(local_day_and_shift(at, BERLIN, SHIFTS).shift for at in seen_us)
    rows = as_dicts(run(url, Query("first_pass_yield", by="shift")))
    assert {row["shift"]: row["errors"] for row in rows if row["errors"]} == dict(expected)
    first = [row for row in everything if row["pass_no"] in (None, 1) and row["duplicate_of"] is None]
    for shift, some in grouped(first, lambda row: row["shift"]).items():
        [row] = [row for row in rows if row["shift"] == shift]
        n, passed, failed, review = counts(some)
        assert (row["passed"], row["failed"], row["review"]) == (passed, failed, review)
        assert row["first_pass_share"] == passed / (n + expected[shift])


@pytest.mark.parametrize("verdicts", VERDICTS)
def test_pareto_adds_up(history_urls: dict[str, URL], verdicts: str) -> None:
    """Defects are ordered by frequency, each with its share and its running share, which ends at 1."""
    rows = images(history_urls["sqlite"], verdicts)
    defects = Counter(row["defect"] for row in rows if row["verdict"] == "FAIL")
    ordered = sorted(defects.items(), key=lambda item: (-item[1], item[0].encode()))
    cumulative = np.cumsum([n for _, n in ordered]).tolist()
    total = cumulative[-1]
    expected = [
        (place, label, n, total, n / total, so_far, so_far / total)
        for place, ((label, n), so_far) in enumerate(zip(ordered, cumulative, strict=True), 1)
    ]
    assert run(history_urls["sqlite"], Query("pareto", verdicts=verdicts)).rows == expected


@pytest.mark.parametrize("by", GROUPINGS["trend"])
@pytest.mark.parametrize("verdicts", VERDICTS)
def test_trend_counts_each_period(history_urls: dict[str, URL], by: str, verdicts: str) -> None:
    """By hour, shift, day and week, counts and shares are those of a simple grouping over the calendar."""
    rows = images(history_urls["sqlite"], verdicts)
    shift_of = began(rows)

    def period(row: Row) -> tuple[Any, Any, Any]:
        day = date.fromisoformat(row["local_day"])
        if by == "hour":
            hour = datetime.fromtimestamp(row["seen_us"] // HOUR_US * 3600, UTC)
            return hour.astimezone(BERLIN).isoformat(timespec="seconds"), None, None
        if by == "shift":
            return None, *shift_of[row["id"]]
        return None, (day - timedelta(days=day.weekday() if by == "week" else 0)).isoformat(), None

    expected = {key: (*counts(some), *shares(some)) for key, some in grouped(rows, period).items()}
    report = run(history_urls["sqlite"], Query("trend", by=by, verdicts=verdicts, zone=BERLIN))
    found = {row[:3]: row[3:] for row in report.rows}
    assert len(found) == len(report.rows)
    assert found == expected


@pytest.mark.parametrize(
    ("name", "keys"),
    [("by_part", ["part"]), ("by_seam", ["part", "seam"]), ("by_camera", ["station", "camera"])],
)
@pytest.mark.parametrize("verdicts", VERDICTS)
def test_parts_seams_and_cameras_are_counted(
    history_urls: dict[str, URL], name: str, keys: list[str], verdicts: str
) -> None:
    """Each part, seam and camera has its counts, shares and times; images without one have their own row."""
    rows = images(history_urls["sqlite"], verdicts)
    report = run(history_urls["sqlite"], Query(name, verdicts=verdicts, zone=UTC))
    found = {tuple(row[key] for key in keys): row for row in as_dicts(report)}
    expected = grouped(rows, lambda row: tuple(row[key] for key in keys))
    assert found.keys() == expected.keys()
    assert len(found) == len(report.rows)
    for key, some in expected.items():
        row = found[key]
        assert (row["n"], row["passed"], row["failed"], row["review"]) == counts(some)
        assert (row["pass_share"], row["fail_share"], row["review_share"]) == shares(some)
        times = [image["inspected_us"] for image in some]
        for column, at in (("first", min(times)), ("last", max(times))):
            assert datetime.fromisoformat(row[column]) == datetime.fromtimestamp(at // SECOND_US, UTC)
        if name == "by_part":
            assert row["seams"] == len({image["seam"] for image in some})
        if name != "by_camera":
            assert row["passes"] == (max(image["pass_no"] for image in some) if key[0] else None)
        else:
            no_weld = sum(image["reason"] == "blank" for image in some)
            assert (row["no_weld"], row["no_weld_share"]) == (no_weld, no_weld / len(some))
    if name != "by_camera":
        failed = [row["failed"] for row in as_dicts(report)]
        assert failed == sorted(failed, reverse=True)


# --- seams -----------------------------------------------------------------------------------------------


def seam_by_hand(rows: list[Row], k: int, n: int, least: int) -> Row:
    """The verdict on a pass, found by checking each window of n frames of each camera."""
    frames = sorted(rows, key=lambda row: (row["taken_us"], row["id"]))
    bad: set[int] = set()
    for own in grouped(enumerate(frames, 1), lambda pair: pair[1]["camera"]).values():
        for start in range(max(1, len(own) - n + 1)):
            fails = [number for number, frame in own[start : start + n] if frame["verdict"] == "FAIL"]
            bad |= set(fails) if len(fails) >= k else set()
    total, _, failed, review = counts(frames)
    reason = "stretch" if bad else "review" if review else "too few" if total < least else None
    return {
        "verdict": {"stretch": "FAIL", None: "PASS"}.get(reason, "REVIEW"),
        "reason": reason,
        "n": total,
        "failed": failed,
        "review": review,
        "bad_n": len(bad) or None,
        "from_frame": min(bad, default=None),
        "to_frame": max(bad, default=None),
        "bad_from": local(frames[min(bad) - 1]["taken_us"]) if bad else None,
        "bad_to": local(frames[max(bad) - 1]["taken_us"]) if bad else None,
        "first": local(frames[0]["taken_us"]),
        "last": local(frames[-1]["taken_us"]),
    }


def local(at_us: int, zone: tzinfo = BERLIN) -> str:
    """An instant as reports print it."""
    return datetime.fromtimestamp(at_us // SECOND_US, zone).isoformat(timespec="seconds")


def seams_by_hand(url: URL, verdicts: str, k: int, n: int, least: int) -> dict[tuple[Any, ...], Row]:
    """For station, part, seam and pass, the verdict on the pass by its frames or by a person."""
    expected = {}
    key_of = ("station", "part", "seam", "pass_no")
    with_part = [row for row in images(url, verdicts) if row["part"] is not None]
    people = people_on_seams(url) if verdicts == "final" else {}
    for key, some in grouped(with_part, lambda row: tuple(row[name] for name in key_of)).items():
        once = {row["sha256"]: row for row in reversed(some)}  # the same bytes count once
        expected[key] = seam_by_hand(list(once.values()), k, n, least)
        said, newest_seen = people.get(key, ("REVIEW", 0))
        has_seen_all = all(row["id"] <= newest_seen for row in once.values())
        if said == "FAIL" or (said == "PASS" and has_seen_all):
            expected[key] |= {"verdict": said, "reason": "person"}
    return expected


@pytest.mark.parametrize(("k", "n", "least"), [(3, 5, 5), (1, 1, 1), (2, 3, 8), (4, 20, 1)])
@pytest.mark.parametrize("verdicts", VERDICTS)
def test_a_seam_fails_where_k_of_n_frames_do(
    history_urls: dict[str, URL], k: int, n: int, least: int, verdicts: str
) -> None:
    """Verdict, reason and bad stretch of every pass are those found by checking every window."""
    expected = seams_by_hand(history_urls["sqlite"], verdicts, k, n, least)
    rule = {"seam_k": k, "seam_n": n, "seam_min_frames": least}
    query = Query("seams", seam_rule=rule, verdicts=verdicts, zone=BERLIN)
    report = run(history_urls["sqlite"], query)
    found = {row[:4]: dict(zip(report.columns[4:], row[4:], strict=True)) for row in report.rows}
    assert len(found) == len(report.rows)
    assert found == expected
    assert {row["verdict"] for row in found.values()} >= {"PASS", "REVIEW"}
    assert ("person" in {row["reason"] for row in found.values()}) == (verdicts == "final")


@pytest.mark.parametrize("back_end", ["sqlite", "postgresql"])
def test_the_views_give_the_final_verdicts_beside_the_stations(
    history_urls: dict[str, URL], back_end: str
) -> None:
    """The views have both verdicts of every image and of every pass over a seam, as found by hand."""
    url = history_urls[back_end]
    found = rows_of(url, "SELECT id, verdict, final_verdict FROM v_inspection ORDER BY id")
    pairs = zip(images(url, "station"), images(url), strict=True)
    expected = [(one["id"], one["verdict"], other["verdict"]) for one, other in pairs]
    assert [tuple(row) for row in found] == expected
    columns = (
        "station, part, seam, pass_no, n, failed, review, verdict, final_failed, final_review, final_verdict"
    )
    seen = {tuple(row[:4]): tuple(row[4:]) for row in rows_of(url, f"SELECT {columns} FROM v_seam")}
    by_station, final = (seams_by_hand(url, verdicts, 3, 5, 5) for verdicts in ("station", "final"))
    names = ("failed", "review", "verdict")
    assert seen == {
        key: (one["n"], *(one[name] for name in names), *(final[key][name] for name in names))
        for key, one in by_station.items()
    }


def weld(
    verdicts: str, *, first: int = 0, part: str = "P", seam: str | None = "S", **others: Any
) -> list[Inspected]:
    """Frames of one seam, one second apart; P, F and R are their verdicts."""
    words = {"P": Verdict.PASS, "F": Verdict.FAIL, "R": Verdict.REVIEW}
    return [
        inspected(
            f"{part}-{seam}-{number}.png",
            seen_us=START_US + number * SECOND_US,
            part=part,
            seam=seam,
            verdict=words[letter],
            **others,
        )
        for number, letter in enumerate(verdicts, first)
    ]


def seams(url: URL, **selection: Any) -> list[tuple[Any, ...]]:
    """Part, seam, verdict, reason, n and the stretch of each pass."""
    rows = as_dicts(run(url, Query("seams", **selection)))
    names = ("part", "seam", "verdict", "reason", "n", "from_frame", "to_frame")
    return [tuple(row[name] for name in names) for row in rows]


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ("PPPPPPPP", ("PASS", None, 8, None, None)),
        ("PPFPFPPPP", ("PASS", None, 9, None, None)),
        ("PFPFFPP", ("FAIL", "stretch", 7, 2, 5)),
        ("FPPFPPFPPF", ("PASS", None, 10, None, None)),
        ("PPPPPFFF", ("FAIL", "stretch", 8, 6, 8)),
        ("FFFPPPPPPPFFF", ("FAIL", "stretch", 13, 1, 13)),
        ("PPPRPPP", ("REVIEW", "review", 7, None, None)),
        ("RPFFF", ("FAIL", "stretch", 5, 3, 5)),
        ("FFF", ("FAIL", "stretch", 3, 1, 3)),
        ("PFPF", ("REVIEW", "too few", 4, None, None)),
        ("P", ("REVIEW", "too few", 1, None, None)),
    ],
)
def test_the_seam_rule_by_example(store: Store, url: URL, verdicts: str, expected: tuple[Any, ...]) -> None:
    """Three of five frames in a row fail a seam, scattered ones do not, and too few frames cannot pass it."""
    store.record(weld(verdicts) + weld("PPPPP", part="other", seam=None), in_force(store))
    assert seams(url) == [("P", "S", *expected), ("other", None, "PASS", None, 5, None, None)]


@pytest.mark.parametrize("seam", ["S", None])
def test_late_frames_change_a_seams_verdict(store: Store, url: URL, seam: str | None) -> None:
    """A pass belongs as a whole to the period of its first frame, whenever its other frames were judged."""
    store.record(weld("PPPPP", seam=seam), in_force(store))
    late = [
        dataclasses.replace(frame, inspected_us=START_US + 48 * HOUR_US)
        for frame in weld("FF", first=5, seam=seam)
    ]
    within = {"since": "2026-01-05", "until": "2026-01-06"}
    assert seams(url, **within) == [("P", seam, "PASS", None, 5, None, None)]
    store.record(late, in_force(store))
    assert seams(url, **within) == [("P", seam, "PASS", None, 7, None, None)]
    store.record(weld("F", first=7, seam=seam), in_force(store))
    assert seams(url, **within) == [("P", seam, "FAIL", "stretch", 8, 6, 8)]
    assert seams(url, since="2026-01-07") == [], "its first frame is earlier"


def test_the_same_bytes_count_once_in_every_pass(store: Store, url: URL) -> None:
    """A frozen camera's frame counts once in the first pass and once in each later one, under any names."""
    force = in_force(store)
    store.record(weld("PPPPPF", content="frozen"), force)
    later = [
        dataclasses.replace(
            frame,
            arrival=dataclasses.replace(frame.arrival, seen_us=frame.arrival.seen_us + HOUR_US),
            inspected_us=frame.inspected_us + HOUR_US,
        )
        for frame in weld("FFFF", first=6, content="frozen") + weld("PPPPF", first=10)
    ]
    store.record(later, force)
    assert seams(url) == [
        ("P", "S", "REVIEW", "too few", 1, None, None),
        ("P", "S", "PASS", None, 6, None, None),
    ]


def test_each_camera_has_its_own_windows(store: Store, url: URL) -> None:
    """Three failed frames of a camera in a row fail the seam, even with another camera's between them."""
    frames = weld("FPFPFPPPPPP")
    two = [
        dataclasses.replace(frame, name=NameParts(f"cam{number % 2}", "P", "S"))
        for number, frame in enumerate(frames)
    ]
    store.record(two, in_force(store))
    assert seams(url, seam_rule={"seam_k": 3, "seam_n": 3, "seam_min_frames": 3}) == [
        ("P", "S", "FAIL", "stretch", 11, 1, 5)
    ]


# --- the p-chart -----------------------------------------------------------------------------------------


def chart_by_hand(
    n: list[int], d: list[int], reference: tuple[list[int], list[int]] | None = None
) -> tuple[float, list[tuple[Any, ...]]]:
    """Sigma z, and for each point limits, chart and tests 1 to 4, computed from the definitions.

    The limits come from the counts and failures of the reference; the default is the points themselves.
    """
    before, bad = (np.array(values, float) for values in reference or (n, d))
    center = bad.sum() / before.sum()
    z = (bad / before - center) / np.sqrt(center * (1 - center) / before)
    sigma_z = np.abs(np.diff(z)).mean() / 1.128
    laney = sigma_z > 1 + 1.5 / math.sqrt(len(before) - 1)
    counts = np.array(n, float)
    p = np.array(d, float) / counts
    reach = 3 * np.sqrt(center * (1 - center) / counts) * (sigma_z if laney else 1)
    rows = []
    for at in range(len(n)):
        nine, six, fourteen = (
            p[max(0, at - 8) : at + 1],
            p[max(0, at - 5) : at + 1],
            p[max(0, at - 13) : at + 1],
        )
        steps = np.sign(np.diff(fourteen))
        rows.append(
            (
                max(0.0, center - reach[at]),
                min(1.0, center + reach[at]),
                "laney" if laney else "p",
                int(not center - reach[at] <= p[at] <= center + reach[at]),
                int(len(nine) == 9 and (bool((nine > center).all()) or bool((nine < center).all()))),
                int(len(six) == 6 and (bool((np.diff(six) > 0).all()) or bool((np.diff(six) < 0).all()))),
                int(len(fourteen) == 14 and all(a * b == -1 for a, b in pairwise(steps.tolist()))),
            )
        )
    return float(sigma_z), rows


CHARTED = ("lower_share", "upper_share", "chart", "test_1", "test_2", "test_3", "test_4")


@pytest.mark.parametrize("by", ["shift", "day", "hour"])
def test_the_p_chart_is_that_of_its_definition(history_urls: dict[str, URL], by: str) -> None:
    """Centre, limits, sigma z and tests of each chart are NumPy's, from the counts of the points."""
    points = as_dicts(run(history_urls["sqlite"], Query("p_chart", by=by, zone=BERLIN)))
    trend = as_dicts(run(history_urls["sqlite"], Query("trend", by=by, station="cell-1", zone=BERLIN)))
    keys = ("hour", "day", "shift", "n", "failed", "fail_share")
    own = [tuple(row[key] for key in keys) for row in points if row["station"] == "cell-1"]
    assert sorted(own, key=repr) == sorted((tuple(row[key] for key in keys) for row in trend), key=repr)
    for station, rows in grouped(points, lambda row: row["station"]).items():
        n, d = [row["n"] for row in rows], [row["failed"] for row in rows]
        sigma_z, expected = chart_by_hand(n, d)
        for row, wanted in zip(rows, expected, strict=True):
            assert row["center_share"] == sum(d) / sum(n)
            assert row["sigma_z"] == pytest.approx(sigma_z, abs=1e-8)
            found = tuple(row[key] for key in CHARTED)
            assert found[:2] == pytest.approx(wanted[:2], abs=1e-8), station
            assert found[2:] == wanted[2:], (station, row)


@pytest.mark.parametrize("by", ["shift", "day"])
@pytest.mark.parametrize(("since", "until"), [(4, 8), (0, 8), (2, 5)])
def test_the_p_charts_limits_come_from_its_reference(
    history_urls: dict[str, URL], request: pytest.FixtureRequest, by: str, since: int, until: int
) -> None:
    """Points before, around or among the first four days are judged by the limits of those four days."""
    history = histories.HISTORIES[request.node.callspec.params["history_urls"]]
    days = [(history.begins + timedelta(days=number)).date().isoformat() for number in range(9)]
    period = {"since": days[since], "until": days[until], "station": "cell-1", "by": by, "zone": BERLIN}
    phase_one = {"reference_since": days[0], "reference_until": days[4]}
    found = as_dicts(run(history_urls["sqlite"], Query("p_chart", **period, **phase_one)))
    assert run(history_urls["postgresql"], Query("p_chart", **period, **phase_one)).rows == [
        tuple(row.values()) for row in found
    ]
    own = as_dicts(run(history_urls["sqlite"], Query("p_chart", **period)))
    counted = ("day", "shift", "n", "failed")
    assert [[row[key] for key in counted] for row in found] == [[row[key] for key in counted] for row in own]
    before = as_dicts(
        run(
            history_urls["sqlite"],
            Query("p_chart", since=days[0], until=days[4], station="cell-1", by=by, zone=BERLIN),
        )
    )
    n, d = ([row[key] for row in found] for key in ("n", "failed"))
    reference = ([row["n"] for row in before], [row["failed"] for row in before])
    sigma_z, expected = chart_by_hand(n, d, reference)
    for row, wanted in zip(found, expected, strict=True):
        assert row["center_share"] == sum(reference[1]) / sum(reference[0])
        assert row["sigma_z"] == pytest.approx(sigma_z, abs=1e-8)
        assert tuple(row[key] for key in CHARTED) == pytest.approx(wanted, abs=1e-8)


def test_a_reference_from_before_flags_every_shift_after_the_change(
    history_urls: dict[str, URL], request: pytest.FixtureRequest
) -> None:
    """With limits from ten calm days, the first point outside is at the rise; all later ones are outside."""
    history = histories.HISTORIES[request.node.callspec.params["history_urls"]]
    if not history.shifted:
        return
    calm = (history.begins + timedelta(days=10)).date().isoformat()
    for url in history_urls.values():
        points = as_dicts(
            run(
                url,
                Query(
                    "p_chart",
                    station="cell-1",
                    by="shift",
                    reference_until=calm,
                    reference_since="2026-01-01",
                    verdicts="station",
                ),
            )
        )
        outside = [(row["day"], row["shift"]) for row in points if row["test_1"]]
        assert outside[0] == history.shifted
        assert outside == [(row["day"], row["shift"]) for row in points][-len(outside) :]
        assert len(outside) > 2


def test_points_without_a_reference_are_shown_and_not_judged(store: Store, url: URL) -> None:
    """A reference period without images gives empty limits, no flags and no error."""
    force = in_force(store)
    for number in range(3):
        store.record(day_of(number, 10, number), force)
    rows = run(url, Query("p_chart", by="day", reference_until="2020-01-01")).rows
    assert [row[3:] for row in rows] == [
        (None, 10, failed, failed / 10, None, None, None, None, "p", 0, 0, 0, 0) for failed in range(3)
    ]


def test_the_p_chart_flags_the_shift_at_its_subgroup(
    history_urls: dict[str, URL], request: pytest.FixtureRequest
) -> None:
    """A point is above its limit where the defect rate rises and none before; without a rise none is."""
    history = histories.HISTORIES[request.node.callspec.params["history_urls"]]
    for url in history_urls.values():
        points = as_dicts(run(url, Query("p_chart", station="cell-1", by="shift", verdicts="station")))
        flagged = [row for row in points if row["test_1"] and row["fail_share"] > row["upper_share"]]
        if history.shifted:
            assert (flagged[0]["day"], flagged[0]["shift"]) == history.shifted
        assert bool(flagged) == (
            history.shifted is not None or history.mad_clock
        )  # whose third artifact fails all


def day_of(failed: int, n: int, number: int) -> list[Inspected]:
    """The frames of one day, ``failed`` of ``n``; days count from 2026-01-01."""
    day = date(2026, 1, 1) + timedelta(days=number)
    at = int(datetime(day.year, day.month, day.day, 8, tzinfo=UTC).timestamp()) * SECOND_US
    frames = [
        inspected(f"{number}-{i}.png", seen_us=at + i, verdict=Verdict.FAIL if i < failed else Verdict.PASS)
        for i in range(n)
    ]
    return [
        dataclasses.replace(frame, local_day=day.isoformat(), shift_day=day.isoformat()) for frame in frames
    ]


@pytest.mark.parametrize(
    ("failed", "n", "flags"),
    [
        ([*[1] * 10, 9, *[1] * 9], 10, {10: "1"}),
        ([*[1, 2] * 5, *[5, 6] * 5], 10, dict.fromkeys([8, 9, 18, 19], "2") | {13: "", 12: ""}),
        ([5, 6, 1, 2, 3, 4, 5, 6], 10, {7: "3"}),
        ([4, 6] * 8, 10, {13: "4", 14: "4", 15: "4", 12: ""}),
    ],
)
def test_each_of_nelsons_tests_fires_where_its_run_is_complete(
    store: Store, url: URL, failed: list[int], n: int, flags: dict[int, str]
) -> None:
    """One far point, nine on a side, six rising, fourteen alternating: flagged at the completing point."""
    force = in_force(store)
    for number, count in enumerate(failed):
        store.record(day_of(count, n, number), force)
    points = as_dicts(run(url, Query("p_chart", by="day")))
    _, expected = chart_by_hand([n] * len(failed), failed)
    assert [tuple(row[key] for key in CHARTED[3:]) for row in points] == [row[3:] for row in expected]
    for at, test in flags.items():
        fired = "".join(test for test in "1234" if points[at][f"test_{test}"])
        assert test in fired if test else test == fired


def test_overdispersed_subgroups_get_laneys_limits(store: Store, url: URL) -> None:
    """Large days that scatter far more than chance get limits from their own scatter; calm ones do not."""
    force = in_force(store)
    for number, failed in enumerate([10, 60, 15, 55, 20, 50, 12, 58, 18, 52]):
        store.record(day_of(failed, 200, number), force)
    points = as_dicts(run(url, Query("p_chart", by="day")))
    assert {row["chart"] for row in points} == {"laney"}
    assert points[0]["sigma_z"] > 3
    assert not [row for row in points if row["test_1"]]
    calm = as_dicts(run(url, Query("p_chart", by="day", until="2026-01-02")))
    assert [(row["chart"], row["sigma_z"], row["lower_share"]) for row in calm] == [("p", None, None)]


@pytest.mark.parametrize("failed", [0, 10])
def test_all_pass_or_all_fail_has_no_limits(store: Store, url: URL, failed: int) -> None:
    """Without any scatter the limits are empty, no point is flagged and nothing is divided by zero."""
    force = in_force(store)
    for number in range(12):
        store.record(day_of(failed, 10, number), force)
    rows = run(url, Query("p_chart", by="day")).rows
    share = failed / 10
    flags = [(0, 0, 0, 0)] * 12
    assert [row[6:12] for row in rows] == [(share, share, None, None, None, "p")] * 12
    assert [row[12:] for row in rows] == flags


# --- shifts, odd classes, bad input ----------------------------------------------------------------------


NIGHTS = ("2026-01-05T22:30", "2026-01-06T00:30", "2026-01-07T01:30", "2026-01-07T22:10", "2026-01-08T05:59")


def frame_at(at: datetime, shifts: dict[str, time]) -> Inspected:
    """An image that was seen then, with its place in the calendar."""
    frame = inspected(f"{at}.png", seen_us=int(at.replace(tzinfo=UTC).timestamp()) * SECOND_US)
    day, shift, shift_day = local_day_and_shift(frame.arrival.seen_us, UTC, shifts)
    return dataclasses.replace(frame, local_day=day, shift=shift, shift_day=shift_day)


def test_a_night_is_one_shift_though_it_has_two_days(store: Store, url: URL) -> None:
    """Hours after midnight count with the evening before, also if only they hold images."""
    frames = [frame_at(datetime.fromisoformat(text), SHIFTS) for text in NIGHTS]
    store.record(frames, in_force(store))
    rows = as_dicts(run(url, Query("trend", by="shift")))
    expected = [("2026-01-05", 2), ("2026-01-06", 1), ("2026-01-07", 2)]
    assert [(row["day"], row["n"]) for row in rows] == expected
    points = as_dicts(run(url, Query("p_chart", by="shift")))
    assert [(row["day"], row["n"]) for row in points] == expected


def test_a_shift_of_24_hours_is_one_point_a_day(store: Store, url: URL) -> None:
    """A shop that works around the clock in one shift gets a point of the p-chart for each day."""
    first = datetime(2026, 1, 5, 6)
    frames = [frame_at(first + timedelta(hours=hour), {"all": time(6)}) for hour in range(7 * 24)]
    store.record(frames, in_force(store))
    expected = [(f"2026-01-{day:02}", 24) for day in range(5, 12)]
    for name in ("p_chart", "trend"):
        rows = as_dicts(run(url, Query(name, by="shift")))
        assert [(row["day"], row["n"]) for row in rows] == expected, name


def test_pareto_names_the_defect_where_an_accepted_class_leads(store: Store, url: URL) -> None:
    """A FAIL by the low threshold of a defect counts under that defect, not under the most probable class."""
    roles = {"good": "accept", 'it\'s "bad"': "defect", "$.a[0]": "defect"}
    force = store.in_force(
        metadata=json.dumps({"classes": [{"name": name, "role": role} for name, role in roles.items()]}),
        artifact_sha256="1" * 64,
        name="n",
        version="1",
        settings_json="{}",
    )
    frame = inspected("a.png", verdict=Verdict.FAIL)
    shares = {"good": 0.6, 'it\'s "bad"': 0.1, "$.a[0]": 0.3}
    judgement = dataclasses.replace(frame.judgement, label="good", confidence=0.6, probabilities=shares)
    sure = inspected("b.png", verdict=Verdict.FAIL, label='it\'s "bad"')
    store.record([dataclasses.replace(frame, judgement=judgement), sure], force)
    # An artifact with less metadata: its label counts.
    store.record([inspected("c.png", verdict=Verdict.FAIL, label="good")], in_force(store))
    found = {row["class"]: row["n"] for row in as_dicts(run(url, Query("pareto")))}
    assert found == {"$.a[0]": 1, 'it\'s "bad"': 1, "good": 1}


@pytest.mark.parametrize(("name", "by"), ASKED)
def test_empty_is_no_rows_and_one_image_is_one_row(store: Store, url: URL, name: str, by: str | None) -> None:
    """No data give no row, one image gives one row, and neither is an error."""
    assert run(url, Query(name, by=by)).rows == []
    store.record([inspected(part="P", seam="S", verdict=Verdict.FAIL)], in_force(store))
    assert len(run(url, Query(name, by=by)).rows) == 1
    assert run(url, Query(name, by=by, since="2027-01-01")).rows == []
    assert "no data" in render(run(url, Query(name, by=by, part="P", since="2027-01-01")))
    with pytest.raises(UsageError, match="there is no part 'never seen'"):
        run(url, Query(name, by=by, part="never seen"))


def test_all_pass_has_no_pareto_and_errors_alone_no_share(store: Store, url: URL) -> None:
    """Without failures there is no row; with unreadable files only, the share is empty and not 0%."""
    store.record([quarantined()], in_force(store))
    [row] = as_dicts(run(url, Query("first_pass_yield")))
    assert (row["n"], row["errors"], row["first_pass_share"]) == (1, 1, None)
    store.record([inspected()], in_force(store))
    assert run(url, Query("pareto")).rows == []
    [row] = as_dicts(run(url, Query("first_pass_yield")))
    assert (row["n"], row["passed"], row["errors"], row["first_pass_share"]) == (2, 1, 1, 0.5)


def test_an_unknown_by_is_one_line(url: URL) -> None:
    """A grouping that a report does not have is refused with those that it has."""
    with pytest.raises(UsageError, match="report 'trend' goes by day, hour, shift, week, not by 'month'"):
        run(url, Query("trend", by="month"))
    with pytest.raises(UsageError, match="leave --by out"):
        run(url, Query("pareto", by="day"))


# --- the SQL clients that people have --------------------------------------------------------------------


def parameters(by: str | None) -> dict[str, str]:
    """Every parameter as an SQL literal."""
    ends = {"since_us": str(-(1 << 62)), "until_us": str(1 << 62)}
    period = ends | {f"reference_{end}": at for end, at in ends.items()}
    texts = {"verdicts": "'final'", "station": "''", "part": "''", "by": f"'{by or ''}'"}
    return {**period, **texts, **{key: str(value) for key, value in SEAM_RULE.items()}}


@pytest.mark.parametrize("back_end", ["sqlite", "postgresql"])
def test_the_file_runs_unchanged_in_the_clients_that_people_have(
    history_urls: dict[str, URL], back_end: str
) -> None:
    """sqlite3 and psql print the same rows from the file as the command."""
    url = history_urls[back_end]
    for name, by in ASKED:
        assert_prints(url, name, parameters(by), run(url, Query(name, by=by)))
