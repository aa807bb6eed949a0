"""The review page while its PostgreSQL server restarts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from consoles import inspected_station, person_at, running_console
from reviewers import kept, on_screen, press, said, wait_until_ahead, wait_until_sent
from servers import postgresql_server, postgresql_url, start_postgresql, stop_postgresql


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    """A server of its own, which the test may stop."""
    with postgresql_server() as running:
        yield running


def test_a_restart_loses_no_verdict(browser, tiny: Path, tmp_path: Path, server):
    """Verdicts before, during and after an outage of the server are each one row."""
    url = postgresql_url(server)
    station = inspected_station(tmp_path, tiny, 20, url, thresholds={"accept": 1.0})
    with running_console(station) as console, person_at(browser, console, path="/review") as page:
        given = [press(page, "p")]
        wait_until_ahead(page)
        stop_postgresql(server, "fast")
        given += [press(page, key) for key in "ff1"]
        page.wait_for_selector("#outbox", state="visible")
        assert [item["inspection"] for item in kept(page)] == given[-len(kept(page)) :]
        start_postgresql(server)
        wait_until_sent(page)
        page.wait_for_selector("#outbox", state="hidden")
        given.append(press(page, "u"))
        on_screen(page)
        wait_until_sent(page)
    rows = said(station)
    assert [row[0] for row in rows] == given
    assert [row[2] for row in rows] == ["PASS", "FAIL", "FAIL", "FAIL", "REVIEW"]
