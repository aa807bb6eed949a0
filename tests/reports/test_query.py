"""Running and printing reports: correct figures, equal on both back ends, one line if there are no rows."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import sqlalchemy as sa
from ledger_samples import SECOND_US, START_US, duplicate, in_force, inspected, quarantined
from sqlalchemy.engine import URL

from inspector import resources
from inspector.errors import UsageError
from inspector.ledger import database, schema
from inspector.ledger.store import Store
from inspector.records import Inspected, Quarantined, Verdict
from inspector.reports import definitions
from inspector.reports.query import Query, Report, run
from inspector.reports.rendering import render

BERLIN = ZoneInfo("Europe/Berlin")
LABELS = ["good", "Zebra", "apple", "über", "burn [red]through[/red]"]


def history(seed: int, images: int = 200) -> list[Inspected | Quarantined]:
    """A made-up shift: one image per minute, some of them unreadable, latencies with a long tail."""
    random = np.random.default_rng(seed)
    items: list[Inspected | Quarantined] = []
    for number in range(images):
        at = START_US + number * 60 * SECOND_US
        if random.random() < 0.1:
            items.append(quarantined(f"{number}.png", str(number), recorded_us=at))
            continue
        wait, decode, infer = random.lognormal(2, 1, 3).tolist()
        item = inspected(
            f"{number}.png",
            str(random.integers(0, images * 3)),
            seen_us=at,
            inspected_us=at,
            part=str(random.choice(["P1", "P2"])),
            verdict=Verdict(str(random.choice(list(Verdict), p=[0.7, 0.2, 0.1]))),
            label=str(random.choice(LABELS, p=[0.6, 0.1, 0.1, 0.1, 0.1])),
            confidence=float(random.uniform(0.3, 1)),
            milliseconds=(wait, decode, infer, wait + decode + infer),
        )
        items.append(item)
    return items


def record_history(url: URL, station: str, items: list[Inspected | Quarantined]) -> None:
    """Record a history as that of one station."""
    with Store.open(url, station, seam_gap_s=300) as store:
        force = in_force(store)
        for start in range(0, len(items), 8):
            store.record(items[start : start + 8], force)


def judged(items: list[Inspected | Quarantined]) -> list[Inspected]:
    """The inspected images of a history."""
    return [item for item in items if isinstance(item, Inspected)]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_both_back_ends_give_the_same_rows(url_of: Callable[[str], URL], seed: int) -> None:
    """Every report gives the same rows on SQLite and PostgreSQL: for all, and by station, part and period."""
    urls = [url_of("sqlite"), url_of("postgresql")]
    for url in urls:
        record_history(url, "cell-1", history(seed))
        record_history(url, "Cell-2", history(seed + 100, 50))
    selections: list[dict[str, str]] = [
        {},
        {"station": "Cell-2"},
        {"since": "2026-01-05T09:00", "until": "2026-01-05T10:00"},
        {"since": "2030-01-01"},
    ]
    for name in definitions.names():
        for selection in [*selections, *([{"part": "P2"}] if definitions.takes(name, "part") else [])]:
            one, other = (run(url, Query(name, **selection, zone=BERLIN)) for url in urls)
            assert one == other, f"{name} {selection}"
            if name != "fleet":  # which lists every station, with or without an image
                assert not (one.rows and "2030-01-01" in selection.values())


def test_latency_percentiles_are_those_of_numpy(url: URL) -> None:
    """p50, p95, p99 and max of each step are numpy's nearest-rank percentiles of the same times."""
    items = history(4)
    record_history(url, "cell-1", items)
    timings = [item.timings for item in judged(items)]
    expected = []
    for step in ("wait", "decode", "infer", "total"):
        times = np.array([getattr(timing, f"{step}_ms") for timing in timings])
        ranks = np.percentile(times, [50, 95, 99, 100], method="inverted_cdf")
        expected.append((step, len(times), *ranks.tolist()))
    report = run(url, Query("latency"))
    assert report.columns == ("step", "n", "p50_ms", "p95_ms", "p99_ms", "max_ms")
    assert report.rows == expected


@pytest.mark.parametrize("count", [1, 2, 19, 20, 21, 100, 101])
def test_percentiles_of_few_images(store: Store, url: URL, count: int) -> None:
    """A single image is every percentile, and at the edges of a rank the figure is still numpy's."""
    times = np.arange(1.0, count + 1)
    store.record(
        [inspected(f"{time}.png", milliseconds=(time,) * 4) for time in times.tolist()], in_force(store)
    )
    ranks = np.percentile(times, [50, 95, 99, 100], method="inverted_cdf").tolist()
    assert run(url, Query("latency")).rows[0] == ("wait", count, *ranks)


def test_percentiles_of_many_images_are_of_a_choice(store: Store, url: URL) -> None:
    """Of 60,000 images a choice gives the percentiles, all give n and max, and a small group stays exact."""
    many, few = 60_000, 1_001
    store.record([inspected("first.png", label="common", milliseconds=(1.0,) * 4)], in_force(store))
    new = {
        "source_name": "'image ' || CAST(n AS TEXT)",
        # A permutation: the images are as slow as their rank, and in no order of time.
        **dict.fromkeys(("wait_ms", "decode_ms", "infer_ms", "total_ms"), f"n * 7919 % {many} + 1"),
        "confidence": f"CAST(n * 7919 % {many} + 1 AS DOUBLE PRECISION) / {many}",
        "label": f"CASE WHEN n < {few} THEN 'rare' ELSE 'common' END",
        "batch_size": f"CASE WHEN n < {few} THEN 1 ELSE 8 END",
    }
    columns = [column.name for column in schema.inspection.columns if column.name != "id"]
    values = ", ".join(new.get(name, name) for name in columns)
    series = "WITH RECURSIVE series(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < {})"
    engine = database.engine(url)
    with engine.begin() as connection:
        copied = f"SELECT {values} FROM inspection CROSS JOIN series"
        insert = f"INSERT INTO inspection ({', '.join(columns)}) {series.format(many - 1)} {copied}"
        connection.execute(sa.text(insert))
    engine.dispose()

    for step, n, *times, slowest in run(url, Query("latency")).rows:
        assert (step, n, slowest) in {(step, many, many)}
        assert times == pytest.approx([0.5 * many, 0.95 * many, 0.99 * many], abs=0.003 * many)
    by_batch = {(row[0], row[1]): row[2:] for row in run(url, Query("latency_by_batch")).rows}
    common = many - few + 1
    assert by_batch[8, "total"][0] == common
    assert by_batch[8, "total"][1:4] == pytest.approx([0.5 * many, 0.95 * many, 0.99 * many], abs=0.02 * many)
    times = np.array([n * 7919 % many + 1 for n in range(1, few)])
    exact = np.percentile(times, [50, 95, 99, 100], method="inverted_cdf").tolist()
    assert by_batch[1, "wait"] == (few - 1, *exact)
    by_class = {row[0]: row for row in run(url, Query("by_class")).rows}
    assert by_class["common"][1:3] == (common, many)
    assert by_class["common"][7] == pytest.approx(0.5, abs=0.01)
    assert by_class["rare"][7] == np.percentile(times, 50, method="inverted_cdf") / many


def test_summary_counts_everything(url: URL) -> None:
    """The summary's counts and shares are those of the history, without quarantined files."""
    items = history(5)
    record_history(url, "cell-1", items)
    images = judged(items)
    verdicts = Counter(item.judgement.verdict for item in images)
    n, repeated = len(images), len(images) - len({item.source.sha256 for item in images})
    [row] = run(url, Query("summary", zone=BERLIN)).rows
    assert row[:5] == ("cell-1", n, verdicts["PASS"], verdicts["FAIL"], verdicts["REVIEW"])
    assert row[5:8] == pytest.approx([verdicts[kind] / n for kind in ("PASS", "FAIL", "REVIEW")])
    assert row[8:] == (repeated, len(items) - n, "2026-01-05T09:00:00+01:00", "2026-01-05T12:19:00+01:00")
    [row] = run(url, Query("summary", part="P1")).rows
    assert row[1] == sum(item.name.part == "P1" for item in images)
    assert row[9] is None, "a file without an image is of no known part"


def test_a_station_with_quarantined_files_only_has_no_shares(store: Store, url: URL) -> None:
    """Without a judged image the shares are empty, with no division by zero and no misleading 0%."""
    store.record([quarantined()], in_force(store))
    report = run(url, Query("summary"))
    assert report.rows[0][:10] == ("cell-1", 0, 0, 0, 0, None, None, None, 0, 1)
    assert "–" in render(report)


def test_by_class_counts_what_the_model_saw(url: URL) -> None:
    """Each class has its count, share, verdicts and median confidence; the most frequent class is first."""
    items = history(6)
    record_history(url, "cell-1", items)
    images = judged(items)
    expected = []
    for label in LABELS:
        own = [item.judgement for item in images if item.judgement.label == label]
        confidences = [judgement.confidence for judgement in own]
        verdicts = Counter(judgement.verdict for judgement in own)
        median = float(np.percentile(confidences, 50, method="inverted_cdf"))
        counts = (verdicts["PASS"], verdicts["FAIL"], verdicts["REVIEW"])
        share = len(own) / len(images)
        expected.append((label, len(own), len(images), share, *counts, median, min(confidences)))
    expected.sort(key=lambda row: (-row[1], row[0].encode()))
    assert run(url, Query("by_class")).rows == expected


def test_reconcile_counts_the_ledger(store: Store, url: URL) -> None:
    """Inspected, duplicates and quarantined files add up to seen."""
    first, *_ = store.record([inspected(), inspected("b.png"), quarantined()], in_force(store))
    store.record([duplicate(first, number=n) for n in (1, 2)], in_force(store))
    report = run(url, Query("reconcile"))
    assert dict(zip(report.columns, report.rows[0], strict=True)) == {
        "station": "cell-1",
        "seen": 5,
        "inspected": 2,
        "duplicates": 2,
        "quarantined": 1,
        "requeued": 0,
        "pruned": 0,
    }


# --- what is asked for -----------------------------------------------------------------------------------


def test_a_period_has_its_first_and_lacks_its_last_instant(store: Store, url: URL) -> None:
    """Since is inclusive and until exclusive, to the microsecond, in the station's zone or with an offset."""
    # 2026-01-05T09:00 in Berlin, and one microsecond to either side
    moments = {"before": START_US - 1, "at": START_US, "after": START_US + 1}
    store.record([inspected(f"{n}.png", inspected_us=at) for n, at in moments.items()], in_force(store))

    def count(**period: str) -> int:
        rows = run(url, Query("summary", **period, zone=BERLIN)).rows
        return rows[0][1] if rows else 0

    assert count(since="2026-01-05T09:00") == 2
    assert count(until="2026-01-05T09:00") == 1
    assert count(since="2026-01-05T08:00Z", until="2026-01-05T08:00:00.000001Z") == 1
    assert count(since="2026-01-05", until="2026-01-06") == 3
    assert count(since="2026-01-06") == count(until="2026-01-05") == 0


def test_days_of_summer_time_have_their_own_length(store: Store, url: URL) -> None:
    """The local day on which the clocks go forward has 23 hours: the image after it is not counted."""
    midnight = 1_774_738_800_000_000  # 2026-03-29T00:00 in Berlin; the next midnight is 23 hours later
    times = [midnight, midnight + (23 * 3600 - 1) * SECOND_US, midnight + 23 * 3600 * SECOND_US]
    store.record([inspected(f"{at}.png", inspected_us=at) for at in times], in_force(store))
    [row] = run(url, Query("summary", since="2026-03-29", until="2026-03-30", zone=BERLIN)).rows
    assert row[1] == 2


def test_a_clock_gone_mad_does_not_hide_its_rows(store: Store, url: URL) -> None:
    """Rows from before 1970 and from far beyond any calendar are counted and readable."""
    times = {"early.png": -SECOND_US, "late.png": 1 << 61}
    store.record([inspected(name, inspected_us=at) for name, at in times.items()], in_force(store))
    [row] = run(url, Query("summary")).rows
    assert (row[1], row[10], row[11]) == (2, "1969-12-31T23:59:59+00:00", f"{1 << 61} µs")


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "2026-01-32", "", "05.01.2026", "999999"])
def test_a_bad_date_is_one_line(url: URL, text: str) -> None:
    """A text that is no ISO date is refused, with an example of one."""
    with pytest.raises(UsageError, match=r"--until '.*' is not a date such as 2026-01-31"):
        run(url, Query("summary", until=text))


def test_mistakes_are_reported_with_the_right_form(store: Store, url: URL) -> None:
    """An unknown report, station or format, a reversed period, a needless part: one line with the fix."""
    cases: list[tuple[str, dict[str, str], str]] = [
        ("sumary", {}, "there is no report 'sumary'; did you mean 'summary'?"),
        ("../x", {}, "there is no report '../x'; there are agreement, "),
        ("summary", {"station": "cell-9"}, "there is no station 'cell-9' in this database; it has cell-1"),
        (
            "summary",
            {"since": "2026-02-01", "until": "2026-01-01"},
            "the period is empty: --since 2026-02-01",
        ),
        ("summary", {"part": "P-9"}, "there is no part 'P-9' in this database; 'report by_part' shows"),
        ("reconcile", {"part": "P"}, "report 'reconcile' knows no part; leave --part out"),
    ]
    for name, selection, message in cases:
        with pytest.raises(UsageError, match=re.escape(message)):
            run(url, Query(name, **selection))
    with pytest.raises(UsageError, match="use table, csv or json"):
        render(run(url, Query("summary")), "html")


def test_hostile_selections_select_nothing(store: Store, url: URL) -> None:
    """A part is always a value and never SQL."""
    store.record([inspected(part="P")], in_force(store))
    with pytest.raises(UsageError, match="there is no part '' OR '1'='1'"):
        run(url, Query("summary", part="' OR '1'='1"))
    assert run(url, Query("summary", part="P")).rows[0][1] == 1


# --- how it is shown -------------------------------------------------------------------------------------


def test_an_empty_report_says_so(store: Store, url: URL) -> None:
    """Without rows the table is one line with the selection, CSV is its header and JSON has no rows."""
    store.record([inspected(part="P")], in_force(store))
    report = run(url, Query("by_class", since="2027-01-01", part="P"))
    assert render(report) == "no data for by_class since 2027-01-01 part P"
    assert render(report, "csv").startswith("class,n,of_n,share,")
    assert "\n" not in render(report, "csv")
    assert json.loads(render(report, "json"))["rows"] == []


def test_a_csv_shows_a_formula_as_text_and_json_is_exact() -> None:
    """A station or part that begins like a formula is text in a CSV for people, and itself in JSON."""
    report = Report(Query("by_part"), ("part", "n", "share"), [("=1+1", -1, -0.5), ("@P", 2, None)])
    assert render(report, "csv").splitlines() == ["part,n,share", "'=1+1,-1,-0.5", "'@P,2,"]
    assert [row["part"] for row in json.loads(render(report, "json"))["rows"]] == ["=1+1", "@P"]


def test_csv_and_json_hold_the_figures_unrounded(url: URL) -> None:
    """Both read back to the report's own rows, and JSON names the report, the period and the columns."""
    record_history(url, "cell-1", history(7, 40))
    report = run(url, Query("by_class", since="2026-01-01"))
    text = render(report, "csv")
    assert text.startswith("\ufeff")  # without it Excel garbles the class 'über'
    header, *lines = csv.reader(io.StringIO(text.removeprefix("\ufeff")))
    assert tuple(header) == report.columns
    assert [line[0] for line in lines] == [row[0] for row in report.rows]
    assert [float(line[3]) for line in lines] == [row[3] for row in report.rows]
    content = json.loads(render(report, "json"))
    assert content["report"] == "by_class"
    assert content["period"] == {"since": "2026-01-01", "until": None}
    assert content["columns"] == list(report.columns)
    assert [tuple(row.values()) for row in content["rows"]] == report.rows


def test_the_table_shows_every_figure_and_takes_names_literally(store: Store, url: URL) -> None:
    """A label of any length, even with rich's markup, is printed whole and unchanged."""
    label = "burn [red]through[/red] " + "x" * 300
    store.record([inspected(label=label, confidence=0.123456)], in_force(store))
    text = render(run(url, Query("by_class")))
    assert label in text
    assert "0.123" in text
    assert "100.0%" in text
    assert not [line for line in text.splitlines() if line != line.rstrip()]


def test_every_report_says_what_it_answers_and_defines_its_columns(url: URL) -> None:
    """The head of each file asks the question and has a line for each column of the report."""
    known = definitions.names()
    assert set(known) >= {"summary", "by_class", "latency", "reconcile"}
    for name, question in known.items():
        header = [
            line.removeprefix("-- ")
            for line in (resources.folder("sql") / "reports" / f"{name}.sql").read_text().splitlines()
            if line.startswith("--")
        ]
        assert header[0] == question
        assert question.endswith("?")
        defined = {line.split()[0].removesuffix("_us") for line in header if re.match(r"\w+ {2,}\S", line)}
        mentioned = defined | set(re.findall(r"p\d\d", " ".join(header)))
        for column in run(url, Query(name)).columns:
            assert column in defined or column.removesuffix("_ms") in mentioned, f"{name}: {column}"
