"""The story of an image: intake → decode → batch → classify → record → archive.

The main thread tells it, over and over: it takes ready files, hands them to worker threads for decoding and,
in batches, for inference, writes each judged batch in one transaction and only then moves the files. Pillow
and torch release the GIL while they work, so the workers keep all cores busy and the main thread is idle
most of the time. Whatever stops in the middle leaves the file in the drop folder or its row in the ledger.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from inspector.errors import ImageError, RowRefused, Unavailable
from inspector.imaging.source import TakenFile
from inspector.ledger.store import Store
from inspector.logs import fields
from inspector.monitoring.metrics import Metrics
from inspector.monitoring.progress import Progress
from inspector.monitoring.totals import Totals, spell
from inspector.records import Arrival, Duplicate, Inspected, Judgement, Place, Quarantined
from inspector.station.archive import Archive, Moved
from inspector.station.crash_journal import Journal
from inspector.station.events import Events
from inspector.station.intake import Intake
from inspector.station.outages import Outages
from inspector.station.reading import Frame, Unreadable, read
from inspector.station.reload import Reload
from inspector.station.rules import Pace, Rules
from inspector.station.service import Notifier, StopFlag
from inspector.station.workers import R, V, Workers

log = logging.getLogger("weldnet")

Row = Inspected | Duplicate | Quarantined

_IDLE_S = 0.25  # the loop comes round at least this often: for signals, watchdog and a batch that is due


class Daemon:
    """One station at work: ``run`` returns when told to stop, or when a single pass has nothing left.

    Args:
        intake: which files are ready.
        rules: what images are read, judged and named by.
        connect: opens the ledger; called again until it succeeds where outages are waited out.
        archive: moves files out of the drop folder.
        journal: remembers over a crash which files the decoder had open.
        wait_out_outages: True for the service: files wait in the folder while the database is down.
        stop: set by signals.
        reload: new rules on request.
        progress: told what is under way.
        metrics: told what has been done.
        events: from all parts of the station; they are written in order.
        notifier: what the service manager is told.
    """

    def __init__(
        self,
        *,
        intake: Intake,
        rules: Rules,
        connect: Callable[[], Store],
        archive: Archive,
        journal: Journal,
        wait_out_outages: bool,
        stop: StopFlag,
        reload: Reload,
        progress: Progress,
        metrics: Metrics,
        events: Events,
        notifier: Notifier,
    ) -> None:
        self.intake = intake
        self.rules = rules
        self.connect = connect
        self.archive = archive
        self.journal = journal
        self.stop = stop
        self.reload = reload
        self.progress = progress
        self.metrics = metrics
        self.events = events
        self.notifier = notifier
        self.outages = Outages(
            wait=wait_out_outages, stop=stop, notifier=notifier, pending=intake.pending, events=events
        )
        self.totals = Totals()
        self._suspects: deque[Arrival] = deque()  # to be decoded alone: they were open at the last crash
        self._reads: dict[Future[Frame | Unreadable], Arrival] = {}
        # Since when (monotonic) each waits for a batch.
        self._frames: deque[tuple[float, Frame]] = deque()
        self._judgings: dict[Future[tuple[list[Judgement], float]], list[Frame]] = {}
        self._artifact_trouble: str | None = None

    def run(self) -> Totals:
        """Tell the story until the stop flag is set or, in a single pass, nothing is left.

        Raises:
            Unavailable: the database or the archive is away, and outages are not waited out.
            UsageError: folder or database are not as they must be.
        """
        self._began = time.monotonic()
        try:
            self.workers = Workers(self._pace.threads, self.progress, self.intake.wake)
            with self.intake, self.journal, self.workers, self.outages:
                self.store = self.outages.through(self.connect)
                with self.store:
                    self._watch_until_told_to_stop()
        except Unavailable:
            if not self.stop.is_set:
                raise
            log.warning("stopped during an outage; images wait in the drop folder")
        self.totals.seconds = time.monotonic() - self._began
        return self.totals

    def _watch_until_told_to_stop(self) -> None:
        self.in_force = self.outages.through(lambda: self.rules.enter(self.store))
        pace = self.rules.pace
        self.events.add(
            "start", f"{self.rules.artifact}, {pace.threads} threads, batches of {pace.batch_size}"
        )
        self._note_events()
        self.notifier.ready()
        log.info("ready: watching %s", self.intake.folder)
        self._until(lambda: self.stop.is_set or self.intake.exhausted, taking=True)
        self.notifier.stopping()
        drain_until = time.monotonic() + self._pace.drain_s
        self._until(lambda: not self._in_flight or time.monotonic() > drain_until, taking=False)
        self.totals.pending = self.intake.pending()
        self.events.add("stop", self._summary())
        self._note_events()

    def _until(self, done: Callable[[], bool], *, taking: bool) -> None:
        while not done():
            if taking:
                self._reload_when_asked()
                self._read_ready_files()
            self._collect_frames()
            self._judge_due_batches()
            self._record_judged_batches()
            self._note_events()
            self.notifier.alive()
            self._look_after_artifact()
            self.notifier.status("; ".join([self._summary(), *self._troubles()]))
            self.metrics.waiting(self.intake.pending(), self.intake.oldest())
            if not done():  # a single pass ends with its last file
                self.intake.wait(self._rest_s())

    # --- intake → decode ------------------------------------------------------------------------------

    def _read_ready_files(self) -> None:
        """Hand ready files to the workers; a suspect goes alone, so that a crash names the culprit."""
        if any(arrival.source_name in self.journal.suspects for arrival in self._reads.values()):
            return
        for arrival in self.intake.take(self._room) if not self._suspects else ():
            if arrival.source_name in self.journal.suspects:
                self._suspects.append(arrival)
            else:
                self._reads[self.workers.submit(self._read, arrival)] = arrival
        if not self._reads:
            self.journal.tidy()
            if self._suspects:
                suspect = self._suspects.popleft()
                self._reads[self.workers.submit(self._read, suspect)] = suspect

    def _read(self, arrival: Arrival) -> Frame | Unreadable:
        return read(arrival, self.rules.limits, self.rules.classifier.prepare, self.journal)

    def _collect_frames(self) -> None:
        unreadable = []
        for future in _done(self._reads):
            arrival = self._reads.pop(future)
            try:
                result = future.result()
            except (OSError, MemoryError) as error:  # the station's own trouble, not the file's
                self._postpone(arrival, "read_failed", str(error))
                continue
            if isinstance(result, Frame):
                if result.flaw != "unfinished" or not self._looks_again(result):
                    self._frames.append((time.monotonic(), result))
            elif result.error.reason == "vanished":
                self.intake.release(arrival)
            elif not result.error.retry or not self._looks_again(result):
                unreadable.append(result)
        self._quarantine(unreadable)

    def _looks_again(self, item: Frame | Unreadable) -> bool:
        """Put back what may be half of a slow write; False once that has had its time."""
        again = self.intake.retry(item.taken.arrival)
        if again:
            item.taken.close()
        return again

    # --- batch → classify -----------------------------------------------------------------------------

    def _judge_due_batches(self) -> None:
        while self._batch_is_due():
            frames = [self._frames.popleft()[1] for _ in range(min(self._pace.batch_size, len(self._frames)))]
            if fresh := self._set_known_aside(frames):
                self._judgings[self.workers.submit(self._judge, fresh)] = fresh

    def _batch_is_due(self) -> bool:
        """A batch leaves at once while the network is idle; else when full, or when it has waited enough."""
        if not self._frames or self._under_judgement >= self._pace.threads:
            return False
        waited_s = time.monotonic() - self._frames[0][0]
        full = len(self._frames) >= self._pace.batch_size
        return not self._under_judgement or full or waited_s >= self._pace.batch_wait_s

    def _judge(self, frames: list[Frame]) -> tuple[list[Judgement], float]:
        """In a worker: the verdicts, and the milliseconds that each frame's share of the batch took."""
        started = time.monotonic()
        judgements = self.rules.classifier.judge([f.prepared for f in frames], [f.flaw for f in frames])
        return judgements, (time.monotonic() - started) * 1000 / len(frames)

    def _set_known_aside(self, frames: list[Frame]) -> list[Frame]:
        """Frames that the ledger does not know; the others are moved without a second judgement."""
        known = self.outages.through(lambda: self.store.known([frame.taken.key for frame in frames]))
        fresh, duplicates = [], []
        for frame in frames:
            entry = known.get(frame.taken.key)
            if entry is None or entry.inspection_id is None:
                fresh.append(frame)
            elif path := self.archive.unfilled_path(Place.ARCHIVE, entry.paths):
                # Recorded, then the power went: the file takes the place that its row names.
                self._move(frame.taken, Place.ARCHIVE, path)
                self.totals.inspected += 1
            else:
                duplicates.append((frame, self.rules.bookkeeper.duplicate(frame, entry.inspection_id)))
        self._record_and_move(duplicates)
        return fresh

    # --- record → archive -----------------------------------------------------------------------------

    def _record_judged_batches(self) -> None:
        for future in _done(self._judgings):
            frames = self._judgings.pop(future)
            judgements, infer_ms = future.result()
            self._record_and_move(
                [
                    (frame, self.rules.bookkeeper.inspected(frame, judgement, infer_ms, len(frames)))
                    for frame, judgement in zip(frames, judgements, strict=True)
                ]
            )
            self.totals.inspecting_s = time.monotonic() - self._began
            self.metrics.judged(len(frames))
            verdicts = Counter(judgement.verdict.value for judgement in judgements)
            told = fields(event="batch", frames=len(frames), infer_ms=round(infer_ms, 2), verdicts=verdicts)
            log.info("batch of %d, %.1f ms a frame: %s", len(frames), infer_ms, spell(verdicts), extra=told)

    def _quarantine(self, unreadable: Sequence[Unreadable]) -> None:
        """Set unreadable files aside; those that the ledger knows were on their way there already."""
        if not unreadable:
            return
        known = self.outages.through(lambda: self.store.known([item.taken.key for item in unreadable]))
        rows: list[tuple[Unreadable, Quarantined]] = []
        for item in unreadable:
            name, reason = item.taken.arrival.source_name, item.error.reason
            told = fields(event="quarantine", file=name, reason=reason)
            log.warning("quarantine: %s: %s", name, item.error, extra=told)
            entry = known.get(item.taken.key)
            if entry and (path := self.archive.unfilled_path(Place.QUARANTINE, entry.paths)):
                self._move(item.taken, Place.QUARANTINE, path)
                self.totals.quarantined += 1
            else:
                rows.append((item, self.rules.bookkeeper.quarantined(item)))
        self._record_and_move(rows)

    def _record_and_move(self, recorded: Sequence[tuple[Frame | Unreadable, Row]]) -> None:
        """One transaction for all rows; only after its commit the files move."""
        if not recorded:
            return
        rows = [row for _, row in recorded]
        files = [item.taken for item, _ in recorded]
        self.outages.through(lambda: self.archive.flush(files))  # no row outlives its image in a power cut
        try:
            self.outages.through(lambda: self.store.record(rows, self.in_force))
        except RowRefused as error:
            self._part_with_what_is_refused(recorded, error)
            return
        self.metrics.recorded(rows)
        for item, row in recorded:
            self._move(item.taken, row.place, row.final_path)
        self.totals.count(rows)

    def _part_with_what_is_refused(
        self, recorded: Sequence[tuple[Frame | Unreadable, Row]], error: RowRefused
    ) -> None:
        """A row that the database refuses keeps no other out: each is tried alone, the image set aside."""
        if len(recorded) > 1:
            for one in recorded:
                self._record_and_move([one])
            return
        item = recorded[0][0]
        if isinstance(item, Frame):
            refused = ImageError("row_refused", str(error))
            self._quarantine([Unreadable(item.taken, refused)])
        else:  # its quarantine is refused, too: the file stays, and is tried again
            item.taken.close()
            self._postpone(item.taken.arrival, "row_refused", str(error))

    def _move(self, taken: TakenFile, place: Place, path: str) -> None:
        """Move a recorded file; one that cannot move stays, is read again later, and goes to that path."""
        arrival = taken.arrival
        moved = self.outages.through(lambda: self.archive.deliver(taken, place, path))
        taken.close()
        if moved is Moved.FAILED:
            self._postpone(arrival, "move_failed", path)
            return
        if moved is not Moved.MOVED:
            self.events.add(f"move_{moved.value}", f"{arrival.source_name} to {path}")
        self.intake.release(arrival)

    def _postpone(self, arrival: Arrival, kind: str, detail: str) -> None:
        """Look at a file again later and later, for as long as it takes; told at the first time."""
        if self.intake.postpone(arrival) == 1:
            self.events.add(kind, f"{arrival.source_name}: {detail}")

    # --- what people are told -------------------------------------------------------------------------

    def _note_events(self) -> None:
        self.events.drain(self._note_event)

    def _note_event(self, kind: str, detail: str) -> None:
        self.outages.through(lambda: self.store.event(kind, detail))
        self.metrics.happened(kind)

    def _look_after_artifact(self) -> None:
        trouble = self.rules.file.trouble()
        if trouble != self._artifact_trouble:
            self._artifact_trouble = trouble
            self.events.add("artifact_file", trouble or f"{self.rules.file.path} is as it was")

    def _troubles(self) -> list[str]:
        return [*self.intake.troubles, *([self._artifact_trouble] if self._artifact_trouble else [])]

    def _summary(self) -> str:
        return self.totals.summary(self.intake.pending())

    # --- the rules ------------------------------------------------------------------------------------

    def _reload_when_asked(self) -> None:
        """Take new rules when nothing read or judged by the old is under way; at a mistake keep the old."""
        self.reload.begin_when_asked(self.workers)
        if not self.reload.is_due or self._in_flight:
            return
        new = self.reload.take()
        if isinstance(new, Rules):
            self.in_force = self.outages.through(lambda: new.enter(self.store))
            self.rules = new
            self.metrics.judged_by(new.artifact)
            self.events.add("reload", f"{new.artifact}, batches of {new.pace.batch_size}")
        else:
            self.events.add("reload_refused", f"{new}; {self.rules.artifact} stays in force")
        self.notifier.ready()

    # --- the workers ----------------------------------------------------------------------------------

    @property
    def _pace(self) -> Pace:
        return self.rules.pace

    @property
    def _in_flight(self) -> int:
        return len(self._reads) + len(self._frames) + sum(len(frames) for frames in self._judgings.values())

    @property
    def _under_judgement(self) -> int:
        """Batches that workers have; those that are judged keep none waiting, though none is recorded yet."""
        return sum(not judging.done() for judging in self._judgings)

    @property
    def _room(self) -> int:
        """How many files may be taken: memory is bounded here, and new rules wait for an empty station."""
        if self.reload.is_due:
            return 0
        # A batch for each worker, one that is recorded, one that fills, and the files being read.
        bound = self._pace.batch_size * (self._pace.threads + 2) + self._pace.threads
        return bound - self._in_flight - len(self._suspects)

    def _rest_s(self) -> float:
        """How long the loop may sleep: until the oldest frame's batch is due, and never long."""
        if not self._frames or self._under_judgement >= self._pace.threads:
            return _IDLE_S
        return min(_IDLE_S, self._frames[0][0] + self._pace.batch_wait_s - time.monotonic())


def _done(futures: dict[Future[R], V]) -> list[Future[R]]:
    return [future for future in futures if future.done()]
