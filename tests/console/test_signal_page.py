"""Signals of a p-chart: from a point to its images, and a cause and an action from a person."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from consoles import Client, RunningConsole, person_at, running_console
from playwright.sync_api import Browser, expect
from sqlalchemy.engine import URL, make_url
from stations import Station

from inspector.reports.query import Query, run

PERIOD = "since=2026-03-23&until=2026-04-05"  # of history 2: the rate rises on the second of April


@pytest.fixture(scope="module")
def shop(tiny: Path, tmp_path_factory: pytest.TempPathFactory, history_url: Callable[..., URL]) -> Station:
    """A station with the rows of twelve days, and without their files."""
    folder = tmp_path_factory.mktemp("shop")
    url = make_url(f"sqlite:///{folder / 'quality.db'}")
    shutil.copyfile(str(history_url(2).database), folder / "quality.db")
    return Station(folder, tiny, url, timezone="Europe/Berlin")


@pytest.fixture(scope="module")
def shop_console(shop: Station) -> Iterator[RunningConsole]:
    """The console of that station."""
    with running_console(shop) as running:
        yield running


def test_a_point_outside_the_limits_leads_to_its_images(
    shop: Station, shop_console: RunningConsole, browser: Browser
) -> None:
    """A click on the point opens as many images as it counts; each says that its file is not there."""
    with person_at(browser, shop_console, "dora") as page:
        page.goto(f"/charts/p_chart?{PERIOD}&station=cell-1&by=day")
        point = page.locator("svg a:has(.outside)").first
        words = point.get_attribute("aria-label")
        assert words is not None
        failed = int(words.partition("(")[2].partition(" /")[0])
        point.click()
        expect(page.locator(".tile")).to_have_count(min(failed, 48))
        expect(page.locator(".tile .not-shown").first).to_be_visible()


def test_a_person_acknowledges_a_signal_with_cause_and_action(
    shop: Station, shop_console: RunningConsole, browser: Browser
) -> None:
    """The form makes one row however often it is sent; the page then shows it below the open signals."""
    report = run(shop.url, Query("signals", since="2026-03-23", until="2026-04-05"))
    with person_at(browser, shop_console, "anna") as page:
        page.goto(f"/signals?{PERIOD}")
        expect(page.locator("article.signal")).to_have_count(len(report.rows))
        first = page.locator("article.signal").first
        form = first.locator("form").evaluate("form => Object.fromEntries(new FormData(form))")
        first.get_by_label("Cause").fill("<b>wire</b> of lot 7")
        first.get_by_label("Action").fill("lot blocked")
        first.get_by_role("button", name="Acknowledge").click()
        expect(page.locator("article.signal")).to_have_count(len(report.rows) - 1)
        expect(page.get_by_text("<b>wire</b> of lot 7")).to_be_visible()
        expect(page.get_by_text("Acknowledged by anna")).to_be_visible()
        again = form | {"cause": "again", "action": "again"}
        assert page.request.post("/signals", form=again, headers={"origin": shop_console.address}).ok
        empty = page.request.post(
            "/signals", form=form | {"cause": " "}, headers={"origin": shop_console.address}
        )
        assert empty.status == 422
    rows = shop.rows("SELECT report, signal, person, cause, action FROM signal_note")
    assert [tuple(row) for row in rows] == [
        ("p_chart", form["signal"], "anna", "<b>wire</b> of lot 7", "lot blocked")
    ]
    body = "signal=x&cause=y&action=z"
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    assert Client(shop_console, "dora").ask("POST", "/signals", body, **kind).status == 403
