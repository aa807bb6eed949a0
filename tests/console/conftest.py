"""A station with a console and a browser, once for each file of tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from stations import Station
from waiting import HANG_S

if TYPE_CHECKING:
    from consoles import RunningConsole
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def inspected(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Station:
    """A station whose daemon has judged 24 images, with each verdict among them."""
    from consoles import inspected_station

    return inspected_station(tmp_path_factory.mktemp("station"), tiny)


@pytest.fixture(scope="module")
def console(inspected: Station) -> Iterator[RunningConsole]:
    """The station's console, with the people of ``consoles.PEOPLE``."""
    from consoles import running_console

    with running_console(inspected) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real Chromium."""
    from consoles import chromium
    from playwright.sync_api import expect

    expect.set_options(timeout=HANG_S * 1000)
    with chromium() as opened:
        yield opened
