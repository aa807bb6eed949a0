"""Human verdicts: their rules, verdicts from a CSV file, and random samples of PASS images to review."""

from __future__ import annotations

import difflib
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import URL

from inspector import times
from inspector.errors import UsageError
from inspector.ledger import database
from inspector.ledger.schema import audit_sample, model
from inspector.ledger.schema import inspection as inspections
from inspector.ledger.schema import station as stations
from inspector.ledger.store import Store
from inspector.records import Review, SeamReview, SignalNote, Verdict
from inspector.spreadsheets import tables
from inspector.spreadsheets.cells import from_cell

ANSWER_COLUMNS = ("human_verdict", "human_label", "reviewer", "note")  # a person fills these in
# The columns of 'review next', so that its rows can be filled in and imported.
_QUEUE_COLUMNS = (
    "why waiting station source_name part seam inspected verdict label confidence reason explanation "
    "archive_path"
)


@dataclass(frozen=True, slots=True)
class Draw:
    """A random sample of PASS images, as it was recorded."""

    drawn: int
    population: int  # PASS images of the selection that were in no sample before
    seed: int


def roles(connection: sa.Connection) -> dict[str, set[str]]:
    """Return every class that an artifact of this database knows, with its roles (accept, defect)."""
    found: dict[str, set[str]] = defaultdict(set)
    for metadata in connection.scalars(sa.select(model.c.metadata)):
        for known in metadata["classes"]:
            found[known["name"]].add(known["role"])
    return dict(found)


def mistakes(
    url: URL | str, reviews: Sequence[Review | SeamReview], *, new_class: bool = False
) -> list[str | None]:
    """Return for each review what is wrong with it, or None.

    Args:
        url: the quality database.
        reviews: human verdicts.
        new_class: accept classes that no artifact knows yet, for the next artifact to learn.

    Raises:
        SchemaError: the database lacks the schema.
        StoreUnavailable: the server does not answer.
    """
    with database.reading(url) as engine, database.transaction(engine) as connection:
        database.require_schema(connection)
        known = roles(connection)
        wanted = sorted({review.inspection for review in reviews})
        existing: set[int] = set()
        for batch in database.batches(wanted):
            ids = inspections.c.id
            existing.update(connection.scalars(sa.select(ids).where(ids.in_(batch))))
    return [
        _mistake(review, known, new_class=new_class)
        if review.inspection in existing
        else f"there is no inspection {review.inspection}; 'review next' and 'trace' show the numbers"
        for review in reviews
    ]


def _mistake(review: Review | SeamReview, known: Mapping[str, set[str]], *, new_class: bool) -> str | None:
    if not review.reviewer.strip():
        return "the reviewer has no name"
    if isinstance(review, SeamReview) or review.label is None:
        return None
    if review.label not in known:
        near = difflib.get_close_matches(review.label, known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(sorted(known)) or 'none'}"
        return None if new_class else f"no artifact knows a class {review.label!r}; {hint}"
    roles_of_label = known[review.label]
    if review.verdict is Verdict.FAIL and roles_of_label == {"accept"}:
        return f"FAIL contradicts {review.label!r}, an accepted class"
    if review.verdict is Verdict.PASS and roles_of_label == {"defect"}:
        return f"PASS contradicts {review.label!r}, a defect; say FAIL, or leave the label out"
    return None


def note_mistake(note: SignalNote) -> str | None:
    """Return what is wrong with a note on a signal, or None."""
    if not note.person.strip():
        return "the person has no name"
    return None if note.cause.strip() else "the note names no cause; write one, or that it is not known"


def read_csv(path: Path, reviewer: str, account: str | None = None) -> list[tuple[int, Review | str]]:
    """Read verdicts from a CSV file: for each row its line number, and the review or what is wrong with it.

    The columns are ``id`` and ``human_verdict``, optionally ``human_label``, ``reviewer`` and ``note``. The
    columns of ``weld-inspect review next --format csv`` may be there too. Rows without a verdict are left
    out. :mod:`inspector.spreadsheets.tables` describes the forms that spreadsheets write.

    Args:
        path: the file.
        reviewer: name of the reviewer for rows without one.
        account: the only name that rows may have; None: any.

    Raises:
        UsageError: the file cannot be read, or its columns are wrong.
    """
    try:
        rows = tables.read_rows(path, ("id", "human_verdict"))
    except tables.TableError as error:
        raise UsageError(f"{path}: {error}") from None
    columns = [cell.strip() for cell in rows[0][1]] if rows else []
    _require_columns(path, columns)
    return list(_answers(columns, rows[1:], reviewer, account))


def _require_columns(path: Path, columns: Sequence[str]) -> None:
    missing = [name for name in ("id", "human_verdict") if name not in columns]
    if missing:
        has = ", ".join(map(repr, columns)) or "none"
        raise UsageError(f"{path}: lacks the column {' and '.join(missing)}; it has {has}")
    allowed = {"id", *ANSWER_COLUMNS, *_QUEUE_COLUMNS.split()}
    unknown = [name for name in columns if name not in allowed]
    if unknown:
        near = difflib.get_close_matches(unknown[0], ANSWER_COLUMNS, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else "; remove it"
        raise UsageError(f"{path}: there is no column {unknown[0]!r}{hint}")


def _answers(
    columns: Sequence[str], rows: Sequence[tables.Row], reviewer: str, account: str | None
) -> Iterator[tuple[int, Review | str]]:
    seen: dict[int, int] = {}
    for line, row in rows:
        given = dict(zip(columns, row, strict=False))
        cells = {name: from_cell(given.get(name, "").strip()) for name in ("id", *ANSWER_COLUMNS)}
        if any(row[len(columns) :]):
            yield line, "has more cells than the header"
        elif not cells["human_verdict"]:
            continue
        elif not (cells["id"].isascii() and cells["id"].isdecimal() and len(cells["id"]) < 19):
            yield line, f"{cells['id']!r} is not the number of an inspection"
        elif cells["human_verdict"].upper() not in Verdict.__members__:
            yield line, f"{cells['human_verdict']!r} is not a verdict; use PASS, FAIL or REVIEW"
        elif account is not None and cells["reviewer"] not in ("", account):
            yield (
                line,
                f"the reviewer is {cells['reviewer']!r}, but this account is {account}; empty the cell",
            )
        elif (inspection := int(cells["id"])) in seen:
            yield line, f"inspection {inspection} is in line {seen[inspection]} already"
        else:
            seen[inspection] = line
            yield (
                line,
                Review(
                    inspection=inspection,
                    reviewer=cells["reviewer"] or reviewer,
                    verdict=Verdict(cells["human_verdict"].upper()),
                    label=cells["human_label"] or None,
                    note=cells["note"] or None,
                ),
            )


def draw(
    store: Store,
    url: URL | str,
    count: int,
    *,
    seed: int,
    since: str | None = None,
    until: str | None = None,
    part: str | None = None,
    zone: tzinfo = UTC,
) -> Draw:
    """Draw a random sample of the station's PASS images, and record it for people to review.

    Every image of the selection that is in no sample yet has the same chance. The share of the sample that
    people fail therefore estimates the share of defects among all PASS images. The same seed draws the same
    images from the same rows.

    Args:
        store: the station's ledger.
        url: its database.
        count: number of images to draw; all if there are fewer.
        seed: seed of the draw.
        since: see :func:`inspector.times.instants`.
        until: the same.
        part: only this one; None: all.
        zone: the station's time zone.

    Raises:
        UsageError: a bad date, or there is nothing to draw from.
        StoreUnavailable: the server does not answer.
    """
    first, last = times.instants(since, until, zone)
    table = inspections.c
    wanted = [
        stations.c.name == store.station,
        table.verdict == Verdict.PASS.value,
        table.inspected_us >= first,
        table.inspected_us < last,
        ~sa.exists().where(audit_sample.c.inspection_id == table.id),
    ]
    if part:
        wanted.append(table.part == part)
    query = sa.select(table.id).join(stations, stations.c.id == table.station_id).where(*wanted)
    with database.reading(url) as engine, database.transaction(engine) as connection:
        population = connection.scalar(sa.select(sa.func.count()).select_from(query.subquery())) or 0
        if not population:
            raise UsageError("no data: there is no PASS image outside the earlier samples")
        # Positions are drawn, not ids, so that millions of ids need not be in memory at once.
        positions = set(random.Random(seed).sample(range(population), min(count, population)))
        streamed = connection.execution_options(yield_per=10_000).execute(query.order_by(table.id)).scalars()
        chosen = [inspection for position, inspection in enumerate(streamed) if position in positions]
    store.record_sample(chosen, seed=seed, population=population)
    return Draw(drawn=len(chosen), population=population, seed=seed)
