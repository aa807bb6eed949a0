"""Records for the ledger: one kind for each way in which a file leaves the drop folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import tzinfo

from inspector.records import Duplicate, Inspected, Judgement, NameParts, Place, Quarantined, Timings
from inspector.station.archive import Archive
from inspector.station.reading import Frame, Unreadable
from inspector.times import DayAndShift, now_us


@dataclass(frozen=True, slots=True)
class Recorder:
    """Maker of records, by the station's calendar, its naming pattern and the archive's free paths."""

    describe: Callable[
        [str, int], NameParts
    ]  # source name, when it was seen → camera, part, seam, camera time
    calendar: Callable[[int], DayAndShift]  # of an instant in UTC epoch microseconds
    archive: Archive
    zone: tzinfo  # of the calendar, and of the times in results
    wall_us: Callable[[], int] = now_us  # UTC epoch microseconds

    def inspected(self, frame: Frame, judgement: Judgement, infer_ms: float, batch_size: int) -> Inspected:
        """Make the record of a judged image; its total time ends now, just before the commit."""
        arrival = frame.taken.arrival
        day, shift, shift_day = self.calendar(arrival.seen_us)
        return Inspected(
            arrival=arrival,
            source=frame.taken.source,
            name=self.describe(arrival.source_name, arrival.seen_us),
            judgement=judgement,
            timings=Timings(
                wait_ms=frame.wait_ms,
                decode_ms=frame.decode_ms,
                infer_ms=infer_ms,
                total_ms=(time.monotonic() - arrival.seen_monotonic) * 1000,
                batch_size=batch_size,
            ),
            local_day=day,
            shift=shift,
            shift_day=shift_day,
            inspected_us=self.wall_us(),
            final_path=self.archive.free_path(frame.taken, Place.ARCHIVE, f"{day}/{judgement.verdict}"),
        )

    def duplicate(self, frame: Frame, inspection: int) -> Duplicate:
        """Make the record of a file that was delivered again; its first judgement remains valid."""
        day = self.calendar(frame.taken.arrival.seen_us).day
        return Duplicate(
            arrival=frame.taken.arrival,
            source=frame.taken.source,
            inspection=inspection,
            recorded_us=self.wall_us(),
            final_path=self.archive.free_path(frame.taken, Place.ARCHIVE, f"{day}/duplicate"),
        )

    def quarantined(self, item: Unreadable) -> Quarantined:
        """Make the record of a file that cannot be inspected."""
        day, shift, shift_day = self.calendar(item.taken.arrival.seen_us)
        return Quarantined(
            arrival=item.taken.arrival,
            source=item.taken.source,
            reason=item.error.reason,
            detail=item.error.detail,
            shift=shift,
            shift_day=shift_day,
            recorded_us=self.wall_us(),
            final_path=self.archive.free_path(item.taken, Place.QUARANTINE, f"{day}/{item.error.reason}"),
        )


def line_about(row: Inspected | Duplicate) -> str:
    """Return what became of an image, in one line for a terminal."""
    name = row.arrival.source_name
    if isinstance(row, Duplicate):
        return f"{name}: delivered again, was judged as inspection {row.inspection}"
    judgement = row.judgement
    reason = f" ({judgement.reason})" if judgement.reason else ""
    return f"{name}: {judgement.verdict}{reason}, {judgement.label} {judgement.confidence:.2f}"
