"""The accounts of a station whose ledger comes back older: each file has a row, or is known to have lost it.

A restore takes rows away. Their files stay in the archive, and ``weld-inspect reconcile`` must name each of
them. So at rest, with nothing in the drop folder:

- Each delivery has exactly one file, with the bytes that were sent.
- Each arrival in the ledger has a file of its own, an inspection of this very image, the artifact and the
  settings in force, and a result file.
- Each other file is *forgotten*: a ledger that was put aside has its row, and the one in its place had none.
  The ledgers that were put aside are read for that. So a file that was moved without a row is a problem.
- ``reconcile`` names the forgotten files, and nothing else.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from audit import Audit, sha256_of
from camera import Sent
from rig import Rig
from sqlalchemy.engine import URL

from inspector import settings as settings_file
from inspector.ledger import database
from inspector.upkeep import reconcile

_ARCHIVED_NAME = re.compile(r"(?P<stem>.+)\.(?P<mark>[0-9a-f]{8})(-\d+)?(?P<suffix>\.\w+)")
_UNKNOWN = ": the ledger knows no such file"  # the end of a line of reconcile
_ROWS = """
    SELECT arrival.source_name, arrival.sha256, arrival.outcome, arrival.path, arrival.quarantine_id,
        arrival.station_id, inspection.station_id AS judged_station, inspection.source_name AS judged_name,
        inspection.sha256 AS judged_sha256, inspection.archive_path, inspection.verdict,
        model.artifact_sha256, settings.content
    FROM arrival JOIN station ON station.id = arrival.station_id
        LEFT JOIN inspection ON inspection.id = arrival.inspection_id
        LEFT JOIN model ON model.id = inspection.model_id
        LEFT JOIN settings ON settings.id = inspection.settings_id
    WHERE station.name = :station AND arrival.outcome IN ('inspected', 'duplicate', 'quarantined')
    ORDER BY arrival.id
"""
_ORPHANS = """
    SELECT count(*) FROM inspection JOIN station ON station.id = inspection.station_id
    WHERE station.name = :station AND NOT EXISTS (
        SELECT 1 FROM arrival WHERE inspection_id = inspection.id AND outcome = 'inspected')
"""

Problem = tuple[str, str]  # kind, line of text


class Books:
    """The accounts of one station; its settings must name a ``results_folder``."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._settings = settings_file.load(rig.config)
        self._artifact_sha256 = sha256_of(self._settings.artifact)
        self._results: dict[str, dict[str, Any]] = {}  # content of each result file that was read
        self._forgettable: set[Path] = set()
        self._forgotten: set[Path] = set()  # at the last audit

    def put_aside(self, old: URL, new: URL) -> None:
        """Note which files lose their row because one ledger takes the place of another.

        Args:
            old: the ledger that was in use; nothing writes to it any more.
            new: the ledger in its place; the daemon may write to it already.
        """
        lost = self._forgettable | {self._path(row) for row in self._rows(old)}
        self._forgettable = lost - {self._path(row) for row in self._rows(new)}

    def audit(self, sent: Iterable[Sent], url: URL) -> Audit:
        """Compare the station at rest with what was sent.

        Args:
            sent: all deliveries.
            url: the ledger in use, however the station itself finds it.
        """
        rows, files = self._rows(url), self._files()
        outcomes = Counter(row.outcome for row in rows)
        deliveries = Counter(sent)
        recorded = {self._path(row) for row in rows}
        forgotten = {path for path in files if path not in recorded and path.parent != self._rig.drop}
        self._forgotten = forgotten
        self._wait_for_results(rows)
        return Audit(
            sent=deliveries.total(),
            inspected=outcomes["inspected"],
            duplicates=outcomes["duplicate"],
            quarantined=outcomes["quarantined"],
            waiting=self._rig.waiting(),
            problems=[
                *_compare_files(deliveries, files),
                *self._compare_rows(rows, files, url),
                *(
                    ("lost", f"{path} has no row, and never had one")
                    for path in forgotten - self._forgettable
                ),
                *self._compare_reconcile(forgotten, outcomes),
            ],
        )

    @property
    def forgotten(self) -> int:
        """The number of files without a row at the last audit."""
        return len(self._forgotten)

    def _path(self, row: Any) -> Path:
        return (self._rig.archive if row.quarantine_id is None else self._rig.quarantine) / row.path

    def _rows(self, url: URL) -> list[Any]:
        return list(self._execute(url, _ROWS))

    def _execute(self, url: URL, sql: str) -> list[Any]:
        with database.reading(url) as engine, database.transaction(engine) as connection:
            return list(connection.execute(sa.text(sql), {"station": self._rig.name}))

    def _files(self) -> dict[Path, Sent]:
        """Each visible file with the name under which it came, and its hash."""
        roots = self._rig.drop, self._rig.archive, self._rig.quarantine
        paths = (path for root in roots for path in root.rglob("*") if path.is_file())
        visible = [path for path in paths if not path.name.startswith(".")]
        return {path: Sent(self._original_name(path), sha256_of(path)) for path in visible}

    def _original_name(self, path: Path) -> str:
        parts = _ARCHIVED_NAME.fullmatch(path.name)
        return path.name if path.parent == self._rig.drop or not parts else parts["stem"] + parts["suffix"]

    def _compare_rows(self, rows: list[Any], files: dict[Path, Sent], url: URL) -> list[Problem]:
        """Find rows without their file, and rows that say something wrong."""
        problems = []
        for path, count in Counter(map(self._path, rows)).items():
            if count > 1:
                problems.append(("double", f"{path} has {count} arrivals"))
        for row in rows:
            path, key = self._path(row), Sent(row.source_name, row.sha256)
            if path not in files:
                problems.append(("lost", f"{path} is not there"))
            elif files[path] != key:
                problems.append(("changed", f"{path} is {files[path]}, its row says {key}"))
            if wrong := self._wrong_inspection(row):
                problems.append(("changed", f"{path}: {wrong}"))
        if orphans := self._execute(url, _ORPHANS)[0][0]:
            problems.append(("double", f"{orphans} inspections without an arrival"))
        return problems

    def _wrong_inspection(self, row: Any) -> str | None:
        """Return what is wrong with the inspection that an arrival refers to."""
        if row.quarantine_id is not None:
            return "a sound image is in quarantine"
        judged = row.judged_station, row.judged_name, row.judged_sha256
        if judged != (row.station_id, row.source_name, row.sha256):
            return f"refers to the inspection of another image: {judged}"
        if row.outcome == "inspected" and row.archive_path != row.path:
            return f"its inspection says that it is at {row.archive_path}"
        if row.artifact_sha256 != self._artifact_sha256:
            return "refers to an artifact that never judged it"
        content = row.content if isinstance(row.content, dict) else json.loads(row.content)
        if content["station"] != self._rig.name:
            return f"refers to the settings of station {content['station']}"
        return None

    def _compare_reconcile(self, forgotten: set[Path], outcomes: Counter[str]) -> list[Problem]:
        """Compare the files without a row with those that ``reconcile`` names, by the station's settings."""
        settings = self._settings
        found = reconcile.reconcile(
            settings.url,
            station=settings.station,
            drop_folder=settings.drop_folder,
            archive_folder=settings.archive_folder,
            quarantine_folder=settings.quarantine_folder,
            pending=[],
        )
        named = {Path(line.removesuffix(_UNKNOWN)) for line in found.details if line.endswith(_UNKNOWN)}
        problems = [("unaccounted", line) for line in found.details if not line.endswith(_UNKNOWN)]
        problems += [("unaccounted", f"reconcile does not name {path}") for path in forgotten - named]
        problems += [("unaccounted", f"reconcile names {path}") for path in named - forgotten]
        counts = found.inspected, found.duplicates, found.quarantined
        if counts != (outcomes["inspected"], outcomes["duplicate"], outcomes["quarantined"]):
            problems.append(("unaccounted", f"reconcile counts {counts}, the ledger has {dict(outcomes)}"))
        return problems

    def check_command(self) -> list[Problem]:
        """Compare the command's own count with the last audit; no daemon needs to run."""
        done, lost = self._rig.command("reconcile", "--json"), self.forgotten
        if done.returncode != bool(lost):
            return [("unaccounted", f"reconcile ended with status {done.returncode}: {done.stderr[-500:]}")]
        count = json.loads(done.stdout)["unaccounted"]
        return [] if count == lost else [("unaccounted", f"reconcile counts {count}, {lost} lost their row")]

    # --- results ------------------------------------------------------------------------------------------

    def _wait_for_results(self, rows: list[Any]) -> None:
        """Wait until each row has a result that says the same.

        Raises:
            Broken: results do not follow.
        """
        wanted = {self._as_result(row) for row in rows}
        self._rig.wait_for(lambda: not wanted - self._read_results(), "each row had its result", every_s=0.2)

    def _as_result(self, row: Any) -> tuple[Any, ...]:
        return row.path, row.source_name, row.sha256, row.outcome, row.verdict

    def _read_results(self) -> set[tuple[Any, ...]]:
        folder = self._settings.results_folder
        for path in folder.glob("*.json"):
            if path.name not in self._results:
                self._results[path.name] = json.loads(path.read_text(encoding="utf-8"))
        keys = "path", "name", "sha256", "outcome", "verdict"
        return {tuple(result[key] for key in keys) for result in self._results.values()}


def _compare_files(sent: Counter[Sent], files: dict[Path, Sent]) -> list[Problem]:
    """Find deliveries without a file, with too many, and files that were never sent."""
    found, problems = Counter(files.values()), []
    for key, times in sent.items():
        if found[key] < times:
            problems.append(("lost", f"{key}: sent {times} times, {found[key]} files"))
        elif found[key] > times:
            problems.append(("double", f"{key}: sent {times} times, {found[key]} files"))
    return problems + [
        ("foreign", f"{path} was never sent") for path, key in files.items() if key not in sent
    ]
