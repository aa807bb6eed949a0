"""New rules on request: the old ones judge until the new ones are loaded, verified and warm."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

from inspector.errors import StationError
from inspector.station.rules import Rules
from inspector.station.service import Notifier, ReloadFlag
from inspector.station.workers import Workers


class Reload:
    """One reload at a time: asked for, loading in a worker, loaded, taken.

    Args:
        asked: set by a signal.
        load: reads settings and artifact again; called in a worker.
        notifier: hears that a reload has begun; the caller of :meth:`result` reports when it is in force.
    """

    def __init__(self, asked: ReloadFlag, load: Callable[[], Rules], notifier: Notifier) -> None:
        self._asked = asked
        self._load = load
        self._notifier = notifier
        self._loading: Future[Rules] | None = None

    def start_if_asked(self, workers: Workers) -> None:
        """Start to load if a reload is asked for and none is in progress."""
        if self._loading is None and self._asked.is_set:
            self._asked.clear()
            self._notifier.reloading()
            self._loading = workers.submit(lambda _: self._load(), None)

    @property
    def is_going_on(self) -> bool:
        """Whether new rules are being loaded, or wait to be put in force."""
        return self._loading is not None

    @property
    def is_loaded(self) -> bool:
        """Whether :meth:`result` has something to return."""
        return self._loading is not None and self._loading.done()

    def result(self) -> Rules | str:
        """Return the new rules, or in one line why there are none."""
        loading, self._loading = self._loading, None
        if loading is None:
            return "no reload was asked for"
        try:
            return loading.result()
        except (
            StationError,
            OSError,
            RuntimeError,
        ) as error:  # RuntimeError: torch's own
            return " ".join(str(error).split())
