"""The quality report's sections: rows of the SQL reports, put into tables, plots and pictures.

No figure is made here but by adding up counts over stations and by dividing them; each is the reports' own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from inspector.reports import definitions
from inspector.reports.page import pictures, plots
from inspector.reports.page.facts import Facts, Row, tests
from inspector.reports.page.pictures import Archived, Choice, Gone
from inspector.reports.page.plots import Plot
from inspector.reports.page.words import Words, plain
from inspector.times import iso

_LONGEST = 12  # rows of a list; the command that gives the rest stands below it
_SHOWN = 8  # images of each choice
_SIDE = 220  # pixels of an image's longer side


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of a report; ``more`` of them are left out."""

    report: str
    columns: Sequence[str]
    rows: Sequence[Row]
    title: str | None = None
    more: int = 0
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """An image with its words; without ``data``, why there is none to see."""

    number: int
    alt: str
    lines: Sequence[str]
    data: str | None
    missing: str | None


@dataclass(frozen=True, slots=True)
class Gallery:
    """The images of a choice."""

    title: str
    chosen: str
    pictures: Sequence[Picture]


Block = Table | Plot | Gallery


@dataclass(frozen=True, slots=True)
class Section:
    """One heading of the report with what stands below it; empty ``blocks``: there are no data."""

    key: str
    n: str
    reports: tuple[str, ...]
    blocks: Sequence[Block]
    values: dict[str, int] = field(default_factory=dict)  # for the words of its definition
    every_part: bool = False


def sections(facts: Facts, before: Facts | None, archived: Archived, words: Words) -> list[Section]:
    """Every section in the order of the page."""
    makers = (_summary, _reconcile, _trend, _pareto, _p_chart, _seams, _agreement, _latency, _drift)
    made = [maker(facts, before, words) for maker in (*makers, _downtime, _quarantine)]
    return [*made, _images(facts, archived, words)]


def _summary(facts: Facts, before: Facts | None, words: Words) -> Section:
    rows = facts.rows("summary")
    columns = ("station", "n", "passed", "failed", "review", "pass_share", "fail_share", "review_share")
    tables = [Table("summary", (*columns, "repeated", "quarantined"), rows, "by_station")]
    by_shift = facts.rows("first_pass_yield", "shift")
    first_pass = ("shift", "n", "passed", "failed", "review", "errors", "first_pass_share")
    if by_shift:
        tables.append(Table("first_pass_yield", first_pass, by_shift, "by_shift", by="shift"))
    n = words("n.images", n=words.number(facts.total("summary", "n")))
    return Section("summary", n, ("summary", "first_pass_yield"), tables if rows else [])


def _reconcile(facts: Facts, before: Facts | None, words: Words) -> Section:
    return _plain(facts, words, "reconcile", "seen", "files")


def _trend(facts: Facts, before: Facts | None, words: Words) -> Section:
    by, _ = facts.subgroups()
    rows = facts.rows("trend", by)
    n = words("n.images", n=words.number(facts.total("trend", "n", by)))
    if not rows:
        return Section("trend", n, ("trend",), [])
    was = _share(before, "summary", "passed") if before else None
    period = facts.total("summary", "passed") / facts.total("summary", "n")
    return Section("trend", n, ("trend",), [plots.trend(rows, by, period, was, words)])


def _share(facts: Facts, report: str, column: str) -> float | None:
    n = facts.total(report, "n")
    return facts.total(report, column) / n if n else None


def _pareto(facts: Facts, before: Facts | None, words: Words) -> Section:
    rows = facts.rows("pareto")
    n = words("n.fails", n=words.number(rows[0]["of_n"] if rows else 0))
    if not rows:
        return Section("pareto", n, ("pareto",), [])
    columns = ("class", "n", "share", "cumulative_n", "cumulative_share")
    table = Table("pareto", columns, rows[:_LONGEST], more=len(rows[_LONGEST:]))
    return Section("pareto", n, ("pareto",), [plots.pareto(rows, words), table])


def _p_chart(facts: Facts, before: Facts | None, words: Words) -> Section:
    _, by = facts.subgroups()
    rows = facts.rows("p_chart", by)
    images = facts.total("p_chart", "n", by)
    n = words("n.subgroups", n=words.number(images), k=words.number(len(rows)))
    charts = [
        plots.p_chart([row for row in rows if row["station"] == name], by, number, words)
        for number, name in enumerate(dict.fromkeys(row["station"] for row in rows))
    ]
    signals = [row | {"tests": ", ".join(map(str, tests(row)))} for row in rows if tests(row)]
    when = {"hour": ("hour",), "shift": ("day", "shift")}.get(by, ("day",))
    shares = ("fail_share", "center_share", "lower_share", "upper_share")
    columns = ("station", *when, "n", "failed", *shares, "chart", "tests")
    last = sorted(signals, key=_when)[::-1][:_LONGEST]
    table = Table("p_chart", columns, last, "signals", len(signals) - len(last), by=by)
    return Section("p_chart", n, ("p_chart",), [*charts, *([table] if signals else [])])


def _when(row: Row) -> str:
    """The hour or day of a row, to sort by over all stations."""
    return str(row["hour"] or row["day"])


def _seams(facts: Facts, before: Facts | None, words: Words) -> Section:
    rows = facts.rows("seams")
    failed = sorted((row for row in rows if row["verdict"] == "FAIL"), key=lambda row: -row["bad_n"])
    columns = ("station", "part", "seam", "pass_no", "bad_n", "n", "where", "bad_from")
    worst = [row | {"where": (row["from_frame"], row["to_frame"], row["n"])} for row in failed[:_LONGEST]]
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
    return Section("seams", n, ("seams",), blocks if rows else [], dict(facts.source.seam_rule))


def _by_verdict(row: Row) -> str:
    return str(row["verdict"])


def _agreement(facts: Facts, before: Facts | None, words: Words) -> Section:
    rows = facts.rows("agreement")
    told = [row for row in rows if row["of_n"]]
    columns = ("measure", "n", "of_n", "share", "low_share", "high_share", "population")
    more = ("estimated", "estimated_low", "estimated_high", "kappa")
    blocks: list[Block] = [plots.agreement(told, words)] if told else []
    blocks += [Table("agreement", (*columns, *more), rows)] if rows else []
    return Section("agreement", words("n.reviewed"), ("agreement",), blocks)


def _latency(facts: Facts, before: Facts | None, words: Words) -> Section:
    rows = facts.rows("latency")
    hours = [row for row in facts.rows("latency_by_hour") if row["step"] == "total"]
    n = words("n.images", n=words.number(max((row["n"] for row in rows), default=0)))
    columns = ("step", "n", "p50_ms", "p95_ms", "p99_ms", "max_ms")
    blocks: list[Block] = [plots.latency(hours, words)] if hours else []
    blocks += [Table("latency", columns, rows, "steps")] if rows else []
    return Section("latency", n, ("latency", "latency_by_hour"), blocks)


def _drift(facts: Facts, before: Facts | None, words: Words) -> Section:
    rows, bins = facts.rows("drift"), facts.rows("confidence")
    n, k = (rows[0]["n"], rows[0]["reference_n"]) if rows else (0, 0)
    columns = ("measure", "psi", "band", "chance", "bins")
    blocks: list[Block] = [plots.confidence(bins, words), Table("drift", columns, rows)] if rows else []
    text = words("n.compared", n=words.number(n), k=words.number(k))
    return Section("drift", text, ("drift", "confidence"), blocks)


def _downtime(facts: Facts, before: Facts | None, words: Words) -> Section:
    rows, gaps = facts.rows("downtime"), facts.rows("gaps")
    longest = sorted(gaps, key=lambda row: -row["hours"])[:_LONGEST]
    columns = ("station", "hours", "gaps", "gap_hours", "longest_hours", "starts", "stops", "crashes")
    blocks = [Table("downtime", (*columns, "outages", "others", "run_hours"), rows)]
    between = ("station", "from", "until", "hours", "starts", "stops", "outages", "others")
    if gaps:
        blocks.append(Table("gaps", between, longest, "gaps", len(gaps) - len(longest)))
    n = words("n.hours", n=words.number(sum(row["hours"] or 0 for row in rows), 1))
    return _of_all_parts(facts, Section("downtime", n, ("downtime", "gaps"), blocks if rows else []))


def _quarantine(facts: Facts, before: Facts | None, words: Words) -> Section:
    return _plain(facts, words, "quarantine", "n", "files")


def _plain(facts: Facts, words: Words, name: str, counted: str, unit: str) -> Section:
    """A report as it is, one table."""
    n = words(f"n.{unit}", n=words.number(facts.total(name, counted)))
    rows = facts.rows(name)
    table = Table(name, facts.report(name).columns, rows[:_LONGEST], more=len(rows[_LONGEST:]))
    return _of_all_parts(facts, Section(name, n, (name,), [table] if rows else []))


def _of_all_parts(facts: Facts, section: Section) -> Section:
    apart = facts.source.part is not None and not definitions.takes(section.reports[0], "part")
    return Section(section.key, section.n, section.reports, section.blocks, every_part=apart)


# --- pictures --------------------------------------------------------------------------------------------


def _images(facts: Facts, archived: Archived, words: Words) -> Section:
    judged, failed = facts.total("summary", "n"), facts.total("summary", "failed")
    galleries = []
    for choice in Choice:
        shots = pictures.choose(facts, choice, _SHOWN)
        of = failed if choice is Choice.MOST_CERTAIN else judged
        chosen = words("picture.chosen", k=len(shots), n=words.number(of))
        if shots:
            shown = [_picture(shot, archived, facts, words) for shot in shots]
            galleries.append(Gallery(choice.value, chosen, shown))
    return Section("images", words("n.images", n=words.number(judged)), ("summary",), galleries)


def _picture(shot: pictures.Shot, archived: Archived, facts: Facts, words: Words) -> Picture:
    frame = pictures.pixels(shot, archived)
    confidence = words.number(shot.confidence, 3)
    what = {"verdict": shot.verdict, "label": plain(shot.label), "confidence": confidence}
    alt = words("picture.alt", id=shot.id, station=plain(shot.station), **what)
    place = [word for word in (shot.part, shot.seam) if word is not None]
    lines = [
        f"{shot.verdict} {plain(shot.label)} {confidence}",
        " · ".join(map(plain, [shot.station, *place])),
        words.cell("first", iso(shot.inspected_us, facts.source.zone)),
        plain(shot.source_name),
    ]
    if shot.novelty > 0:  # the artifact measures it
        lines.insert(1, f"{words('picture.novelty')} {words.number(shot.novelty, 3)}")
    if isinstance(frame, Gone):
        return Picture(shot.id, alt, lines, None, words(f"picture.{frame}", **_where(frame, shot)))
    if shot.heat is not None:
        alt = words("picture.with_heat", alt=alt)
    data = pictures.data_uri(pictures.beside_heat(frame, shot.heat, _SIDE))
    return Picture(shot.id, alt, lines, data, None if shot.heat is not None else words("picture.no_heat"))


def _where(gone: Gone, shot: pictures.Shot) -> dict[str, str]:
    return {"station": plain(shot.station)} if gone is Gone.ELSEWHERE else {}
