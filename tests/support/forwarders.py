"""Stations' ledgers that are forwarded to a central one, and what both hold, told without their numbers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from catalogues import rows_of
from ledger_samples import START_US, duplicate, in_force, inspected, quarantined
from sqlalchemy.engine import URL

from inspector.forwarding.forwarder import Sent, forward
from inspector.ledger.store import Store
from inspector.records import Outcome, Rejudgement, Review, SeamReview, SignalNote, Verdict
from inspector.station.archive_places import ArchiveFolder
from inspector.station.service import StopFlag

NO_ARCHIVE = ArchiveFolder(Path("no archive"))  # of stations whose images were never files
_IMAGE = "i.source_name, i.sha256"
_QUERIES = {  # each row of a station without the numbers that differ between databases
    "inspection": f"""
        SELECT {_IMAGE}, o.source_name AS first, m.artifact_sha256, t.sha256 AS settings, i.part, i.pass_no,
               i.inspected_us, i.verdict, i.label, i.confidence, i.probabilities, i.novelty, i.reason, i.heat,
               i.shift_day, i.wait_ms, i.total_ms, i.archive_path
        FROM inspection i JOIN model m ON m.id = i.model_id JOIN settings t ON t.id = i.settings_id
        LEFT JOIN inspection o ON o.id = i.duplicate_of
        JOIN station s ON s.id = i.station_id""",
    "quarantine": "SELECT i.path, i.quarantined_us, i.reason, i.detail FROM quarantine i"
    " JOIN station s ON s.id = i.station_id",
    "arrival": """
        SELECT a.source_name, a.sha256, a.inode, a.recorded_us, a.outcome, a.path, o.source_name AS image,
               q.path AS quarantined
        FROM arrival a LEFT JOIN inspection o ON o.id = a.inspection_id
        LEFT JOIN quarantine q ON q.id = a.quarantine_id JOIN station s ON s.id = a.station_id""",
    "event": "SELECT e.kind, e.detail, e.at_us FROM event e JOIN station s ON s.id = e.station_id",
    "review": f"SELECT {_IMAGE}, a.reviewer, a.verdict, a.label, a.note, a.reviewed_us, a.is_blind"
    " FROM review a JOIN inspection i ON i.id = a.inspection_id JOIN station s ON s.id = i.station_id",
    "seam_review": f"SELECT {_IMAGE}, a.reviewer, a.verdict, a.reviewed_us"
    " FROM seam_review a JOIN inspection i ON i.id = a.inspection_id JOIN station s ON s.id = i.station_id",
    "rejudgement": f"""
        SELECT {_IMAGE}, m.artifact_sha256, a.run, a.verdict, a.probabilities, a.judged_us
        FROM rejudgement a JOIN inspection i ON i.id = a.inspection_id JOIN model m ON m.id = a.model_id
        JOIN station s ON s.id = i.station_id""",
    "audit_sample": f"SELECT {_IMAGE}, a.seed, a.population, a.drawn_us FROM audit_sample a"
    " JOIN inspection i ON i.id = a.inspection_id JOIN station s ON s.id = i.station_id",
}
_ORDER = {"inspection": "i.id", "quarantine": "i.id", "event": "e.id"}


def content(url: URL, station: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of a station in their order, without numbers; JSON as text or as values alike."""
    return {
        name: [
            tuple(_plain(cell) for cell in row)
            for row in rows_of(url, f"{query} WHERE s.name = '{station}' ORDER BY {_ORDER.get(name, 'a.id')}")
        ]
        for name, query in _QUERIES.items()
    }


def _plain(cell: Any) -> Any:
    if isinstance(cell, str) and cell.startswith("{"):
        import json

        return json.loads(cell)
    return bytes(cell) if isinstance(cell, memoryview) else cell


def work_a_shift(url: URL, station: str) -> None:
    """Let a station and its people add rows to every table."""
    with Store.open(url, station, seam_gap_s=300) as store:
        force = in_force(store)
        store.record_event("start", "with 'quotes' and é")
        twice = [inspected("again.png"), inspected("copy.png", "again.png")]  # the same bytes
        failed = inspected("crack.png", verdict=Verdict.FAIL, part="P", label="crater crack")
        ids = store.record([*twice, failed, quarantined(), inspected("%FF.png")], force)
        store.record([duplicate(ids[0], "again.png")], force)
        arrivals = [row.id for row in rows_of(url, "SELECT id FROM arrival WHERE outcome = 'quarantined'")]
        store.record_removals(arrivals, Outcome.REQUEUED)
        said = Review(ids[0], "ann", Verdict.FAIL, "a hole", "burn through", is_blind=True)
        store.record_reviews(
            [said, SeamReview(ids[2], "bob", Verdict.PASS), Review(ids[2], "bob", Verdict.PASS)]
        )
        store.record_reviews([Review(ids[1], "ann", Verdict.PASS, key=f"browser of {station}")])
        store.record_rejudgements([Rejudgement(ids[0], failed.judgement)], "shadow", in_force(store, "new"))
        store.record_rejudgements([Rejudgement(ids[1], None, "pruned")], "shadow", in_force(store, "new"))
        store.record_sample(ids[:2], seed=7, population=3)
        store.record_signal_note(SignalNote("p_chart", station, "ann", "gas", "new bottle", key=station))
        store.record_event("stop", "")


def add_images(url: URL, station: str, count: int, *, first: int = 0) -> None:
    """Let a station record so many images, a few at a time."""
    with Store.open(url, station, seam_gap_s=300) as store:
        force = in_force(store)
        for start in range(first, first + count, 50):
            numbers = range(start, min(start + 50, first + count))
            store.record([inspected(f"{n}.png", seen_us=START_US + n) for n in numbers], force)


def send(own: URL, centre: URL, station: str = "cell-1", archive: ArchiveFolder = NO_ARCHIVE) -> Sent:
    """Forward until nothing is left."""
    return forward(own, centre, station, archive, once=True, stop=StopFlag())


def forwarder_program(own: URL, centre: URL, station: str, *, rows: int, once: bool) -> list[str]:
    """The command line of a forwarder whose batches hold so many rows of a table."""
    urls = [url.render_as_string(hide_password=False) for url in (own, centre)]
    program = (
        "from sqlalchemy.engine import make_url\n"
        "from inspector.forwarding import forwarder, own\n"
        "from inspector.station.archive_places import ArchiveFolder\n"
        "from inspector.station.service import StopFlag\n"
        f"own._ROWS = {rows}\n"
        f"urls = [make_url(url) for url in {urls!r}]\n"
        f"print(forwarder.forward(*urls, {station!r}, ArchiveFolder(None), once={once}, stop=StopFlag()))"
    )
    return [sys.executable, "-c", program]
