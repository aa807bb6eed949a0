"""Blind looks at audit samples, second readers, and images that cannot be shown."""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from consoles import Client, RunningConsole, inspected_station, person_at, running_console
from reviewers import keep, on_screen, press, said, wait_until_sent
from stations import Station
from waiting import wait_for


@pytest.fixture(scope="module")
def inspected(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Station:
    """A station with a random sample of 6 of its PASS images; two people read every one of them."""
    station = inspected_station(tmp_path_factory.mktemp("station"), tiny, 40, console_second_share=1.0)
    drawn = station.command("review", "sample", "--count", "6", "--seed", "1")
    assert drawn.returncode == 0, drawn.stderr
    return station


@pytest.fixture(scope="module")
def console(inspected: Station) -> Iterator[RunningConsole]:
    """The station's console."""
    with running_console(inspected) as running:
        yield running


def sample(station: Station) -> list[int]:
    """The images of the sample."""
    return [row[0] for row in station.rows("SELECT inspection_id FROM audit_sample ORDER BY id")]


def test_an_audit_sample_hides_the_stations_answer(console, inspected):
    """Of an audit sample nothing is sent that would sway a person, until this person has decided."""
    anna, ben = Client(console, "anna"), Client(console, "ben")
    number = sample(inspected)[0]
    before = anna.json(f"/api/image/{number}")
    assert before["blind"]
    assert not before["has_heat"]
    assert not {"verdict", "label", "confidence", "novelty", "explanation"} & set(before)
    assert {each["probability"] for each in before["classes"]} == {None}
    assert {each["verdict"] for each in before["neighbours"]} == {None}
    assert "PASS" not in json.dumps(before)
    assert anna.ask("GET", f"/heat/{number}").status == 403
    assert anna.decide(number, "FAIL", blind=True).status == 200
    after = anna.json(f"/api/image/{number}")
    assert (after["blind"], after["verdict"]) == (False, "PASS")
    hidden = ben.json(f"/api/image/{number}")
    assert hidden["blind"]
    assert hidden["said"] == []


def test_the_charts_hide_the_stations_answer(console, inspected):
    """The report of what waits names no verdict, class or archive folder of an audit sample."""
    ben = Client(console, "ben")
    number = sample(inspected)[3]
    content = ben.ask("GET", "/charts/review_queue.csv?days=3000").text
    rows = {int(row["id"]): row for row in csv.DictReader(io.StringIO(content))}
    hidden = ("verdict", "label", "confidence", "reason", "archive_path")
    assert {rows[number][column] for column in hidden} == {""}
    assert all(row["verdict"] and row["archive_path"] for row in rows.values() if row["why"] == "review")
    assert not [row for row in rows.values() if row["why"] == "audit" and row["label"]]
    assert f"/trace/{number}" in ben.ask("GET", "/charts/review_queue?days=3000").text


def test_a_difference_in_an_audit_sample_is_in_no_order(console, inspected):
    """The order of differences would tell a second reader what the station and the first one said."""
    number = sample(inspected)[4]
    Client(console, "anna").decide(number, "FAIL", blind=True)
    waiting = Client(console, "clara").json("/api/queue?order=differ&count=20")["images"]
    assert number not in [each["inspection"] for each in waiting]


def test_an_undecided_audit_sample_comes_once_and_says_no_more(console, inspected):
    """An audit sample that the first reader left undecided comes to the next one once, as an audit sample."""
    number = sample(inspected)[5]
    Client(console, "anna").decide(number, "REVIEW", blind=True)
    ben = Client(console, "ben")

    def why() -> list[str]:
        waiting = ben.json("/api/queue?count=20&part=" + part)["images"]
        ben.ask("POST", "/api/queue/leave")
        return [each["why"] for each in waiting if each["inspection"] == number]

    [(part,)] = inspected.rows(f"SELECT part FROM inspection WHERE id = {number}")
    wait_for(lambda: why() == ["second"])


def test_the_row_says_whether_the_look_was_blind(console, inspected):
    """A verdict is blind if the sample hid the answer and the page says so; a second one is not."""
    anna = Client(console, "anna")
    number = sample(inspected)[1]
    other = inspected.rows("SELECT min(id) FROM inspection WHERE verdict <> 'PASS'")[0][0]
    anna.decide(number, "PASS", blind=True)
    anna.decide(number, "FAIL", blind=True)
    anna.decide(other, "FAIL", blind=True)
    rows = inspected.rows(
        f"SELECT is_blind FROM review WHERE inspection_id IN ({number}, {other}) ORDER BY id"
    )
    assert [bool(row[0]) for row in rows] == [True, False, False]


def test_a_second_person_reads_the_sample(console, inspected):
    """An audit sample comes to a second person, never twice to the same, and to nobody a third time."""
    number = sample(inspected)[2]
    anna, ben, clara = (Client(console, name) for name in ("anna", "ben", "clara"))

    def waits_for(client: Client, part: str | None = None) -> bool:
        wish = "why=second&count=20" + (f"&part={part}" if part else "")
        answer = client.json(f"/api/queue?{wish}")
        client.ask("POST", "/api/queue/leave")
        return number in [each["inspection"] for each in answer["images"]]

    [(part,)] = inspected.rows(f"SELECT part FROM inspection WHERE id = {number}")
    anna.decide(number, "PASS", blind=True)
    wait_for(lambda: waits_for(ben))  # a list that was read before may still be fresh
    assert not waits_for(anna)
    ben.decide(number, "PASS", blind=True)
    assert not waits_for(clara)
    assert not waits_for(clara, part)  # a list that nobody has read before
    assert clara.decide(number, "PASS", blind=False).status == 200


def test_a_blind_look_in_the_browser(browser, console, inspected):
    """The page shows no bars, no station and no other verdict before the key, and the row is blind."""
    with person_at(browser, console, "clara", path="/review?why=audit") as page:
        number = on_screen(page)
        assert number in sample(inspected)
        facts = page.inner_text("#facts")
        assert "PASS" not in facts
        assert page.locator(".bar").count() == 0
        assert page.locator(".heat").count() == 0
        press(page, "f")
        wait_until_sent(page, "clara")
        page.keyboard.press("k")
        page.wait_for_selector("#facts .bar")
        assert "PASS" in page.inner_text("#facts")
    assert said(inspected, f"inspection_id = {number} AND is_blind") == [(number, "clara", "FAIL", None)]


def test_undo_of_a_blind_look_brings_back_the_first_reader(console, inspected):
    """Undo restores the verdict before, also one that the page of a blind look did not know."""
    number, key = sample(inspected)[1], str(uuid.uuid4())
    anna, ben = Client(console, "anna"), Client(console, "ben")
    anna.decide(number, "FAIL", blind=True)
    ben.decide(number, "PASS", key, blind=True)
    again = str(uuid.uuid4())
    for _ in range(2):
        assert ben.decide(number, "REVIEW", again, undoes=key).status == 200
    assert said(inspected, f"inspection_id = {number}")[-2:] == [
        (number, "ben", "PASS", None),
        (number, "ben", "FAIL", None),
    ]
    assert ben.decide(number, "REVIEW", undoes=str(uuid.uuid4())).status == 200  # a verdict that was refused
    assert said(inspected, f"inspection_id = {number}")[-1][2] == "REVIEW"


def test_a_key_is_one_row_however_often_it_is_sent(console, inspected):
    """The same key adds one row, and an impossible verdict none, with a reason in one line."""
    anna, key = Client(console), str(uuid.uuid4())
    alone = "id NOT IN (SELECT inspection_id FROM audit_sample UNION SELECT inspection_id FROM review)"
    number = inspected.rows(f"SELECT max(id) FROM inspection WHERE {alone}")[0][0]
    added = [json.loads(anna.decide(number, "FAIL", key).body)["added"] for _ in range(3)]
    assert added == [1, 0, 0]
    for bad in (
        {"inspection": 10**6},
        {"inspection": -1},
        {"label": "no such class"},
        {"verdict": "MAYBE"},
        {"key": "x"},
        {"note": "n" * 3000},
        {"more": 1},
    ):
        given = {"inspection": number, "verdict": "FAIL"} | bad
        answer = anna.decide(**given)
        assert answer.status == 422, answer.text
        assert "\n" not in json.loads(answer.body)["error"]
    assert anna.ask("POST", "/api/verdicts", b"\xff{").status == 422
    assert anna.decide(number, "FAIL", person="ben").status == 401  # ben's, in a browser that anna uses now
    assert Client(console, "dora").decide(number, "FAIL").status == 403
    assert len(said(inspected, f"inspection_id = {number}")) == 1


def test_a_refused_verdict_is_named_until_it_was_read(browser, console):
    """A kept verdict that can never be a row is named with its reason until a person has read it."""
    impossible = {"key": str(uuid.uuid4()), "person": "anna", "inspection": 10**6, "verdict": "FAIL"}
    with person_at(browser, console, path="/review") as page:
        keep(page, impossible)
        for _ in range(2):
            page.reload()
            page.wait_for_selector("#refused li")
            assert "1000000" in page.inner_text("#refused")
        wait_until_sent(page)
        page.click("#refused button")
        page.wait_for_selector("#refused", state="hidden")
        page.reload()
        on_screen(page)
        assert page.locator("#refused li").count() == 0


@pytest.fixture
def fresh(inspected: Station) -> Iterator[RunningConsole]:
    """Another console of the station: nobody holds an image there."""
    with running_console(inspected) as running:
        yield running


def test_the_other_orders(fresh, inspected):
    """Least certain and most novel first among images without a verdict; differences come to someone else."""

    def order_of(name: str, client: Client) -> list[int]:
        answer = client.json(f"/api/queue?order={name}&count=20")
        client.ask("POST", "/api/queue/leave")
        return [each["inspection"] for each in answer["images"]]

    anna, ben = Client(fresh, "anna"), Client(fresh, "ben")
    new = "FROM inspection WHERE id NOT IN (SELECT inspection_id FROM review)"
    new += " AND id NOT IN (SELECT inspection_id FROM audit_sample)"  # the order would say how certain it was
    [(passed,)] = inspected.rows(f"SELECT min(id) {new} AND verdict = 'PASS'")
    anna.decide(passed, "FAIL")
    assert passed in order_of("differ", ben)
    assert passed not in order_of("differ", anna)
    for name, by in (("least_certain", "confidence, id"), ("most_novel", "novelty DESC, id")):
        above = "AND novelty > 0" if name == "most_novel" else ""
        expected = [row[0] for row in inspected.rows(f"SELECT id {new} {above} ORDER BY {by} LIMIT 20")]
        assert order_of(name, anna) == expected
    assert anna.ask("GET", "/api/queue?order=alphabet").status == 404
    assert anna.ask("GET", "/api/queue?held=1,x").status == 400
    assert Client(fresh, "dora").ask("GET", "/api/queue").status == 403


def test_an_image_that_is_gone_or_changed_says_so(browser, console, inspected):
    """A pruned, missing or changed file is refused in words, and no verdict but undecided is taken for it."""
    anna = Client(console)
    numbers = [row[0] for row in inspected.rows("SELECT id FROM inspection WHERE verdict <> 'PASS' LIMIT 3")]
    paths = [
        inspected.archive / row[0]
        for row in inspected.rows(
            f"SELECT archive_path FROM inspection WHERE id IN ({', '.join(map(str, numbers))}) ORDER BY id"
        )
    ]
    whole = anna.ask("GET", f"/image/{numbers[0]}")
    assert whole.body == paths[0].read_bytes()
    tag = whole.headers["etag"]
    assert anna.ask("GET", f"/image/{numbers[0]}", **{"If-None-Match": tag}).status == 304
    paths[0].unlink()
    paths[1].write_bytes(paths[2].read_bytes())
    paths[2].unlink()
    paths[2].symlink_to(inspected.config)
    for number, status in zip(numbers, (410, 409, 415), strict=True):
        answer = anna.ask("GET", f"/image/{number}")
        assert (answer.status, "error" in json.loads(answer.body)) == (status, True)
    for path in (
        "/image/99999",
        "/image/99999999999999999999",
        f"/image/{'9' * 5000}",
        "/image/-1",
        "/image/..%2f..%2fconfig.yaml",
    ):
        assert anna.ask("GET", path).status == 404
    with person_at(browser, console, path=f"/review?inspection={numbers[1]}") as page:
        page.wait_for_selector("#trouble", state="visible")
        assert "changed" in page.inner_text("#trouble")
        page.wait_for_selector("#facts .title")
        page.keyboard.press("p")
        assert page.get_attribute("#review", "data-inspection") == str(numbers[1])
        page.keyboard.press("u")
        # The next image may be one of those that cannot be shown.
        page.wait_for_selector(f"#review:not([data-inspection='{numbers[1]}'])", state="attached")
        wait_until_sent(page)
    assert said(inspected, f"inspection_id = {numbers[1]}")[-1] == (numbers[1], "anna", "REVIEW", None)
