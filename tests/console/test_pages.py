"""The pages beside the review: people look at charts, search, trace and put files back in a real browser."""

from __future__ import annotations

import csv
import io
import re

import pytest
from consoles import RunningConsole, deliver, person_at
from playwright.sync_api import Browser, expect
from stations import Station
from typer.testing import CliRunner
from waiting import wait_for

from inspector.commands.cli import app
from inspector.reports import definitions

HOSTILE = "<img src=x onerror=alert(1)>\"'&.png"


@pytest.fixture(scope="module")
def shop(inspected: Station, console: RunningConsole) -> Station:
    """The station with a broken file of a hostile name in quarantine, and two images in an audit sample."""
    inspected.deliver(HOSTILE, b"\x89PNG\r\n\x1a\n, and no more")
    inspected.once()
    sample = ["review", "sample", "--config", str(inspected.config), "--count", "2", "--seed", "1"]
    done = CliRunner().invoke(app, sample)
    assert done.exit_code == 0, done.output
    return inspected


def test_every_report_is_a_page_that_a_link_leads_to(
    shop: Station, console: RunningConsole, browser: Browser
) -> None:
    """Each report answers; what a person chooses is in the address; a wrong date stays in the form."""
    with person_at(browser, console, "dora", "/charts") as page:
        for name in definitions.names():
            assert page.request.get(f"/charts/{name}?station=cell-1&days=3").status == 200, name
        page.goto("/charts/trend")
        page.select_option("[name=by]", "hour")
        page.select_option("[name=verdicts]", "station")
        page.fill("[name=days]", "2")
        page.click("form.choose button")
        assert re.search(r"by=hour.*verdicts=station", page.url)
        expect(page.locator("svg .mark")).not_to_have_count(0)
        page.fill("[name=since]", "yesterday")
        page.click("form.choose button")
        expect(page.get_by_role("alert")).to_contain_text("'yesterday' is not a date")
        assert page.input_value("[name=since]") == "yesterday"
        content = page.request.get("/charts/by_part.csv").text()
        rows = list(csv.DictReader(io.StringIO(content)))
        assert {row["part"]: int(row["n"]) for row in rows} == {"P1": 12, "P2": 12}
        assert page.request.get("/charts/nothing").status == 422


def test_people_find_an_image_and_read_its_life(
    shop: Station, console: RunningConsole, browser: Browser
) -> None:
    """A part leads to its images, one of them to its life and its seam; a hostile name is text."""
    with person_at(browser, console, "dora", "/find") as page:
        expect(page.locator("[name=q]")).to_be_focused()  # before: a letter would be lost
        page.keyboard.type("P1")
        page.keyboard.press("Enter")
        expect(page.locator(".tile")).to_have_count(12)
        number = shop.rows("SELECT max(id) FROM inspection WHERE verdict = 'FAIL' AND part = 'P1'")[0][0]
        page.goto(f"/find?q={number}")
        page.locator(f'.tile a[href="/trace/{number}"]').first.click()
        expect(page.locator("h1")).to_have_text(f"Inspection {number}")
        expect(page.locator("#life-files + dl")).to_contain_text("its bytes match")
        page.locator('main a[href^="/seam"]').first.click()
        expect(page.locator(".strip li")).to_have_count(6)
        page.goto("/find?q=onerror")
        expect(page.get_by_text(HOSTILE)).to_be_visible()
        page.goto("/find?q=nothing%20like%20this")
        expect(page.get_by_role("status")).to_contain_text("nothing like this")


def test_an_open_audit_sample_shows_no_verdict(
    shop: Station, console: RunningConsole, browser: Browser
) -> None:
    """Neither its life, nor a list, nor the first page, nor its pass says what the station said of it."""
    [(number, path, label, part, seam, pass_no)] = shop.rows(
        "SELECT i.id, i.archive_path, i.label, i.part, i.seam, i.pass_no FROM inspection i"
        " JOIN audit_sample a ON a.inspection_id = i.id ORDER BY i.id LIMIT 1"
    )
    with person_at(browser, console, "anna", f"/trace/{number}") as page:
        for address in (f"/trace/{number}", f"/find?q={number}"):
            page.goto(address)
            text = page.inner_text("main")
            assert "hidden until you decide" in text
            assert label not in text
            assert path not in text
        page.goto("/")
        row = page.locator(f'tr[data-inspection="{number}"]')
        assert row.count() == 0 or "hidden until you decide" in row.inner_text()
        page.goto(f"/seam?part={part}&seam={seam}&pass={pass_no}")
        assert "stay hidden until you have decided" in page.inner_text("main")
        assert page.locator("main > p .verdict, .mark-bad, #said").count() == 0


def test_the_first_page_shows_images_as_they_come(
    shop: Station, console: RunningConsole, browser: Browser
) -> None:
    """A new image is a row of the open page without a reload, and the state names the station."""
    with person_at(browser, console, "dora") as page:
        expect(page.locator("#live")).to_have_text("live")
        expect(page.locator("dl.state")).to_contain_text("cell-1")
        before = shop.rows("SELECT max(id) FROM inspection")[0][0]
        deliver(shop, range(100, 102))
        expect(page.locator(f'#rows tr[data-inspection="{before + 2}"]')).to_be_visible()
        assert page.locator("#rows tr").count() <= 20


def test_only_the_role_release_puts_files_back(
    shop: Station, console: RunningConsole, browser: Browser
) -> None:
    """A person of the role review sees the quarantine; one of the role release puts a file back by keys."""
    with person_at(browser, console, "anna", "/quarantine") as page:
        expect(page.get_by_text(HOSTILE)).to_be_visible()
        expect(page.get_by_role("checkbox")).to_have_count(0)
        answer = page.request.post(
            "/quarantine/requeue", form={"row": "1"}, headers={"origin": console.address}
        )
        assert answer.status == 403
    with person_at(browser, console, "clara", "/quarantine") as page:
        page.get_by_role("button", name="Put the chosen files back").click()
        expect(page.get_by_role("alert")).to_have_text("Choose a file first.")
        page.get_by_role("checkbox").first.focus()
        page.keyboard.press("Space")
        page.keyboard.press("Enter")
        expect(page.get_by_role("status")).to_have_text("1 files went back.")
        expect(page.get_by_text("No file is in quarantine.")).to_be_visible()
    wait_for(lambda: any(shop.drop.iterdir()))
    assert shop.rows("SELECT detail FROM event WHERE kind = 'requeue'") == [("1 files, by clara",)]
    shop.once()


def test_the_page_of_figures_names_the_commands(
    shop: Station, console: RunningConsole, browser: Browser
) -> None:
    """The proof: the audits that wait, and an export of the new verdicts, in each language."""
    with person_at(browser, console, "dora", "/enough") as page:
        expect(page.locator("main")).to_contain_text("2 images of samples wait for a person")
        command = f"weld-inspect export --config {shop.config} --out reviewed --add"
        expect(page.locator("main")).to_contain_text(command)
        review = page.locator("main a.button").get_attribute("href")
        assert page.request.get(review).status == 200
        for language, title in {
            "de": "Wie viel nachgewiesen ist",
            "zh": "已证明多少",
            "en": "How much is proven",
        }.items():
            page.goto(f"/language/{language}?next=/enough")
            expect(page.locator("h1")).to_have_text(title)
