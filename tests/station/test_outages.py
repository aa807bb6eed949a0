"""Outages of database and disk: waited out, and over as soon as the work has another answer."""

from __future__ import annotations

import pytest

from inspector.errors import RowRefused, StoreUnavailable
from inspector.monitoring.progress import Progress
from inspector.station.events import Events
from inspector.station.outages import Outages
from inspector.station.service import Notifier, StopFlag


def test_an_outage_that_ends_in_a_refused_row_is_over() -> None:
    """The database has answered, so the fault must not stay, although the row of that moment is refused."""
    answers = iter([StoreUnavailable("away"), RowRefused("a constraint")])

    def work() -> None:
        raise next(answers)

    outages = Outages(
        wait=True, stop=StopFlag(), notifier=Notifier(Progress()), pending=lambda: 0, events=Events()
    )
    with outages, pytest.raises(RowRefused):
        outages.run(work)
    assert outages.current is None
