"""Work on the database and the disk that waits while one of them is away."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential

from inspector.errors import SchemaError, StoreRefused, StoreUnavailable, Unavailable
from inspector.station.events import Events
from inspector.station.service import Notifier, StopFlag

T = TypeVar("T")

log = logging.getLogger("weldnet")

_SLOW_ANSWER_S = 5.0  # a commit takes milliseconds; the status must name the reason within 10 s
_MAX_PAUSE_S = 20  # s between two tries: the return of a database or a disk is noticed within this time


class Outages:
    """Runner for work on the database and the archive, which waits out outages if it is asked to.

    During an outage all other work stops: memory is bounded, and images wait in the drop folder. Within the
    context a thread reports an answer that is slow to come in the service's status.

    Args:
        wait: whether to wait; False raises at once.
        stop: ends the waiting.
        notifier: receives the status, and a sign of life.
        pending: returns how many images wait in the drop folder.
        events: where an outage that has ended is reported.

    Attributes:
        current: the present outage, or None; other threads may read it.
        reconnect: called before the work is tried again after an outage of the database; None until the
            database has been opened. From then on a ledger that loses its schema, as in the middle of a
            restore, is an outage, too.
    """

    def __init__(
        self,
        *,
        wait: bool,
        stop: StopFlag,
        notifier: Notifier,
        pending: Callable[[], int],
        events: Events,
    ) -> None:
        self.current: Unavailable | None = None
        self.reconnect: Callable[[], None] | None = None
        self._wait = wait
        self._stop = stop
        self._notifier = notifier
        self._pending = pending
        self._events = events
        self._since: float | None = None  # when (monotonic) the present work began
        self._ended = threading.Event()
        self._reporter = threading.Thread(target=self._report_slow_answers, name="outages", daemon=True)

    def __enter__(self) -> Self:
        self._reporter.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._reporter.join()

    def run(self, work: Callable[[], T]) -> T:
        """Do the work; during an outage repeat it, with growing random pauses, until it succeeds.

        Raises:
            Unavailable: outages are not waited out, or the stop flag was set.
        """
        try:
            return self._run_timed(work)
        except Unavailable as error:
            if not self._wait or self._stop.is_set:
                raise
            self.current = first = error
            log.warning("%s; images wait in the drop folder", error)
            self._notifier.ready()  # the outage is reported; systemd need not wait for its end
        began = time.monotonic()
        retrying = Retrying(
            retry=retry_if_exception_type(Unavailable),
            wait=wait_random_exponential(multiplier=0.5, max=_MAX_PAUSE_S),
            before_sleep=self._note,  # the reason may change: first no server, then a missing right
            sleep=self._pause,
            stop=lambda _: self._stop.is_set,
            reraise=True,
        )
        try:
            result = retrying(lambda: self._run_timed(lambda: self._again(work)))
        finally:  # also if the work ends in another error: the database has answered
            self.current = None
        self._events.add("outage", f"over after {time.monotonic() - began:.1f} s: {first}")
        return result

    def _again(self, work: Callable[[], T]) -> T:
        """Do the work once more, on connections of its own: the old ones may lead to a wrong server."""
        if self.reconnect and isinstance(self.current, StoreUnavailable):
            self.reconnect()
        return work()

    def _run_timed(self, work: Callable[[], T]) -> T:
        self._since = began = time.monotonic()
        try:
            result = work()
        except SchemaError as error:
            if self.reconnect is None:
                raise
            raise StoreRefused(str(error)) from error
        finally:
            self._since = None
        if (took := time.monotonic() - began) > _SLOW_ANSWER_S:
            self._events.add("outage", f"an answer took {took:.1f} s")
        return result

    def _report_slow_answers(self) -> None:
        while not self._ended.wait(1.0):
            since = self._since
            if since is not None and time.monotonic() - since > _SLOW_ANSWER_S:
                self._notifier.status(
                    f"slow: database or disk have not answered for {time.monotonic() - since:.0f} s; "
                    f"{self._pending()} images wait in the drop folder"
                )

    def _note(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        self.current = error if isinstance(error, Unavailable) else None

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._stop.is_set and (left := until - time.monotonic()) > 0:
            self._notifier.alive()
            self._notifier.status(f"outage: {self._pending()} images wait in the drop folder; {self.current}")
            self._stop.pause(min(left, 1.0))
