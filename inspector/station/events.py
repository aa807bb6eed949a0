"""Events (start, outage, overflow, …) on their way to the log and to the ledger's event table."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from inspector.logs import json_fields

log = logging.getLogger("weldnet")

_EXPECTED_KINDS: Final = ("start", "stop", "reload")  # all others are warnings


class Event(NamedTuple):
    """One event."""

    kind: str
    detail: str


class Events:
    """Events that wait for their rows, oldest first. Any thread may add; one drains."""

    def __init__(self) -> None:
        self._waiting: deque[Event] = deque()
        self._said: set[str] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Event]:
        return iter(self._waiting)

    def add(self, kind: str, detail: str) -> None:
        """Log an event, and keep it until it has been written."""
        level = logging.INFO if kind in _EXPECTED_KINDS else logging.WARNING
        log.log(level, "%s: %s", kind, detail, extra=json_fields(event=kind))
        self._waiting.append(Event(kind, detail))

    def add_once(self, kind: str, detail: str) -> None:
        """Add an event unless there was one of its kind since the start."""
        if kind not in self._said:
            self._said.add(kind)
            self.add(kind, detail)

    def drain(self, write: Callable[[str, str], None]) -> None:
        """Write each waiting event, those included that come meanwhile; one is dropped once it is written."""
        while self._waiting:
            write(*self._waiting[0])
            self._waiting.popleft()
