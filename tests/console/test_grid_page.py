"""The grid and the strip of a seam, with verdicts by keys, and the way from a chart to its images."""

from __future__ import annotations

import json

import pytest
from consoles import RunningConsole, person_at
from playwright.sync_api import Browser, expect
from reviewers import keep, kept
from stations import Station
from typer.testing import CliRunner

from inspector.commands.cli import app

KEY = "00000000-0000-4000-8000-000000000001"


@pytest.fixture(scope="module")
def sampled(inspected: Station, console: RunningConsole) -> list[int]:
    """The images of an audit sample of two."""
    sample = ["review", "sample", "--config", str(inspected.config), "--count", "2", "--seed", "1"]
    done = CliRunner().invoke(app, sample)
    assert done.exit_code == 0, done.output
    return [row[0] for row in inspected.rows("SELECT inspection_id FROM audit_sample ORDER BY id")]


def reviews(station: Station) -> dict[int, tuple[str, str, str | None]]:
    """The latest verdict of a person on each image: who, what, and the class."""
    rows = station.rows("SELECT inspection_id, reviewer, verdict, label FROM review ORDER BY id")
    return {row[0]: (row[1], row[2], row[3]) for row in rows}


def test_a_bar_of_the_pareto_leads_to_its_images_and_one_key_decides_them(
    inspected: Station, sampled: list[int], console: RunningConsole, browser: Browser
) -> None:
    """A click opens the images; marked ones get the other verdict, and the rest that of the key."""
    with person_at(browser, console, "anna", "/charts/pareto") as page:
        page.locator("svg a .bar").first.click()
        expect(page.locator("#tiles")).to_be_visible()
        failed = inspected.rows("SELECT count(*) FROM inspection WHERE verdict = 'FAIL'")[0][0]
        expect(page.locator(".tile")).to_have_count(failed)
        numbers = page.locator(".tile").evaluate_all("tiles => tiles.map(t => Number(t.dataset.inspection))")
        expect(page.locator("button.frame").first).to_be_focused()
        page.keyboard.press("x")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("u")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("x")
        page.keyboard.press("x")  # not odd after all
        expect(page.locator("#marked")).to_have_text("2 marked")
        page.keyboard.press("f")
        expect(page.locator("#marked")).to_have_text(f"{failed} verdicts saved.")
        page.keyboard.press("f")  # once more, which changes nothing
        page.evaluate("localStorage.setItem('weldnet-keys', 'off')")
        page.keyboard.press("p")  # with keys switched off
        assert kept(page) == []
    said = reviews(inspected)
    assert set(said) == set(numbers)
    assert inspected.rows("SELECT count(*) FROM review") == [(failed,)]
    assert [said[number][:2] for number in numbers[:3]] == [
        ("anna", "PASS"),
        ("anna", "REVIEW"),
        ("anna", "FAIL"),
    ]
    assert {said[number][1] for number in numbers[3:]} == {"FAIL"}


def test_a_seam_in_a_grid_leaves_out_audit_samples_and_the_server_refuses_them(
    inspected: Station, sampled: list[int], console: RunningConsole, browser: Browser
) -> None:
    """An open audit sample is not shown, and a verdict from a grid on it is refused with its reason."""
    with person_at(browser, console, "ben", "/grid") as page:
        shown = page.locator(".tile").evaluate_all("tiles => tiles.map(t => Number(t.dataset.inspection))")
        assert set(shown).isdisjoint(sampled)
        expect(page.locator("main")).to_contain_text(
            "Images of a random sample that you have not decided are left out"
        )
        page.goto("/grid?verdict=PASS")
        expect(page.locator("main")).not_to_contain_text("random sample")  # it would say that one is PASS
        body = {"key": KEY, "inspection": sampled[0], "verdict": "PASS", "in_grid": True}
        headers = {"origin": console.address, "content-type": "application/json"}
        answer = page.request.post("/api/verdicts", data=json.dumps(body), headers=headers)
        assert answer.status == 422
        assert "audit sample" in answer.json()["error"]
        assert not set(sampled) & set(reviews(inspected))


def test_one_verdict_for_a_seam(
    inspected: Station, sampled: list[int], console: RunningConsole, browser: Browser
) -> None:
    """A key gives the whole seam its verdict; the page then shows it with its note, and the row has who."""
    with person_at(browser, console, "ben") as page:
        page.goto("/seam?part=P1&seam=1&pass=1")
        frames = page.locator(".strip li")
        expect(frames).to_have_count(6)
        rows = inspected.rows(
            "SELECT id FROM inspection WHERE part = 'P1' AND seam = '1' ORDER BY taken_us, id"
        )
        links = page.locator(".strip a").evaluate_all("links => links.map(a => a.getAttribute('href'))")
        assert links == [f"/trace/{row[0]}" for row in rows]
        page.fill("[name=note]", "spatter only")
        page.locator("h1").click()
        page.keyboard.press("p")
        expect(page.locator("#said li").first).to_contain_text("spatter only")
        expect(page.locator("main > p .verdict").first).to_have_text("PASS")
    newest = max(row[0] for row in rows)
    found = inspected.rows("SELECT inspection_id, reviewer, verdict, note FROM seam_review")
    assert [tuple(row) for row in found] == [(newest, "ben", "PASS", "spatter only")]


def test_a_verdict_that_waits_goes_out_from_any_page(
    inspected: Station, sampled: list[int], console: RunningConsole, browser: Browser
) -> None:
    """Any page sends what an earlier one kept in the browser, and shows what is refused."""
    number = inspected.rows("SELECT max(id) FROM inspection WHERE verdict = 'REVIEW'")[0][0]
    waiting = [
        {"key": KEY, "inspection": number, "verdict": "PASS", "person": "ben"},
        {"key": KEY[:-1] + "2", "inspection": 999, "verdict": "PASS", "person": "ben"},
    ]
    with person_at(browser, console, "ben", "/enough") as page:
        keep(page, *waiting, person="ben")
        page.goto("/find")
        expect(page.get_by_role("alert")).to_contain_text("there is no inspection 999")
        assert kept(page, "ben") == []
    assert reviews(inspected)[number] == ("ben", "PASS", None)


def test_a_person_of_the_role_look_marks_nothing(
    inspected: Station, console: RunningConsole, browser: Browser
) -> None:
    """The grid shows images without buttons for verdicts."""
    with person_at(browser, console, "dora", "/grid") as page:
        expect(page.locator(".tile")).not_to_have_count(0)
        expect(page.locator("button.frame")).to_have_count(0)
        expect(page.locator("main")).to_contain_text("Your role may look, not review.")
