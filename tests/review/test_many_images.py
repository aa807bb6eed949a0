"""One verdict for many images: by numbers or by seam, audit samples one by one, all or none."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from ledger_samples import SECOND_US, START_US, inspected
from sqlalchemy.engine import URL
from stations import Station
from typer.testing import CliRunner
from verdict_samples import force, rows

from inspector.commands.cli import app
from inspector.errors import StationError, UsageError
from inspector.ledger.store import Store
from inspector.records import Outcome, Verdict

Run = Callable[..., str]
SAID = "SELECT inspection_id, verdict, label FROM review ORDER BY id"
WHOLE = "SELECT inspection_id, verdict FROM seam_review ORDER BY inspection_id"


@pytest.fixture
def review_set(tmp_path: Path, url: URL, store: Store) -> Run:
    """Provide ``review set`` on a ledger of two parts; it returns its output or raises its error.

    Part P1 has seam 1, welded twice (images 1 and 2, then 5), and seam 2 (image 3); part P2 has image 4.
    """
    frames = [("P1", "1", 0), ("P1", "1", 1), ("P1", "2", 2), ("P2", "1", 3), ("P1", "1", 4000)]
    items = [
        inspected(
            f"{number}.png",
            part=part,
            seam=seam,
            seen_us=START_US + second * SECOND_US,
            verdict=Verdict.REVIEW if number % 2 else Verdict.PASS,
            label="good weld",
            confidence=0.5,
        )
        for number, (part, seam, second) in enumerate(frames, 1)
    ]
    store.record(items, force(store))
    station = Station(tmp_path, tmp_path / "none.pt", url)

    def run(*words: object) -> str:
        asked = ["review", "set", *map(str, words), "--reviewer", "ann", "--config", str(station.config)]
        done = CliRunner().invoke(app, asked)
        if isinstance(done.exception, StationError):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.output

    return run


def test_numbers_get_one_verdict_and_the_stations_words_are_shown(review_set: Run, url: URL) -> None:
    """Each image has a row once, and a line with its seam and what the station and people had said."""
    review_set(4, "--verdict", "REVIEW")
    assert review_set(3, 4, 3, "--verdict", "PASS").splitlines() == [
        "inspection 3 (part P1, seam 2, pass 1): PASS; "
        "the station had said REVIEW good weld 0.500 (uncertain)",
        "inspection 4 (part P2, seam 1, pass 1): PASS; the station had said PASS good weld 0.500, ann REVIEW",
        "2 images: 2 new, 0 unchanged",
    ]
    assert rows(url, SAID)[1:] == [(3, "PASS", None), (4, "PASS", None)]
    assert review_set(3, 4, "--verdict", "PASS").endswith("2 images: 0 new, 2 unchanged\n")


@pytest.mark.parametrize(
    ("words", "images", "newest"),
    [
        (("--part", "P1"), [1, 2, 3, 5], [2, 3, 5]),
        (("--part", "P1", "--seam", 1), [1, 2, 5], [2, 5]),
        (("--part", "P1", "--seam", 1, "--pass", 2), [5], [5]),
        (("--part", "P2", "--station", "cell-1"), [4], [4]),
    ],
)
def test_a_part_a_seam_and_a_pass_get_one_verdict(
    review_set: Run, url: URL, words: tuple[object, ...], images: list[int], newest: list[int]
) -> None:
    """All images of the place have a row, no other image has one, and each pass has one as a whole."""
    said = review_set(*words, "--verdict", "FAIL", "--label", "burn through")
    assert [int(number) for number in re.findall(r"^inspection (\d+)", said, re.MULTILINE)] == images
    assert rows(url, SAID) == [(number, "FAIL", "burn through") for number in images]
    assert rows(url, WHOLE) == [(number, "FAIL") for number in newest]


def test_a_seam_with_too_few_frames_can_be_passed(review_set: Run, url: URL) -> None:
    """A person has seen all of it, so the seam is PASS, although the rule would ask for more frames."""
    final = "SELECT verdict, final_verdict, reviewer FROM v_seam WHERE part = 'P1' AND seam = '2'"
    review_set(3, "--verdict", "PASS")
    assert rows(url, final) == [("REVIEW", "REVIEW", None)]
    said = review_set("--part", "P1", "--seam", 2, "--verdict", "PASS")
    assert said.splitlines()[1] == "part P1, seam 2, pass 1 as a whole: PASS"
    assert rows(url, final) == [("REVIEW", "PASS", "ann")]


def test_a_frame_that_arrives_after_the_verdict_keeps_the_stations(
    review_set: Run, url: URL, store: Store
) -> None:
    """A person who passed a seam has not seen a later frame of it, which waits for a verdict of its own."""
    review_set("--part", "P2", "--verdict", "PASS")
    late = inspected(
        "late.png", part="P2", seam="1", seen_us=START_US + 4 * SECOND_US, verdict=Verdict.REVIEW
    )
    [number] = store.record([late], force(store))
    assert rows(url, SAID) == [(4, "PASS", None)]
    assert review_set("--part", "P2", "--verdict", "PASS").endswith(
        "2 images, 1 as a whole: 2 new, 1 unchanged\n"
    )
    assert rows(url, SAID)[1:] == [(number, "PASS", None)]


def test_a_pruned_image_can_still_get_a_verdict(review_set: Run, url: URL, store: Store) -> None:
    """The row of an image outlives its file, and so does the question what it was."""
    [(arrived,)] = rows(url, "SELECT id FROM arrival WHERE inspection_id = 4")
    store.record_removals([arrived], Outcome.PRUNED)
    review_set(4, "--verdict", "FAIL")
    assert rows(url, SAID) == [(4, "FAIL", None)]


def test_images_of_an_audit_sample_get_their_verdicts_one_by_one(
    review_set: Run, url: URL, store: Store
) -> None:
    """Among others an audited image is refused by its number and left out of its seam; alone it is taken."""
    store.record_sample([2, 4], seed=1, population=2)
    with pytest.raises(UsageError, match=r"inspection 2 is in an audit sample.*one by one"):
        review_set(1, 2, "--verdict", "PASS")
    assert rows(url, SAID) == []
    said = review_set("--part", "P1", "--seam", 1, "--verdict", "PASS")
    assert "left out: inspection 2 is in an audit sample" in said
    assert [row[0] for row in rows(url, SAID)] == [1, 5]
    assert rows(url, WHOLE) == [(5, "PASS")], "nobody has seen all of the first pass"
    review_set(2, "--verdict", "PASS")
    review_set("--part", "P2", "--verdict", "PASS")  # its only image
    assert [row[0] for row in rows(url, SAID)] == [1, 5, 2, 4]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((1, 99, "--verdict", "PASS"), "there is no inspection 99"),
        ((2**63 - 1, "--verdict", "PASS"), f"there is no inspection {2**63 - 1}"),
        ((1, "--verdict", "PASS", "--label", "burn through"), "PASS contradicts 'burn through', a defect"),
        (("--part", "P1", "--verdict", "FAIL", "--label", "good weld"), "FAIL contradicts 'good weld'"),
        (("--part", "P3", "--seam", 1, "--verdict", "PASS"), "no image of --part P3 --seam 1"),
        (
            ("--part", "P1", "--station", "cell-2", "--verdict", "PASS"),
            "no image of --part P1 --station cell-2",
        ),
        ((1, "--part", "P1", "--verdict", "PASS"), "only one of them"),
        (("--verdict", "PASS"), "only one of them"),
        ((1, "--seam", 1, "--verdict", "PASS"), "go with --part"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    review_set: Run, url: URL, words: tuple[object, ...], message: str
) -> None:
    """A wrong number among right ones, a class of the other kind and an unclear choice are refused."""
    with pytest.raises(UsageError) as caught:
        review_set(*words)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert rows(url, SAID) == []
