"""The review page by keys alone, in a real browser, on a station whose images all wait for a person."""

from __future__ import annotations

import shutil
import statistics
from pathlib import Path

import pytest
from consoles import inspected_station, person_at, running_console
from reviewers import kept, on_screen, press, said, wait_until_ahead, wait_until_sent
from stations import Station

IMAGES = 150
# The places of the image as it is drawn, and of its heat map: left, top, width, height; pixels of the screen.
DRAWN_AND_HEAT = """() => {
  const image = document.querySelector(".layer img"), box = image.getBoundingClientRect();
  const scale = Math.min(box.width / image.naturalWidth, box.height / image.naturalHeight);
  const width = image.naturalWidth * scale, height = image.naturalHeight * scale;
  const heat = document.querySelector(".heat").getBoundingClientRect();
  const drawn = [box.left + (box.width - width) / 2, box.top + (box.height - height) / 2, width, height];
  return [drawn, [heat.left, heat.top, heat.width, heat.height]];
}"""


@pytest.fixture(scope="module")
def inspected(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Station:
    """A station that passes nothing, so that every image waits for a person."""
    return inspected_station(tmp_path_factory.mktemp("station"), tiny, IMAGES, thresholds={"accept": 1.0})


def test_sixty_images_by_keys_alone(browser, console, inspected):
    """60 images get 60 verdicts by keys alone, each in one row and in the order of the keys."""
    keys = {
        "p": ("PASS", None),
        "f": ("FAIL", None),
        "1": ("FAIL", "burn through"),
        "2": ("FAIL", "contamination"),
    }
    with person_at(browser, console, path="/review") as page:
        expected = []
        for turn in range(60):
            key = "pf12"[turn % 4]
            expected.append((press(page, key), "anna", *keys[key]))
        on_screen(page)
        wait_until_sent(page)
        took = page.evaluate("performance.getEntriesByName('next-image').map(entry => entry.duration)")
    assert said(inspected) == expected
    assert len({row[0] for row in expected}) == 60
    print(f"key to next image: median {statistics.median(took):.1f} ms, n = {len(took)}")  # noqa: T201


def test_a_key_that_bounces_decides_one_image(browser, console, inspected):
    """A second key before the next image was to be seen decides nothing, and the page says why."""
    before = len(said(inspected))
    with person_at(browser, console, path="/review") as page:
        number = on_screen(page)
        page.evaluate(
            "for (const _ of [1, 2])"
            " document.body.dispatchEvent(new KeyboardEvent('keydown', { key: 'p', bubbles: true }))"
        )
        assert "not on screen yet" in page.inner_text("#flash")
        on_screen(page)
        wait_until_sent(page)
    assert [row[0] for row in said(inspected)[before:]] == [number]


def test_undo_is_a_new_row(browser, console, inspected):
    """Undo brings the image back and adds the verdict that was replaced, or REVIEW if there was none."""
    with person_at(browser, console, path="/review") as page:
        number = press(page, "p")
        assert press(page, "z") != number  # pressed on the next image
        assert on_screen(page) == number
        page.keyboard.press("f")
        assert on_screen(page) != number
        page.keyboard.press("k")
        assert on_screen(page) == number
        page.keyboard.press("p")
        page.keyboard.press("z")
        assert on_screen(page) == number
        page.keyboard.press("j")
        assert on_screen(page) != number
        wait_until_sent(page)
    verdicts = [row[2] for row in said(inspected, f"inspection_id = {number}")]
    assert verdicts == ["PASS", "REVIEW", "FAIL", "PASS", "FAIL"]


def test_the_view_follows_keys(browser, console):
    """Keys zoom, light, show the heat map while held, and name themselves; a note takes letters."""
    with person_at(browser, console, path="/review") as page:
        number = on_screen(page)
        for key in ("+", "ArrowLeft", "b", "c"):
            page.keyboard.press(key)
        assert "scale(1.25)" in page.evaluate("document.querySelector('.layer').style.transform")
        assert float(page.input_value("#brightness")) > 1
        page.keyboard.press("0")
        assert "scale(1)" in page.evaluate("document.querySelector('.layer').style.transform")
        assert page.input_value("#brightness") == "1"
        page.wait_for_selector(".heat", state="attached")
        page.keyboard.down("h")
        page.wait_for_selector(".heat", state="visible")
        drawn, heat = page.evaluate(DRAWN_AND_HEAT)
        assert heat == pytest.approx(drawn, abs=1)  # pixels of the screen
        page.keyboard.up("h")
        page.wait_for_selector(".heat", state="hidden")
        page.keyboard.press("?")
        page.wait_for_selector("#keys[open]")
        page.keyboard.press("Escape")
        page.wait_for_selector("#keys", state="hidden")
        page.keyboard.press("n")
        page.wait_for_selector("#note:focus")
        page.keyboard.type("puff")
        page.keyboard.press("Enter")
        assert on_screen(page) == number
        assert page.input_value("#note") == "puff"
        assert page.locator(".bar .tick").count() > 0
        assert page.locator(".strip .frame").count() > 1


AT_ONCE = """() => {
  const keys = document.querySelector("#keys");
  keys.showModal();
  keys.close();
  document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: "n", bubbles: true }));
  return document.activeElement.id;
}"""


def test_a_key_counts_as_soon_as_the_list_of_keys_is_closed(browser, console):
    """Until the next frame a box of the closed list has the focus, and takes no key away from the page."""
    with person_at(browser, console, path="/review") as page:
        on_screen(page)
        assert page.evaluate(AT_ONCE) == "note"


def test_two_people_get_different_images(browser, console, inspected):
    """Two people at once see no image together, and each verdict has its person."""
    with (
        person_at(browser, console, "anna", path="/review") as anna,
        person_at(browser, console, "ben", path="/review") as ben,
    ):
        hers, his = [], []
        for _ in range(5):
            hers.append(press(anna, "f"))
            his.append(press(ben, "f"))
        wait_until_sent(anna)
        wait_until_sent(ben, "ben")
    assert not set(hers) & set(his)
    found = said(inspected)
    for numbers, person in ((hers, "anna"), (his, "ben")):
        assert [row[0] for row in found if row[1] == person][-5:] == numbers


def test_no_verdict_is_lost_while_the_database_is_away(browser, console, inspected):
    """Verdicts given while the database is away are kept, said to be kept, and then written once each."""
    file = Path(inspected.url.database)
    with person_at(browser, console, path="/review") as page:
        wait_until_ahead(page)
        away = file.with_name("away")
        away.mkdir()
        for each in inspected.folder.glob("quality.db*"):
            shutil.move(each, away / each.name)
        given = [press(page, key) for key in "pfp"]
        page.wait_for_selector("#outbox", state="visible")
        assert [item["inspection"] for item in kept(page)] == given
        page.reload()  # what is kept outlives the page
        page.wait_for_selector("#outbox", state="visible")
        for each in away.iterdir():
            shutil.move(each, inspected.folder / each.name)
        wait_until_sent(page)
        page.wait_for_selector("#outbox", state="hidden")
    rows = said(inspected, f"inspection_id IN ({', '.join(map(str, given))})")
    assert [(row[0], row[2]) for row in rows] == list(zip(given, ["PASS", "FAIL", "PASS"], strict=True))


def test_no_verdict_is_lost_when_the_console_is_killed(browser, inspected):
    """A console that is killed while verdicts come loses none, and a restarted one takes the rest once."""
    with running_console(inspected) as first, person_at(browser, first, path="/review") as page:
        given = [press(page, "p") for _ in range(4)]
        wait_until_ahead(page)
        first.kill()
        given += [press(page, "p") for _ in range(4)]
        page.wait_for_selector("#outbox", state="visible")
        with running_console(inspected, port=first.port):
            wait_until_sent(page)
    rows = said(inspected, f"inspection_id IN ({', '.join(map(str, given))})")
    assert [row[0] for row in rows] == given
