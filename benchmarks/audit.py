"""The audit after each proof: compare what cameras sent with the ledger and with the bytes on disk."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from camera import Sent
from rig import Rig

from inspector.station.listing import waiting_files
from inspector.upkeep.reconcile import reconcile


@dataclass(frozen=True, slots=True)
class Audit:
    """The result of one audit; ``problems`` are pairs of a kind and a line of text."""

    sent: int
    inspected: int
    duplicates: int
    quarantined: int
    waiting: int
    problems: list[tuple[str, str]] = field(default_factory=list)


def of_a_dead_station(rig: Rig, sent: Iterable[Sent]) -> Audit:
    """Audit while no daemon runs: each sent file has a row or waits, and none has too many rows."""
    return _compare(rig, Counter(sent), finished=False)


def of_a_station_at_rest(rig: Rig, sent: Iterable[Sent]) -> Audit:
    """Audit while the daemon has no work: each delivery has one arrival, each arrival its file and bytes."""
    result = _compare(rig, Counter(sent), finished=True)
    result.problems.extend(_changed_files(rig))
    result.problems.extend(reconciled(rig))
    return result


def of_an_idle_station(rig: Rig, sent: Iterable[Sent]) -> Audit:
    """Audit at the end: each delivery has one arrival, and each arrival has its file with the bytes sent.

    ``weld-inspect reconcile`` must agree, and SQLite must find its file sound.
    """
    result = _compare(rig, Counter(sent), finished=True)
    result.problems.extend(_changed_files(rig))
    result.problems.extend(unaccounted(rig))
    if rig.url.get_backend_name() == "sqlite":
        said = [row[0] for row in rig.rows("PRAGMA integrity_check")]
        if said != ["ok"]:
            result.problems.append(("database", f"integrity_check says {said[:3]}"))
    return result


def reconciled(rig: Rig, *, subfolders: bool = False) -> list[tuple[str, str]]:
    """Find what is unaccounted for in this process, which takes a fraction of the command's time."""
    found = reconcile(
        rig.url,
        station=rig.name,
        drop_folder=rig.drop,
        archive_folder=rig.archive,
        quarantine_folder=rig.quarantine,
        pending=waiting_files(rig.drop, subfolders=subfolders),
    )
    return [("unaccounted", line) for line in found.details]


def _compare(rig: Rig, sent: Counter[Sent], *, finished: bool) -> Audit:
    found = recorded(rig)
    outcomes = Counter(row.outcome for row in arrivals(rig))
    waiting = {Sent(str(path.relative_to(rig.drop)), sha256_of(path)) for path in _waiting(rig.drop)}
    result = Audit(
        sent=sent.total(),
        inspected=outcomes["inspected"],
        duplicates=outcomes["duplicate"],
        quarantined=outcomes["quarantined"],
        waiting=len(waiting),
    )
    for key, times in sent.items():
        missing = times - found[key] if finished else times - found[key] - (key in waiting)
        if missing > 0:
            result.problems.append(
                ("lost", f"{key.name} {key.sha256[:8]}: sent {times} times, {missing} lost")
            )
    for key, times in found.items():
        if key not in sent:
            result.problems.append(
                ("foreign", f"{key.name}: {key.sha256} was recorded, but never sent whole")
            )
        elif times > sent[key]:
            result.problems.append(("double", f"{key.name}: sent {sent[key]} times, has {times} arrivals"))
    result.problems.extend(_double_verdicts(rig, sent, outcomes))
    return result


def recorded(rig: Rig) -> Counter[Sent]:
    """The number of arrivals in the ledger for each delivery."""
    return Counter(Sent(row.source_name, row.sha256) for row in arrivals(rig))


def arrivals(rig: Rig) -> list:
    """The rows of all files that left the drop folder of a station."""
    return rig.rows(
        "SELECT arrival.source_name, arrival.sha256, outcome, arrival.path, quarantine_id FROM arrival"
        f" JOIN station ON station.id = station_id WHERE station.name = '{rig.name}'"
        " AND outcome IN ('inspected', 'duplicate', 'quarantined')"
    )


def _double_verdicts(rig: Rig, sent: Counter[Sent], outcomes: Counter[str]) -> list[tuple[str, str]]:
    """Find files judged twice, judged and quarantined, or with a verdict but no arrival."""
    problems = []
    verdicts: Counter[Sent] = Counter()
    for table, outcome in (("inspection", "inspected"), ("quarantine", "quarantined")):
        rows = rig.rows(
            f"SELECT source_name, sha256 FROM {table} JOIN station ON station.id = station_id"
            f" WHERE station.name = '{rig.name}'"
        )
        verdicts.update(Sent(*row) for row in rows)
        if len(rows) != outcomes[outcome]:
            problems.append(
                ("double", f"{len(rows)} rows of {table}, {outcomes[outcome]} arrivals {outcome}")
            )
    for key, count in verdicts.items():
        if count > max(sent[key], 1):
            problems.append(("double", f"{key.name} {key.sha256[:8]}: {count} verdicts"))
    return problems


def _changed_files(rig: Rig) -> list[tuple[str, str]]:
    """Find arrivals whose file is missing or changed, and files without an arrival."""
    problems, expected = [], set()
    for row in arrivals(rig):
        path = (rig.archive if row.quarantine_id is None else rig.quarantine) / row.path
        expected.add(path)
        if not path.is_file():
            problems.append(("lost", f"{path} is not there"))
        elif row.sha256 is not None and sha256_of(path) != row.sha256:
            problems.append(("changed", f"{path} holds other bytes than {row.sha256[:8]}"))
    standing = {path for root in (rig.archive, rig.quarantine) for path in root.rglob("*") if path.is_file()}
    strangers = [path for path in standing - expected if not path.name.startswith(".")]
    return problems + [("foreign", f"{path} has no arrival") for path in strangers]


def unaccounted(rig: Rig) -> list[tuple[str, str]]:
    """Find the files that ``weld-inspect reconcile`` counts as unaccounted for."""
    done = rig.command("reconcile", "--json")
    if done.returncode not in (0, 1):
        return [("unaccounted", f"reconcile ended with status {done.returncode}: {done.stderr.strip()}")]
    count = json.loads(done.stdout)["unaccounted"]
    return [("unaccounted", f"{count} files: {done.stderr.strip()[:500]}")] if count else []


def _waiting(drop: Path) -> Iterator[Path]:
    """The visible files in a drop folder and its sub-folders."""
    for folder, subfolders, files in os.walk(drop):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        yield from (Path(folder, name) for name in files if not name.startswith("."))


def sha256_of(path: Path) -> str:
    """The hash of a file's bytes, in hex digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
