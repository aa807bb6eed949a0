"""The story of an image: read → judge → record → archive.

The main thread runs one loop. In each round it takes ready files from the intake and hands them to worker
threads for decoding, hands decoded frames to them in batches for judgement, writes each judged batch in one
transaction, and only then moves the files. Pillow and torch release the GIL while they work, so the workers
keep all cores busy and the main thread is idle most of the time. Whenever the program stops, each image has
its file in the drop folder or its row in the ledger. The module is long, because the story is read from top
to bottom in one place.
"""

from __future__ import annotations

import logging
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from inspector import resources
from inspector.errors import ImageError, RowOutdated, RowRefused, StoreRefused, Unavailable
from inspector.imaging.decoder import unused_bits_warning
from inspector.imaging.source import TakenFile
from inspector.ledger.store import Store
from inspector.logs import IMAGES, json_fields
from inspector.monitoring.metrics import Metrics
from inspector.monitoring.progress import Progress
from inspector.monitoring.totals import Totals, counts_text
from inspector.records import (
    Arrival,
    Duplicate,
    InForce,
    Inspected,
    Judgement,
    Place,
    Quarantined,
    RecordedFile,
)
from inspector.station.archive import Archive, Moved
from inspector.station.batches import WaitingFrames
from inspector.station.crash_journal import CrashJournal
from inspector.station.events import Events
from inspector.station.intake import Intake
from inspector.station.open_files import max_in_flight
from inspector.station.outages import Outages
from inspector.station.reading import Frame, Unreadable, read
from inspector.station.recording import line_about
from inspector.station.reload import Reload
from inspector.station.rules import Pace, Rules
from inspector.station.second_opinion import Archived
from inspector.station.service import Notifier, StopFlag
from inspector.station.shadow import Shadow
from inspector.station.workers import R, V, Workers

log = logging.getLogger("weldnet")
images_log = logging.getLogger(IMAGES)

Recorded = tuple[Frame | Unreadable, Inspected | Duplicate | Quarantined]  # a file, and the row for it

_FIX_IN_FORCE = "every inspection refers to these rows: change the constraint or trigger"
_IDLE_S = 0.25  # the longest pause between two rounds: for signals, the watchdog and the file of the artifact


@dataclass(kw_only=True, eq=False)
class Daemon:
    """One station at work: ``run`` returns when it is stopped, or when a single pass has nothing left."""

    intake: Intake  # hands out ready files
    rules: Rules  # what images are read, judged and named by, until a reload
    connect: Callable[[], Store]  # opens the ledger
    archive: Archive  # moves files out of the drop folder
    journal: CrashJournal  # keeps, over a crash, which files the decoder had open
    outages: Outages  # runs work on database and disk, and waits while they are away
    stop: StopFlag  # set by signals
    reload: Reload  # loads new rules on request
    progress: Progress  # feeds the watchdog and the health page
    metrics: Metrics  # counts what has been done
    events: Events  # from all parts of the station; written to the ledger in order
    notifier: Notifier  # talks to the service manager
    totals: Totals = field(default_factory=Totals, init=False)

    def __post_init__(self) -> None:
        self._suspects: deque[Arrival] = deque()  # decoded one at a time: they were open at the last crash
        self._readings: dict[Future[Frame | Unreadable], Arrival] = {}
        self._frames = WaitingFrames()
        self._judgings: dict[Future[tuple[list[Judgement], float]], list[Frame]] = {}
        self._artifact_trouble: str | None = None
        self._has_logged_an_image = False
        self._unmoved: dict[
            tuple[str, str | None], Path
        ] = {}  # recorded in this run, and still in the folder
        self._unfinished: dict[tuple[Place, str], RecordedFile | None] = {}  # moves, by their targets
        self._shadow = Shadow(self.events, self.metrics.count_shadow)

    def run(self) -> Totals:
        """Inspect until the stop flag is set or, in a single pass, nothing is left.

        Raises:
            Unavailable: the database or the archive is away, and outages are not waited out.
            UsageError: folder or database are not as they must be.
        """
        self._began = time.monotonic()
        try:
            self.workers = Workers(self._pace.threads, self.progress, self.intake.wake)
            with self.intake, self.journal, self.workers, self.outages:
                self.store = self.outages.run(self.connect)
                with self.store:
                    self._inspect_until_stopped()
        except Unavailable:
            if not self.stop.is_set:
                raise
            log.warning("stopped during an outage; images wait in the drop folder")
        self.totals.seconds = time.monotonic() - self._began
        return self.totals

    def _inspect_until_stopped(self) -> None:
        self.in_force = self.outages.run(self._register)
        self.outages.reconnect = self._reconnect
        self._find_unfinished_moves()
        self._put_shadow_in_force()
        threads, batch_size = self._pace.threads, self._pace.batch_size
        detail = f"{self.rules.artifact}, {threads} threads, batches of {batch_size}"
        self.events.add("start", f"{detail}, weldnet-station {resources.version()}")
        self._record_events()
        self.notifier.ready()
        log.info("ready: watching %s", self.intake.folder)
        self._loop(until=lambda: self.stop.is_set or self.intake.exhausted, taking=True)
        self.notifier.stopping()
        drain_until = time.monotonic() + self._pace.drain_s
        self._loop(until=lambda: not self._in_flight or time.monotonic() > drain_until, taking=False)
        self._shadow.finish(self.store)
        self.totals.pending, self.totals.postponed = self._pending, self.intake.postponed()
        self.events.add("stop", self.totals.summary(self.totals.pending))
        self._record_events()

    def _reconnect(self) -> None:
        """Connect again after an outage; a restored ledger may number rules and images differently."""
        self._shadow.forget()
        self.store.reconnect()
        self.in_force = self._register()

    def _register(self) -> InForce:
        """Write the rows of the rules in force; while the database refuses one of them, images wait."""
        try:
            return self.rules.register(self.store)
        except RowRefused as error:
            raise StoreRefused(f"{error}; {_FIX_IN_FORCE}") from error

    def _loop(self, *, until: Callable[[], bool], taking: bool) -> None:
        while not until():
            if taking:
                self._reload_if_asked()
                self._start_readings()
            self._collect_frames()
            self._start_judgings()
            self._record_judgings()
            self._finish_moves()
            self._record_events()
            self._report()
            self._shadow.go_on(self.workers, self.store, is_idle=taking and not self._in_flight)
            if not until():  # a single pass ends with its last file
                self.intake.wait(self._pause_s())

    # --- read -----------------------------------------------------------------------------------------

    def _start_readings(self) -> None:
        """Hand ready files to the workers; a suspect is read alone, so that a crash names the culprit."""
        if any(arrival.source_name in self.journal.suspects for arrival in self._readings.values()):
            return
        for arrival in self.intake.take(self._room) if not self._suspects else ():
            if arrival.source_name in self.journal.suspects:
                self._suspects.append(arrival)
            else:
                self._readings[self.workers.submit(self._read, arrival)] = arrival
        if not self._readings:
            self.journal.compact()
            if self._suspects:
                suspect = self._suspects.popleft()
                self._readings[self.workers.submit(self._read, suspect)] = suspect

    def _read(self, arrival: Arrival) -> Frame | Unreadable:
        return read(arrival, self.rules.limits, self.rules.classifier.prepare, self.journal)

    def _collect_frames(self) -> None:
        """Let readable frames wait for their batch, and set unreadable files aside."""
        unreadable = []
        for future in _done(self._readings):
            arrival = self._readings.pop(future)
            try:
                result = future.result()
            except (OSError, MemoryError) as error:  # the station's own trouble, not the file's
                self._postpone(arrival, "read_failed", str(error))
                continue
            if isinstance(result, Frame):
                if warning := unused_bits_warning(result.unused_bits, self.rules.limits.bit_depth):
                    self.events.add_once("unused_bits", f"{arrival.source_name}: {warning}")
                if result.flaw != "unfinished" or not self._retry_later(result.taken):
                    self._frames.add(result)
            elif result.error.reason == "vanished":
                self.intake.release(arrival)
            elif not result.error.retry or not self._retry_later(result.taken):
                unreadable.append(result)
        self._quarantine(unreadable)

    def _retry_later(self, taken: TakenFile) -> bool:
        """Put back what may be half of a slow write; False once its writer has had enough time."""
        is_put_back = self.intake.retry(taken.arrival, taken.source.stamp)
        if is_put_back:
            taken.close()
        return is_put_back

    # --- judge ----------------------------------------------------------------------------------------

    def _start_judgings(self) -> None:
        while batch := self._frames.next_batch(self._pace, self._batches_under_judgement):
            if fresh := self._set_duplicates_aside(batch):
                self._judgings[self.workers.submit(self._judge, fresh)] = fresh

    def _set_duplicates_aside(self, frames: list[Frame]) -> list[Frame]:
        """Return the frames that the ledger does not know; move the others without a second judgement."""
        known = self.outages.run(lambda: self.store.known([frame.taken.key for frame in frames]))
        fresh, duplicates = [], []
        for frame in frames:
            entry = known.get(frame.taken.key)
            if entry is None or entry.inspection is None:
                fresh.append(frame)
            elif path := self.archive.unfilled_path(Place.ARCHIVE, entry.paths):
                # It was recorded before a crash: the file moves to the path that its row names.
                self.totals.inspected += self._move_late(frame.taken, Place.ARCHIVE, path)
            else:
                duplicates.append((frame, self.rules.recorder.duplicate(frame, entry.inspection)))
        self._record_and_move(duplicates)
        return fresh

    def _judge(self, frames: list[Frame]) -> tuple[list[Judgement], float]:
        """Judge a batch, in a worker: the judgements, and the milliseconds of each frame's share."""
        started = time.monotonic()
        judgements = self.rules.classifier.judge([f.prepared for f in frames], [f.flaw for f in frames])
        return judgements, (time.monotonic() - started) * 1000 / len(frames)

    # --- record and archive ---------------------------------------------------------------------------

    def _record_judgings(self) -> None:
        for future in _done(self._judgings):
            frames = self._judgings.pop(future)
            judgements, infer_ms = future.result()
            self._record_and_move(
                [
                    (frame, self.rules.recorder.inspected(frame, judgement, infer_ms, len(frames)))
                    for frame, judgement in zip(frames, judgements, strict=True)
                ]
            )
            self.totals.inspecting_s = time.monotonic() - self._began
            self.metrics.count_batch(len(frames))
            verdicts = Counter(judgement.verdict.value for judgement in judgements)
            count, text = len(frames), counts_text(verdicts)
            extra = json_fields(event="batch", frames=count, infer_ms=round(infer_ms, 2), verdicts=verdicts)
            log.info("batch of %d, %.1f ms per frame: %s", count, infer_ms, text, extra=extra)

    def _quarantine(self, unreadable: Sequence[Unreadable]) -> None:
        """Record and quarantine unreadable files; those in the ledger were on their way there already."""
        if not unreadable:
            return
        known = self.outages.run(lambda: self.store.known([item.taken.key for item in unreadable]))
        rows: list[Recorded] = []
        for item in unreadable:
            name, reason = item.taken.arrival.source_name, item.error.reason
            extra = json_fields(event="quarantine", file=name, reason=reason)
            log.warning("quarantine: %s: %s", name, item.error, extra=extra)
            entry = known.get(item.taken.key)
            if entry and (path := self.archive.unfilled_path(Place.QUARANTINE, entry.paths)):
                self.totals.quarantined += self._move_late(item.taken, Place.QUARANTINE, path)
            else:
                rows.append((item, self.rules.recorder.quarantined(item)))
        self._record_and_move(rows)

    def _record_and_move(self, recorded: Sequence[Recorded]) -> None:
        """Write all rows in one transaction; only after its commit, move the files."""
        if not recorded:
            return
        rows = [row for _, row in recorded]
        moves = [(item.taken, row.place, row.final_path) for item, row in recorded]
        self.outages.run(lambda: self.archive.prepare(moves))  # no row outlives its image
        try:
            ids = self.outages.run(lambda: self.store.record(rows, self.in_force))
        except RowRefused as error:
            self._record_one_by_one(recorded, error)
            return
        self.metrics.count_rows(rows)
        counted: list[Inspected | Duplicate | Quarantined] = []
        archived: list[Archived] = []
        for (item, row), number in zip(recorded, ids, strict=True):
            moved = self._move(item.taken, row.place, row.final_path)
            if moved is Moved.FAILED:
                self._unmoved[item.taken.key] = item.taken.path
            elif isinstance(row, Inspected):
                archived.append(Archived(number, str(row.source.sha256), row.final_path))
            if not _is_returned(row.place, moved):
                counted.append(row)
            if not isinstance(row, Quarantined):  # a warning has already named it
                self._log_image(row)
        self.totals.count(counted)
        self._shadow.offer(archived)

    def _log_image(self, row: Inspected | Duplicate) -> None:
        """Log an image for people at a terminal; every log has the first one, and the place to look at it."""
        if self._has_logged_an_image:
            images_log.info("%s", line_about(row))
        else:
            log.info("%s, now at %s", line_about(row), self.archive.locate(row.place, row.final_path))
        self._has_logged_an_image = True

    def _record_one_by_one(self, recorded: Sequence[Recorded], error: RowRefused) -> None:
        """Try each row alone after a refusal, so that only the refused image is set aside."""
        if len(recorded) > 1:
            for one in recorded:
                self._record_and_move([one])
            return
        item = recorded[0][0]
        if isinstance(item, Frame) and not isinstance(error, RowOutdated):
            self._quarantine([Unreadable(item.taken, ImageError("row_refused", str(error)))])
        else:  # its quarantine row is refused too, or it is no duplicate any more: it is read again
            item.taken.close()
            self._postpone(item.taken.arrival, "row_refused", str(error))

    def _move_late(self, taken: TakenFile, place: Place, path: str) -> bool:
        """Move a file that was recorded earlier; return whether this run has to count it now."""
        is_counted = taken.key in self._unmoved
        moved = self._move(taken, place, path)
        if moved is not Moved.FAILED:
            self._unmoved.pop(taken.key, None)
        return moved is not Moved.FAILED and not _is_returned(place, moved) and not is_counted

    def _move(self, taken: TakenFile, place: Place, path: str) -> Moved:
        """Move a recorded file; one that fails stays, is read again later, and then goes to that path."""
        arrival = taken.arrival
        moved = self.outages.run(lambda: self.archive.deliver(taken, place, path))
        taken.close()
        if moved is Moved.FAILED:
            self._unfinished |= self._recorded_at(place, [path])
            self._postpone(arrival, "move_failed", path)
            return moved
        if moved is not Moved.MOVED:
            self.events.add(f"move_{moved.value}", f"{arrival.source_name} to {path}")
        if _is_returned(place, moved):
            self.outages.run(lambda: self.store.record_returned(path))
        self.intake.release(arrival, taken.source.stamp)
        return moved

    def _find_unfinished_moves(self) -> None:
        """Find the moves that a crash interrupted, by the copies that are left of their files."""
        left = self.archive.copies_left()
        for place in Place:
            self._unfinished |= self._recorded_at(place, [path for where, path in left if where is place])

    def _recorded_at(
        self, place: Place, paths: Sequence[str]
    ) -> dict[tuple[Place, str], RecordedFile | None]:
        known = self.outages.run(lambda: self.store.recorded_at(place, paths))
        return {(place, path): known.get(path) for path in paths}

    def _finish_moves(self) -> None:
        """Finish these moves as soon as their files are no longer in the drop folder.

        A thing without bytes (a link, a FIFO) that is gone never comes to the quarantine.
        """
        for (place, path), recorded in list(self._unfinished.items()):
            is_in_work = recorded is not None and self.intake.is_taken(recorded.source_name)
            if is_in_work or (end := self.archive.finish(place, path, recorded)) is Moved.FAILED:
                continue
            if end is Moved.GONE:
                self.outages.run(partial(self.store.record_returned, path))
            del self._unfinished[place, path]

    def _postpone(self, arrival: Arrival, kind: str, detail: str) -> None:
        """Try a file again after a growing pause, for as long as it takes; the first failure is an event."""
        if self.intake.postpone(arrival) == 1:
            self.events.add(kind, f"{arrival.source_name}: {detail}")

    # --- report ---------------------------------------------------------------------------------------

    def _record_events(self) -> None:
        self.events.drain(self._record_event)

    def _record_event(self, kind: str, detail: str) -> None:
        self.outages.run(lambda: self.store.record_event(kind, detail))
        self.metrics.count_event(kind)

    def _report(self) -> None:
        """Feed the watchdog, and bring status line and gauges up to date."""
        self.notifier.alive()
        # A reload reads the changed file already, so there is nothing that a person has to do.
        trouble = self._artifact_trouble if self.reload.is_going_on else self.rules.artifact_file.trouble()
        if trouble != self._artifact_trouble:
            self._artifact_trouble = trouble
            self.events.add("artifact_file", trouble or f"{self.rules.artifact_file.path} is as it was")
        troubles = [*self.intake.troubles, *([trouble] if trouble else [])]
        pending = self._pending
        self.notifier.status("; ".join([self.totals.summary(pending), *troubles]))
        self.metrics.set_waiting(pending, self.intake.oldest())

    # --- new rules ------------------------------------------------------------------------------------

    def _reload_if_asked(self) -> None:
        """Put new rules in force once nothing is under way; if they cannot be loaded, keep the old ones."""
        self.reload.start_if_asked(self.workers)
        if not self.reload.is_loaded or self._in_flight:
            return
        new = self.reload.result()
        if isinstance(new, Rules):
            new = self._put_in_force(new)
        if isinstance(new, Rules):
            self.metrics.set_artifact(new.artifact)
            self.events.add("reload", f"{new.artifact}, batches of {new.pace.batch_size}")
        else:
            self.events.add("reload_refused", f"{new}; {self.rules.artifact} stays in force")
        self.notifier.ready()

    def _put_in_force(self, new: Rules) -> Rules | str:
        """Register new rules and judge by them from here on; return them, or why the old ones stay."""
        try:
            self.in_force = self.outages.run(lambda: new.register(self.store))
        except RowRefused as error:
            return f"{error}; {_FIX_IN_FORCE}"
        self.rules = new
        self._shadow.finish(self.store)
        self._put_shadow_in_force()
        return new

    def _put_shadow_in_force(self) -> None:
        """Let the candidate of the rules in force judge, too; without one that works, nothing changes."""
        if self.rules.shadow_trouble:
            self.events.add("shadow_refused", self.rules.shadow_trouble)
        self._shadow.put_in_force(self.rules.shadow, self._pace.shadow_every)

    # --- work in progress -----------------------------------------------------------------------------

    @property
    def _pace(self) -> Pace:
        return self.rules.pace

    @property
    def _in_flight(self) -> int:
        """Files that are being read, wait for their batch, or are being judged."""
        return len(self._readings) + len(self._frames) + sum(map(len, self._judgings.values()))

    @property
    def _pending(self) -> int:
        """Files that wait, without recorded ones that could not move; those are counted by their rows."""
        return self.intake.pending() - sum(os.path.lexists(path) for path in self._unmoved.values())

    @property
    def _batches_under_judgement(self) -> int:
        """Batches that workers have; a judged batch that is not yet recorded does not count."""
        return sum(not judging.done() for judging in self._judgings)

    @property
    def _room(self) -> int:
        """Files that may be taken: this bounds memory, and new rules wait until no file is in work."""
        if self.reload.is_loaded:
            return 0
        bound = max_in_flight(self._pace.batch_size, self._pace.threads)
        return bound - self._in_flight - len(self._suspects)

    def _pause_s(self) -> float:
        """Return how long the loop may sleep: until the next batch is due, at most ``_IDLE_S``."""
        due_in_s = self._frames.due_in_s(self._pace, self._batches_under_judgement)
        return _IDLE_S if due_in_s is None else min(_IDLE_S, due_in_s)


def _done(futures: dict[Future[R], V]) -> list[Future[R]]:
    return [future for future in futures if future.done()]


def _is_returned(place: Place, moved: Moved) -> bool:
    """Whether a file never came to the quarantine: it is a new arrival now, or gone.

    It was recorded without bytes that could be rescued, because it could not be opened.
    """
    return place is Place.QUARANTINE and moved in (Moved.CHANGED, Moved.GONE)
