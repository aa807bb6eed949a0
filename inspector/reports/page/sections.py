"""The sections of the quality report: tables, plots and pictures made from the rows of the SQL reports.

All figures come from the reports. This module only adds up counts over stations and divides them.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from inspector.reports import audit, definitions, escapes
from inspector.reports.page import pictures, plots
from inspector.reports.page.period_reports import PeriodReports, Row, flagging_tests
from inspector.reports.page.pictures import Choice, InspectedImage, LocalArchive, NotShown
from inspector.reports.page.plots import Plot
from inspector.reports.page.words import Words, printable
from inspector.reports.query import VERDICTS
from inspector.times import iso

_MAX_TABLE_ROWS = 12  # the command that prints the rest is named below the table
_IMAGES_PER_CHOICE = 8
_IMAGE_PIXELS = 480  # the longer side of an image: enlarged, it and its heat map fill a screen's width


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a report's rows; ``more`` rows are left out."""

    report: str
    columns: Sequence[str]
    rows: Sequence[Row]
    title: str | None = None
    more: int = 0
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """An image with its captions; without ``data``, ``missing`` gives the reason."""

    inspection: int
    alt: str
    lines: Sequence[str]
    data: str | None
    missing: str | None


@dataclass(frozen=True, slots=True)
class Gallery:
    """The images of one choice, with a title."""

    title: str
    chosen: str
    pictures: Sequence[Picture]


Block = Table | Plot | Gallery


@dataclass(frozen=True, slots=True)
class Section:
    """One section of the report; if ``blocks`` is empty, the section has no data."""

    key: str
    n: str
    reports: tuple[str, ...]
    blocks: Sequence[Block]
    values: dict[str, int] = field(default_factory=dict)  # numbers to fill into its definition
    every_part: bool = False
    words: Sequence[str] = ()  # what its rows prove, in paragraphs
    verdicts: str | None = None  # that it counts, one of query.VERDICTS; None: no production report is in it


def sections(
    reports: PeriodReports, before: PeriodReports | None, archive: LocalArchive, words: Words
) -> list[Section]:
    """All sections, in the order of the page."""
    makers = (_summary, _reconcile, _trend, _pareto, _p_chart, _seams, _agreement, _latency, _drift)
    made = [maker(reports, before, words) for maker in (*makers, _downtime, _quarantine)]
    named = [_with_verdicts(section, reports) for section in made]
    return [*named, _images(reports, archive, words)]


def _with_verdicts(section: Section, reports: PeriodReports) -> Section:
    counts_verdicts = any(definitions.takes(name, "verdicts") for name in section.reports)
    return dataclasses.replace(section, verdicts=reports.source.verdicts) if counts_verdicts else section


def _summary(reports: PeriodReports, before: PeriodReports | None, words: Words) -> Section:
    rows = reports.rows("summary")
    columns = ("station", "n", "passed", "failed", "review", "pass_share", "fail_share", "review_share")
    tables = [Table("summary", (*columns, "repeated", "quarantined"), rows, "by_station")]
    by_shift = reports.rows("first_pass_yield", "shift")
    first_pass = ("shift", "n", "passed", "failed", "review", "errors", "first_pass_share")
    if by_shift:
        tables.append(Table("first_pass_yield", first_pass, by_shift, "by_shift", by="shift"))
    n = words("n.images", n=words.number(reports.total("summary", "n")))
    return Section("summary", n, ("summary", "first_pass_yield"), tables if rows else [])


def _reconcile(reports: PeriodReports, before: PeriodReports | None, words: Words) -> Section:
    return _whole_report(reports, words, "reconcile", "seen", "files")


def _trend(reports: PeriodReports, before: PeriodReports | None, words: Words) -> Section:
    by, _ = reports.subgroups()
    rows = reports.rows("trend", by)
    n = words("n.images", n=words.number(reports.total("trend", "n", by)))
    if not rows:
        return Section("trend", n, ("trend",), [])
    was = _share(before, "summary", "passed") if before else None
    period = reports.total("summary", "passed") / reports.total("summary", "n")
    return Section("trend", n, ("trend",), [plots.trend(rows, by, period, was, words)])


def _share(reports: PeriodReports, report: str, column: str) -> float | None:
    n = reports.total(report, "n")
    return reports.total(report, column) / n if n else None


def _pareto(reports: PeriodReports, before: PeriodReports | None, words: Words) -> Section:
    rows = reports.rows("pareto")
    n = words("n.fails", n=words.number(rows[0]["of_n"] if rows else 0))
    if not rows:
        return Section("pareto", n, ("pareto",), [])
    columns = ("class", "n", "share", "cumulative_n", "cumulative_share")
    table = Table("pareto", columns, rows[:_MAX_TABLE_ROWS], more=len(rows[_MAX_TABLE_ROWS:]))
    return Section("pareto", n, ("pareto",), [plots.pareto(rows, words), table])


def _p_chart(reports: PeriodReports, before: PeriodReports | None, words: Words) -> Section:
    _, by = reports.subgroups()
    rows = reports.rows("p_chart", by)
    images = reports.total("p_chart", "n", by)
    n = words("n.subgroups", n=words.number(images), k=words.number(len(rows)))
    each = {verdicts: reports.counting(verdicts).rows("p_chart", by) for verdicts in VERDICTS}
    charts = [
        plots.p_charts(
            {
                verdicts: [row for row in all_rows if row["station"] == name]
                for verdicts, all_rows in each.items()
            },
            by,
            number,
            words,
        )
        for number, name in enumerate(dict.fromkeys(row["station"] for row in rows))
    ]
    signals = [
        row | {"tests": ", ".join(map(str, flagging_tests(row)))} for row in rows if flagging_tests(row)
    ]
    when = {"hour": ("hour",), "shift": ("day", "shift")}.get(by, ("day",))
    shares = ("fail_share", "center_share", "lower_share", "upper_share")
    columns = ("station", *when, "n", "failed", *shares, "chart", "tests")
    last = sorted(signals, key=_when)[::-1][:_MAX_TABLE_ROWS]
    table = Table("p_chart", columns, last, "signals", len(signals) - len(last), by=by)
    return Section("p_chart", n, ("p_chart",), [*charts, *([table] if signals else [])])


def _when(row: Row) -> str:
    """The hour or day of a row, to sort the rows of all stations by."""
    return str(row["hour"] or row["day"])


def _seams(reports: PeriodReports, before: PeriodReports | None, words: Words) -> Section:
    rows = reports.rows("seams")
    failed = sorted((row for row in rows if row["verdict"] == "FAIL"), key=lambda row: -(row["bad_n"] or 0))
    columns = ("station", "part", "seam", "pass_no", "reason", "bad_n", "n", "where", "bad_from")
    worst = [row | {"where": _stretch(row)} for row in failed[:_MAX_TABLE_ROWS]]
    counts = Counter(row["verdict"] for row in rows)
    by_verdict = [
        {"verdict": v, "n": counts[v], "of_n": len(rows), "share": counts[v] / len(rows)} for v in counts
    ]
    blocks = [
        Table("seams", ("verdict", "n", "of_n", "share"), sorted(by_verdict, key=_by_verdict), "verdicts")
    ]
    if failed:
        blocks.append(Table("seams", columns, worst, "failed_seams", len(failed) - len(worst)))
    n = words("n.passes", n=words.number(len(rows)))
    return Section("seams", n, ("seams",), blocks if rows else [], dict(reports.source.seam_rule))


def _stretch(row: Row) -> tuple[int, int, int] | None:
    """First and last frame of the bad stretch, and the number of frames; None if only a person failed it."""
    return (row["from_frame"], row["to_frame"], row["n"]) if row["bad_n"] else None


def _by_verdict(row: Row) -> str:
    return str(row["verdict"])


def _agreement(reports: PeriodReports, before: PeriodReports | None, words: Words) -> Section:
    rows = reports.rows("agreement")
    reviewed = [row for row in rows if row["share"] is not None]
    columns = ("measure", "n", "of_n", "share", "low_share", "high_share", "population")
    more = ("estimated", "estimated_low", "estimated_high", "kappa")
    blocks: list[Block] = [plots.agreement(reviewed, words)] if reviewed else []
    blocks += [Table("agreement", (*columns, *more), rows)] if rows else []
    by_artifact = reports.rows("escapes")
    if by_artifact:
        audits = ("passed", "audited", "escapes", "low_share", "high_share")
        expected = ("expected", "expected_low", "expected_high", "alarm")
        blocks.append(Table("escapes", ("model", "version", *audits, *expected), by_artifact, "escapes"))
    proved = [text for text in (audit.in_words(rows, words), escapes.in_words(by_artifact, words)) if text]
    return Section("agreement", words("n.reviewed"), ("agreement", "escapes"), blocks, words=proved)


def _latency(reports: PeriodReports, before: PeriodReports | None, words: Words) -> Section:
    rows = reports.rows("latency")
    hours = [row for row in reports.rows("latency_by_hour") if row["step"] == "total"]
    n = words("n.images", n=words.number(max((row["n"] for row in rows), default=0)))
    columns = ("step", "n", "p50_ms", "p95_ms", "p99_ms", "max_ms")
    blocks: list[Block] = [plots.latency(hours, words)] if hours else []
    blocks += [Table("latency", columns, rows, "steps")] if rows else []
    return Section("latency", n, ("latency", "latency_by_hour"), blocks)


def _drift(reports: PeriodReports, before: PeriodReports | None, words: Words) -> Section:
    rows, bins = reports.rows("drift"), reports.rows("confidence")
    n, k = (rows[0]["n"], rows[0]["reference_n"]) if rows else (0, 0)
    columns = ("measure", "psi", "band", "chance", "bins")
    blocks: list[Block] = [plots.confidence(bins, words), Table("drift", columns, rows)] if rows else []
    text = words("n.compared", n=words.number(n), k=words.number(k))
    return Section("drift", text, ("drift", "confidence"), blocks)


def _downtime(reports: PeriodReports, before: PeriodReports | None, words: Words) -> Section:
    rows, gaps = reports.rows("downtime"), reports.rows("gaps")
    longest = sorted(gaps, key=lambda row: -row["hours"])[:_MAX_TABLE_ROWS]
    columns = ("station", "hours", "gaps", "gap_hours", "longest_hours", "starts", "stops", "crashes")
    blocks = [Table("downtime", (*columns, "outages", "others", "run_hours"), rows)]
    between = ("station", "from", "until", "hours", "starts", "stops", "outages", "others")
    if gaps:
        blocks.append(Table("gaps", between, longest, "gaps", len(gaps) - len(longest)))
    n = words("n.hours", n=words.number(sum(row["hours"] or 0 for row in rows), 1))
    return _of_all_parts(reports, Section("downtime", n, ("downtime", "gaps"), blocks if rows else []))


def _quarantine(reports: PeriodReports, before: PeriodReports | None, words: Words) -> Section:
    return _whole_report(reports, words, "quarantine", "n", "files")


def _whole_report(reports: PeriodReports, words: Words, name: str, counted: str, unit: str) -> Section:
    """A section that shows a report unchanged, as one table."""
    n = words(f"n.{unit}", n=words.number(reports.total(name, counted)))
    rows = reports.rows(name)
    table = Table(name, reports.run(name).columns, rows[:_MAX_TABLE_ROWS], more=len(rows[_MAX_TABLE_ROWS:]))
    return _of_all_parts(reports, Section(name, n, (name,), [table] if rows else []))


def _of_all_parts(reports: PeriodReports, section: Section) -> Section:
    apart = reports.source.part is not None and not definitions.takes(section.reports[0], "part")
    return Section(section.key, section.n, section.reports, section.blocks, every_part=apart)


# --- pictures --------------------------------------------------------------------------------------------


def _images(reports: PeriodReports, archive: LocalArchive, words: Words) -> Section:
    by_station = reports.counting("station")  # as the images are chosen
    judged, failed = by_station.total("summary", "n"), by_station.total("summary", "failed")
    galleries = []
    for choice in Choice:
        images = pictures.choose(reports, choice, _IMAGES_PER_CHOICE)
        of = failed if choice is Choice.MOST_CERTAIN else judged
        chosen = words("picture.chosen", k=len(images), n=words.number(of))
        if images:
            shown = [_picture(image, archive, reports, words) for image in images]
            galleries.append(Gallery(choice.value, chosen, shown))
    n = words("n.images", n=words.number(judged))
    return Section("images", n, ("summary",), galleries, verdicts="station")


def _picture(image: InspectedImage, archive: LocalArchive, reports: PeriodReports, words: Words) -> Picture:
    frame = pictures.pixels(image, archive)
    confidence = words.number(image.confidence, 3)
    what = {"verdict": image.verdict, "label": printable(image.label), "confidence": confidence}
    alt = words("picture.alt", inspection=image.inspection, station=printable(image.station), **what)
    lines = [
        f"{image.verdict} {printable(image.label)} {confidence}",
        *([explanation] if (explanation := image.explanation(words)) else []),
        *([said] if (said := image.said_by_person()) else []),
        " · ".join(image.place(words)),
        f"{printable(image.station)} · {words.cell('first', iso(image.inspected_us, reports.source.zone))}",
        printable(image.source_name),
    ]
    if image.novelty > 0 and image.reason != "novel":  # 0: the artifact has no novelty
        lines.append(f"{words('picture.novelty')} {words.number(image.novelty, 3)}")
    if isinstance(frame, NotShown):
        return Picture(
            image.inspection, alt, lines, None, words(f"picture.{frame}", **_station_of(frame, image))
        )
    data = pictures.data_uri(pictures.side_by_side(frame, image.heat, _IMAGE_PIXELS))
    if image.heat is None:
        return Picture(image.inspection, alt, lines, data, words("picture.no_heat"))
    return Picture(image.inspection, words("picture.with_heat", alt=alt), lines, data, None)


def _station_of(reason: NotShown, image: InspectedImage) -> dict[str, str]:
    return {"station": printable(image.station)} if reason is NotShown.ELSEWHERE else {}
