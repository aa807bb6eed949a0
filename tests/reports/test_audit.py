"""The report agreement in words: what the audits prove, and how many more would prove more."""

from __future__ import annotations

import json
import math

import pytest
from ledger_samples import in_force, inspected
from sqlalchemy.engine import URL

from inspector.ledger.store import Store
from inspector.records import Review, Verdict
from inspector.reports.audit import clean_audits_needed, in_words
from inspector.reports.page.words import LANGUAGES, Words
from inspector.reports.query import Query, run
from inspector.reports.rendering import render

FOUND = "{} audited PASS images were defects: with 95% confidence fewer than "


def upper_end(n: int, of_n: int) -> float:
    """The upper end of Wilson's 95% interval: the share that is 1.96 standard errors above n / of_n."""
    low, high = n / of_n, 1.0
    for _ in range(100):
        p = (low + high) / 2
        is_inside = p - n / of_n < 1.959963984540054 * math.sqrt(p * (1 - p) / of_n)
        low, high = (p, high) if is_inside else (low, p)
    return high


@pytest.mark.parametrize("target", [0.1, 0.01, 0.001])
@pytest.mark.parametrize("escapes", [0, 1, 2, 9])
def test_the_number_of_clean_audits_is_the_smallest_that_is_enough(escapes: int, target: float) -> None:
    """With so many more clean audits the interval ends below the target, and with one fewer it does not."""
    audited = 10
    more = clean_audits_needed(escapes, audited, target)
    assert upper_end(escapes, audited + more) < target <= upper_end(escapes, audited + more - 1)
    assert clean_audits_needed(escapes, audited + more, target) == 0


def said(escapes: int, audited: int, population: int, language: str = "en") -> str | None:
    """The words for a row of the report."""
    row = {"measure": "escape", "n": escapes if audited else None, "of_n": audited, "population": population}
    row["high_share"] = upper_end(escapes, audited) if audited else None
    return in_words([{"measure": "overkill", "n": 7}, row], Words(language))


@pytest.mark.parametrize(
    ("escapes", "audited", "population", "expected"),
    [
        (2, 300, 9000, f"{FOUND.format('2 of 300')}2.4% escape; 426 more clean ones bring that below 1%."),
        (
            0,
            400,
            9000,
            f"{FOUND.format('0 of 400')}0.96% escape; 3,438 more clean ones bring that below 0.1%.",
        ),
        (
            1,
            1300,
            2000,
            "1 of 1,300 audited PASS images was a defect: with 95% confidence fewer than 0.44% escape;"
            " it takes 4,361 more clean ones to come below 0.1%, and the period has only 700.",
        ),
        (
            3,
            3,
            100,
            "3 of 3 audited PASS images were defects, which sets no limit to the escapes;"
            " 81 more clean ones bring that below 10%.",
        ),
        (
            0,
            0,
            100,
            "No PASS image of a random sample was reviewed, so nothing is known about escapes. 381 clean ones"
            " prove, with 95% confidence, that fewer than 1% escape: weld-inspect review sample --count 381",
        ),
        (0, 0, 0, None),
    ],
)
def test_the_words_say_what_the_audits_prove(
    escapes: int, audited: int, population: int, expected: str | None
) -> None:
    """The sentence has the defects found, the upper limit, and the clean audits to the next power of ten."""
    assert said(escapes, audited, population) == expected


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_words_are_in_every_language(language: str) -> None:
    """Each language has each sentence, with its own form of numbers."""
    texts = [said(*figures, language) for figures in ((2, 300, 9000), (1, 3, 9), (3, 3, 99), (0, 0, 9))]
    assert all(texts)
    assert ("2,4" in str(texts[0])) == (language == "de")


def test_the_words_are_below_the_table_and_in_json(store: Store, url: URL) -> None:
    """The command prints the sentence below its table and as a key of its JSON; CSV keeps rows only."""
    assert render(run(url, Query("agreement"))) == "no data for agreement"
    ids = store.record([inspected(f"{number}.png") for number in range(30)], in_force(store))
    store.record_sample(ids[:20], seed=1, population=30)
    store.record_reviews([Review(number, "ann", Verdict.PASS) for number in ids[:20]])
    report = run(url, Query("agreement"))
    words = "0 of 20 audited PASS images were defects: with 95% confidence fewer than 17% escape; "
    words += "it takes 15 more clean ones to come below 10%, and the period has only 10."
    assert render(report).endswith(f"\n\n{words}")
    assert json.loads(render(report, "json"))["words"] == words
    assert words not in render(report, "csv")
    assert json.loads(render(run(url, Query("summary")), "json"))["words"] is None
