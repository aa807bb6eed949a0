"""Database work that outlives the database's absence: an outage is waited out, and told when it ends."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from tenacity import Retrying, retry_if_exception_type, wait_random_exponential

from inspector.errors import StoreUnavailable
from inspector.service import Notifier, StopFlag

T = TypeVar("T")

log = logging.getLogger("weldnet")

_LONGEST_S = 20  # between two tries: the database's return is noticed within this


class Outages:
    """Runs database work and, where told to, waits while the server is away.

    Meanwhile nothing else goes on: what is in memory is bounded, and the rest waits in the drop folder.

    Args:
        wait: False raises at once.
        stop: ends the waiting.
        notifier: told of the outage, and that the program is alive.
        pending: how many images wait in the drop folder.
    """

    def __init__(self, *, wait: bool, stop: StopFlag, notifier: Notifier, pending: Callable[[], int]) -> None:
        self.over: list[
            str
        ] = []  # outages that have ended, for the event table; whoever records them clears it
        self.is_on = False  # whether one is being waited out; other threads may look
        self._wait = wait
        self._stop = stop
        self._notifier = notifier
        self._pending = pending

    def through(self, work: Callable[[], T]) -> T:
        """Do the work, again and again with growing random pauses until the server answers.

        Raises:
            StoreUnavailable: outages are not waited out, or the stop flag was set.
        """
        try:
            return work()
        except StoreUnavailable as error:
            if not self._wait or self._stop.is_set:
                raise
            log.warning("%s; images wait in the drop folder", error)
            self._notifier.ready()  # the outage is declared: systemd need not wait for its end
        began = time.monotonic()
        retrying = Retrying(
            retry=retry_if_exception_type(StoreUnavailable),
            wait=wait_random_exponential(multiplier=0.5, max=_LONGEST_S),
            sleep=self._rest,
            stop=lambda _: self._stop.is_set,
            reraise=True,
        )
        self.is_on = True
        result = retrying(work)
        self.is_on = False
        self.over.append(f"the database did not answer for {time.monotonic() - began:.1f} s")
        return result

    def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._stop.is_set and (left := until - time.monotonic()) > 0:
            self._notifier.alive()
            self._notifier.status(f"database outage: {self._pending()} images wait in the drop folder")
            self._stop.pause(min(left, 1.0))
