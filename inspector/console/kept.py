"""Answers of the database that serve everybody for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from inspector.errors import StationError

T = TypeVar("T")
_TROUBLE_S: Final = 2.0  # so long an outage is taken to last, before the database is asked again


class Kept(Generic[T]):
    """An answer that is kept for some seconds: however many screens ask, the database is asked once."""

    def __init__(self, ask: Callable[[], T], seconds: float) -> None:
        self._ask, self._seconds = ask, seconds
        self._lock = threading.Lock()
        self._until = 0.0
        self._answer: T
        self._trouble: StationError | None = None

    def forget(self) -> None:
        """Ask again next time, since the answer has changed."""
        self._until = 0.0

    def __call__(self) -> T:
        """Return the answer; one caller at a time asks again.

        Raises:
            StationError: the database does not answer. That is kept, too, or every screen would wait in turn.
        """
        with self._lock:
            if time.monotonic() >= self._until:
                try:
                    self._answer, self._trouble = self._ask(), None
                except StationError as error:
                    self._trouble = error
                kept_s = self._seconds if self._trouble is None else min(self._seconds, _TROUBLE_S)
                self._until = time.monotonic() + kept_s
            if self._trouble is not None:
                raise self._trouble
            return self._answer
