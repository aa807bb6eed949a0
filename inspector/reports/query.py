"""Runs ``sql/reports/*.sql`` and shows the rows; only ever reads.

A report's text runs unchanged on SQLite and PostgreSQL, so what stands in the file is what a person with a
SQL client gets too.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Any

import sqlalchemy as sa
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy.engine import URL

from inspector import resources
from inspector.errors import UsageError
from inspector.ledger import database
from inspector.ledger.schema import station as stations
from inspector.times import instants, iso

_REFERENCE_US = 28 * 86_400 * 1_000_000  # four weeks: every shift and day of the week alike
_OWN_REFERENCE = ("p_chart",)  # compares the period with itself unless told otherwise: a chart's phase I
# What the rows of a report may go by; the first unless told otherwise.
BY = {
    "first_pass_yield": ("day", "shift", "station"),
    "p_chart": ("shift", "day", "hour", "week"),  # a shift is what has one crew, one wire and one set-up
    "trend": ("day", "hour", "shift", "week"),
}
# A seam fails where at least seam_k of any seam_n consecutive frames fail; a pass of fewer than
# seam_min_frames is for review. The defaults are those of inspector.settings, which says why.
SEAM_RULE = {"seam_k": 3, "seam_n": 5, "seam_min_frames": 5}


@dataclass(frozen=True, slots=True)
class Report:
    """A report's rows; instants stand as ISO 8601 text in the zone that was asked for."""

    name: str
    since: str | None
    until: str | None
    station: str | None
    part: str | None
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def names() -> dict[str, str]:
    """Every report's name with the question it answers: the first line of its file."""
    files = sorted((resources.folder("sql") / "reports").glob("*.sql"))
    return {file.stem: file.read_text(encoding="utf-8").partition("\n")[0].lstrip("- ") for file in files}


def run(
    url: URL | str,
    name: str,
    *,
    since: str | None = None,
    until: str | None = None,
    station: str | None = None,
    part: str | None = None,
    reference_since: str | None = None,
    reference_until: str | None = None,
    by: str | None = None,
    seam_rule: Mapping[str, int] = SEAM_RULE,
    zone: tzinfo = UTC,
) -> Report:
    """Run one report.

    Args:
        url: the quality database.
        name: one of :func:`names`.
        since: ISO date or datetime, inclusive; without an offset it is in ``zone``. None: from the beginning.
        until: the same, exclusive. None: to the end.
        station: only this one; None: all.
        part: only this one; None: all.
        reference_since: first instant of the period to compare with. None: 28 days before its end.
        reference_until: its end, exclusive. None: where the period begins. The p-chart without either takes
            its limits from the period itself.
        by: what the rows go by, one of :data:`BY`. None: the first of them.
        seam_rule: when a seam fails, see :data:`SEAM_RULE`.
        zone: the station's time zone.

    Raises:
        UsageError: an unknown report, station or date, or an option that the report does not know.
        SchemaError: the database lacks the schema.
        StoreUnavailable: the server does not answer.
    """
    sql = _text_of(name)
    if part and ":part" not in sql:
        raise UsageError(f"report '{name}' knows no part; leave --part out")
    if (reference_since or reference_until) and ":reference_" not in sql:
        raise UsageError(f"report '{name}' compares with no reference; leave --reference-... out")
    first, last = instants(since, until, zone)
    if name in _OWN_REFERENCE and not (reference_since or reference_until):
        before, after = first, last
    else:  # without --since there is nothing before it: the reference is empty, and the report says so
        before, after = instants(reference_since, reference_until, zone, "reference-", first)
        before = after - _REFERENCE_US if reference_since is None else before
    period = {"since_us": first, "until_us": last, "reference_since_us": before, "reference_until_us": after}
    with database.reading(url) as engine, database.transaction(engine) as connection:
        database.require_schema(connection)
        if station:
            _require_station(connection, station)
        values = {**period, **seam_rule, "station": station or "", "part": part or "", "by": _by(name, by)}
        bound = {key: value for key, value in values.items() if re.search(rf":{key}\b", sql)}
        result = connection.execute(sa.text(sql), bound)
        columns, rows = tuple(result.keys()), [tuple(row) for row in result]
    are_instants = [column.endswith("_us") for column in columns]
    return Report(
        name=name,
        since=since,
        until=until,
        station=station,
        part=part,
        columns=tuple(column.removesuffix("_us") for column in columns),
        rows=[
            tuple(iso(cell, zone) if at else cell for cell, at in zip(row, are_instants, strict=True))
            for row in rows
        ],
    )


def render(report: Report, form: str = "table") -> str:
    """The report as text: ``table`` for people, ``csv``, or ``json``, one object.

    Raises:
        UsageError: another format.
    """
    if form == "json":
        rows = [dict(zip(report.columns, row, strict=True)) for row in report.rows]
        period = {"since": report.since, "until": report.until}
        return json.dumps(
            {"report": report.name, "period": period, "columns": report.columns, "rows": rows},
            ensure_ascii=False,
        )
    if form == "csv":
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(report.columns)
        writer.writerows(report.rows)
        return buffer.getvalue().rstrip("\n")
    if form == "table":
        return _table(report)
    raise UsageError(f"there is no format '{form}'; use table, csv or json")


def _text_of(name: str) -> str:
    known = names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(known)}"
        raise UsageError(f"there is no report '{name}'; {hint}")
    return (resources.folder("sql") / "reports" / f"{name}.sql").read_text(encoding="utf-8")


def _by(name: str, by: str | None) -> str:
    choices = BY.get(name, ())
    if by and by not in choices:
        raise UsageError(
            f"report '{name}' goes by {', '.join(choices)}, not by '{by}'"
            if choices
            else f"report '{name}' goes by nothing in particular; leave --by out"
        )
    return by or next(iter(choices), "")


def _require_station(connection: sa.Connection, name: str) -> None:
    known = connection.scalars(sa.select(stations.c.name).order_by(stations.c.name)).all()
    if name not in known:
        raise UsageError(
            f"there is no station '{name}' in this database; it has {', '.join(known) or 'none'}"
        )


# --- for people ------------------------------------------------------------------------------------------


def _table(report: Report) -> str:
    if not report.rows:
        asked = {"since": report.since, "until": report.until, "station": report.station, "part": report.part}
        conditions = "".join(f" {key} {value}" for key, value in asked.items() if value)
        return f"no data for {report.name}{conditions}"
    table = Table(box=SIMPLE_HEAD, title=report.name, title_justify="left")
    for number, column in enumerate(report.columns):
        numeric = all(isinstance(row[number], int | float | None) for row in report.rows)
        table.add_column(Text(column), justify="right" if numeric else "left", no_wrap=True)
    for row in report.rows:
        table.add_row(*(Text(_cell(*pair)) for pair in zip(report.columns, row, strict=True)))
    # As wide as the rows are: a table cut to the window would hide figures.
    console = Console(file=io.StringIO(), width=10_000, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines()).strip("\n")


def _cell(column: str, value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        if column.endswith("share"):
            return f"{value:.1%}"
        return f"{value:.1f}" if column.endswith("_ms") else f"{value:.3f}"
    return str(value)
