"""Queries that run a SQL report on the quality database; they only read.

The text of a report runs unchanged on SQLite and PostgreSQL. People with a SQL client can run the same file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL

from inspector.errors import UsageError
from inspector.ledger import database, sites
from inspector.ledger.schema import inspection
from inspector.ledger.schema import station as stations
from inspector.reports import definitions
from inspector.times import instants, iso

REFERENCE_US = 28 * 86_400 * 1_000_000  # four weeks: every shift and day of the week occurs equally often
# Reports that compare the period with itself unless a reference is given, as in phase I of a control chart.
_COMPARED_WITH_ITSELF = ("p_chart", "signals")
# How the rows of a report can be grouped (--by); the first is the default.
_SUBGROUPS = ("shift", "day", "hour", "week")  # one shift has one crew, one wire and one set-up
GROUPINGS = {
    "first_pass_yield": ("day", "shift", "station", "site"),
    "p_chart": _SUBGROUPS,
    "signals": _SUBGROUPS,
    "trend": ("day", "hour", "shift", "week"),
}
# The verdicts that the reports on production count (--verdicts), and their words in a heading. A final one is
# the latest of a person if it is PASS or FAIL, else the station's.
VERDICTS = {"final": "final verdicts", "station": "the station's verdicts"}
DEFAULT_VERDICTS = "final"  # the shop's own decision is what its yield and its parts go by
# Reports of which people want the newest rows; all others begin with what matters most. Their rows are in the
# order of time; the p-chart has one station after the other.
_NEWEST_LAST = frozenset(
    {"first_pass_yield", "gaps", "latency_by_hour", "p_chart", "seams", "throughput", "trend"}
)
_MAX_NAMED = 10  # known names in a message about an unknown one
# A line in a SQL file at which a limit saves most of the work; it names the order in which rows are kept.
_LIMITED = re.compile(r"^( +)-- limited by (.+)$", re.MULTILINE)
# A seam fails if at least seam_k of any seam_n consecutive frames fail; a pass of fewer than
# seam_min_frames is for review. The defaults are those of inspector.settings, which gives the reasons.
SEAM_RULE = {"seam_k": 3, "seam_n": 5, "seam_min_frames": 5}


@dataclass(frozen=True, slots=True)
class Query:
    """A request for one report: its name, the images to count, and the options of the report.

    Attributes:
        report: one of :func:`inspector.reports.definitions.names`.
        since: ISO date or datetime, inclusive; without an offset it is in ``zone``. None: from the beginning.
        until: the same, exclusive. None: to the end.
        station: only this one, or those of this site; None: all.
        part: only this one; None: all.
        reference_since: first instant of the reference period. None: 28 days before its end.
        reference_until: end of the reference period, exclusive. None: the start of the period. Without
            either, the p-chart takes its limits from the period itself.
        by: how the rows are grouped, one of :data:`GROUPINGS`. None: the first of them.
        verdicts: the verdicts to count, one of :data:`VERDICTS`. None: :data:`DEFAULT_VERDICTS`.
        limit: at most this many rows: the newest of a report in the order of time, the first of others. None:
            all.
        seam_rule: when a seam fails, see :data:`SEAM_RULE`.
        zone: the station's time zone.

    Raises:
        UsageError: an unknown report or date, an empty period, or an option that the report does not take.
    """

    report: str
    since: str | None = None
    until: str | None = None
    station: str | None = None
    part: str | None = None
    reference_since: str | None = None
    reference_until: str | None = None
    by: str | None = None
    verdicts: str | None = None
    limit: int | None = None
    seam_rule: Mapping[str, int] = field(default_factory=lambda: SEAM_RULE)
    zone: tzinfo = UTC

    def __post_init__(self) -> None:
        if self.part and not definitions.takes(self.report, "part"):
            raise UsageError(f"report '{self.report}' knows no part; leave --part out")
        if self._has_reference and not definitions.takes(self.report, "reference_since_us"):
            raise UsageError(f"report '{self.report}' compares with no reference; leave --reference-... out")
        if self.verdicts and not definitions.takes(self.report, "verdicts"):
            raise UsageError(f"report '{self.report}' has no choice of verdicts; leave --verdicts out")
        if self.verdicts and self.verdicts not in VERDICTS:
            raise UsageError(f"--verdicts '{self.verdicts}': there is {' and '.join(VERDICTS)}")
        choices = GROUPINGS.get(self.report, ())
        if self.by and self.by not in choices:
            raise UsageError(
                f"report '{self.report}' goes by {', '.join(choices)}, not by '{self.by}'"
                if choices
                else f"report '{self.report}' goes by nothing in particular; leave --by out"
            )
        self.parameters()  # refuses an unknown report or date before any database is opened

    @property
    def counted(self) -> str | None:
        """The verdicts that the report counts, one of :data:`VERDICTS`; None if it has no choice."""
        if not definitions.takes(self.report, "verdicts"):
            return None
        return self.verdicts or DEFAULT_VERDICTS

    @property
    def newest_last(self) -> bool:
        """Whether the newest rows are shown if there are too many, and not the first."""
        return self.report in _NEWEST_LAST

    @property
    def _has_reference(self) -> bool:
        return bool(self.reference_since or self.reference_until)

    def parameters(self) -> dict[str, Any]:
        """Values for the parameters that occur in the report's SQL."""
        since_us, until_us = instants(self.since, self.until, self.zone)
        reference_since_us, reference_until_us = self._reference_us(since_us, until_us)
        values = {
            "since_us": since_us,
            "until_us": until_us,
            "reference_since_us": reference_since_us,
            "reference_until_us": reference_until_us,
            "station": self.station or "",
            "part": self.part or "",
            "by": self.by or next(iter(GROUPINGS.get(self.report, ())), ""),
            "verdicts": self.counted,
            **self.seam_rule,
        }
        return {name: value for name, value in values.items() if definitions.takes(self.report, name)}

    def _reference_us(self, since_us: int, until_us: int) -> tuple[int, int]:
        """The period to compare with; it is empty without ``since``, because nothing comes before it."""
        if self.report in _COMPARED_WITH_ITSELF and not self._has_reference:
            return since_us, until_us
        given = self.reference_since, self.reference_until
        first, last = instants(*given, self.zone, "reference-", since_us)
        return (last - REFERENCE_US if self.reference_since is None else first), last


@dataclass(frozen=True, slots=True)
class Report:
    """The rows of a report; instants are ISO 8601 text in the time zone of the query.

    Attributes:
        query: what was asked for.
        columns: their names.
        rows: the rows.
        is_cut: whether there are more rows than the query's limit.
    """

    query: Query
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    is_cut: bool = False


def run(url: URL | str, query: Query) -> Report:
    """Run one report.

    Raises:
        UsageError: the database has no such station, site or part.
        SchemaError: the database lacks the schema.
        StoreUnavailable: the server does not answer.
    """
    with database.reading(url) as engine, database.transaction(engine) as connection:
        database.require_schema(connection)
        if query.station:
            _require_station(connection, query.station)
        if query.part:
            _require_part(connection, query.part)
        result = connection.execute(_text(query), query.parameters())
        columns, found = tuple(result.keys()), [tuple(row) for row in result]
    rows = _shown(query, found)
    are_instants = [column.endswith("_us") for column in columns]
    return Report(
        query=query,
        columns=tuple(column.removesuffix("_us") for column in columns),
        rows=[
            tuple(iso(cell, query.zone) if at else cell for cell, at in zip(row, are_instants, strict=True))
            for row in rows
        ],
        is_cut=len(rows) < len(found),
    )


def _shown(query: Query, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return as many rows as the query wants, in their order."""
    if query.limit is None:
        return rows
    if not query.newest_last:
        return rows[: query.limit]
    places = list(range(len(rows)))
    if query.report == "p_chart":  # station, hour, day, …: a point has an hour or a day
        places = sorted(places, key=lambda place: (rows[place][1] or 0, rows[place][2] or ""))
    return [rows[place] for place in sorted(places[-query.limit :])]


def _text(query: Query) -> sa.TextClause:
    """The report's SQL, which with a limit gives no more than one row above it, where that saves work."""
    sql = definitions.sql(query.report)
    if query.limit is None:
        return sa.text(sql)
    most = f"LIMIT {query.limit + 1}"
    if query.newest_last:
        return sa.text(_LIMITED.sub(rf"\1ORDER BY \2 {most}", sql))
    return sa.text(f"{sql.rstrip().removesuffix(';')}\n{most}")


def stations_opened(url: URL | str, before: datetime) -> list[str]:
    """Return the names of the stations that first opened this database before an instant.

    Raises:
        SchemaError: the database lacks the schema.
        StoreUnavailable: the server does not answer.
    """
    with database.reading(url) as engine, database.transaction(engine) as connection:
        database.require_schema(connection)
        opened = stations.c.first_opened_us < int(before.timestamp() * 1_000_000)
        return list(connection.scalars(sa.select(stations.c.name).where(opened).order_by(stations.c.name)))


def stations_and_sites(url: URL | str, before: datetime) -> list[str]:
    """Return what a report may be asked for: those stations with their sites, each site before its stations.

    Raises:
        SchemaError: the database lacks the schema.
        StoreUnavailable: the server does not answer.
    """
    known = stations_opened(url, before)
    return sorted({*sites.of(known), *known}, key=lambda name: name.split("/"))


def _require_station(connection: sa.Connection, name: str) -> None:
    known = connection.scalars(sa.select(stations.c.name).order_by(stations.c.name)).all()
    if any(sites.is_chosen(station, name) for station in known):
        return
    # Sites first: of a thousand stations the names of ten help nobody.
    names = [*(f"{site} (a site)" for site in sites.of(known)), *known]
    shown = ", ".join(names[:_MAX_NAMED]) or "none"
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    raise UsageError(f"there is no station '{name}' in this database; it has {shown}{more}")


def _require_part(connection: sa.Connection, part: str) -> None:
    """Look the part up at each station, in one step of an index; its order keeps PostgreSQL from a scan."""
    c = inspection.c
    first = sa.select(c.id).where(c.station_id == stations.c.id, c.part == part).order_by(c.seam).limit(1)
    having = sa.select(stations.c.id).where(first.correlate(stations).scalar_subquery().is_not(None))
    if connection.scalar(having.limit(1)) is None:
        raise UsageError(
            f"there is no part '{part}' in this database; 'report by_part' shows those that it has"
        )
