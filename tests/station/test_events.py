"""Events: one queue from all parts of the station to the log and the ledger."""

from __future__ import annotations

import logging

import pytest

from inspector.errors import StoreUnavailable
from inspector.station.events import Events


def test_events_are_written_in_order_with_those_that_come_meanwhile() -> None:
    """An event that is added while others are written comes after them, in the same drain."""
    events, written = Events(), []

    def write(kind: str, detail: str) -> None:
        if kind == "start":
            events.add("outage", "over after 2.0 s")
        written.append((kind, detail))

    events.add("start", "tiny 1")
    events.add("polling", "drop is on nfs4")
    events.drain(write)
    assert written == [("start", "tiny 1"), ("polling", "drop is on nfs4"), ("outage", "over after 2.0 s")]
    assert not events


def test_an_event_that_could_not_be_written_is_kept() -> None:
    """When the database fails in the middle, the next drain goes on with the same event."""
    events, written = Events(), []

    def refuse(kind: str, detail: str) -> None:
        raise StoreUnavailable(kind)

    events.add("start", "tiny 1")
    with pytest.raises(StoreUnavailable):
        events.drain(refuse)
    events.drain(lambda *event: written.append(event))
    assert written == [("start", "tiny 1")]


def test_an_event_is_logged_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """The log does not wait for the database; expected events are no warnings."""
    events = Events()
    with caplog.at_level(logging.INFO):
        events.add("start", "tiny 1")
        events.add("move_failed", "w.png: a.png")
    levels = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert levels == [("INFO", "start: tiny 1"), ("WARNING", "move_failed: w.png: a.png")]
