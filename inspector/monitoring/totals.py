"""Counts of one run of the station, from the records that it wrote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from inspector.records import Duplicate, Inspected, Quarantined


@dataclass(slots=True)
class Totals:
    """Counts of one run; the fields of ``weld-inspect once --json``."""

    inspected: int = 0
    duplicates: int = 0
    quarantined: int = 0
    pending: int = 0
    postponed: int = 0  # of them, files that the station could not read, record or move
    seconds: float = 0.0
    inspecting_s: float = 0.0  # until the last image was moved, without the wait for broken files
    verdicts: Counter[str] = field(default_factory=Counter)

    @property
    def seen(self) -> int:
        """Files that this run met, without those that were taken away."""
        return self.inspected + self.duplicates + self.quarantined + self.pending

    @property
    def images_per_second(self) -> float:
        """Inspected images per second, from the first look into the folder to the last image's move."""
        return self.inspected / self.inspecting_s if self.inspecting_s else 0.0

    def count(self, rows: Sequence[Inspected | Duplicate | Quarantined]) -> None:
        """Add rows that have been recorded and moved."""
        kinds = Counter(type(row) for row in rows)
        self.inspected += kinds[Inspected]
        self.duplicates += kinds[Duplicate]
        self.quarantined += kinds[Quarantined]
        self.verdicts += Counter(row.judgement.verdict.value for row in rows if isinstance(row, Inspected))

    def summary(self, pending: int) -> str:
        """Return one line for the service manager and for the stop event."""
        verdicts = f" ({counts_text(self.verdicts)})" if self.verdicts else ""
        return (
            f"{self.inspected} inspected{verdicts}, {self.duplicates} duplicates, "
            f"{self.quarantined} quarantined, {pending} pending"
        )


def counts_text(verdicts: Counter[str]) -> str:
    """Return counts as text: ``3 FAIL, 5 PASS``."""
    return ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
