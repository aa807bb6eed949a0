"""The report agreement in words: what the audits prove, and how many more would prove more."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
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
def test_the_words_on_two_readers_are_in_every_language(language: str) -> None:
    """Each language says how far two readers agree, with and without a kappa."""
    escape = {"measure": "escape", "n": 0, "of_n": 20, "population": 30, "high_share": upper_end(0, 20)}
    agreed = {"measure": "readers", "n": 19, "of_n": 20}
    kappa = {"measure": "readers_kappa", "kappa": 0.8, "estimated_low": 0.5, "estimated_high": 0.93}
    alone, alike, both = (
        str(in_words(rows, Words(language))) for rows in ([escape], [escape, agreed], [escape, agreed, kappa])
    )
    assert len({alone, alike, both}) == 3
    assert ("0,93" if language == "de" else "0.93") in both


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_words_are_in_every_language(language: str) -> None:
    """Each language has each sentence, with its own form of numbers."""
    texts = [said(*figures, language) for figures in ((2, 300, 9000), (1, 3, 9), (3, 3, 99), (0, 0, 9))]
    assert all(texts)
    assert ("2,4" in str(texts[0])) == (language == "de")


READINGS = "PP PP PF FF FP PP FF PP PP PP PP PP PP PP PP PP PP PP PP PP"  # of two people, image by image


def test_two_blind_readers_are_compared(store: Store, url: URL) -> None:
    """Agreement and kappa of the first two blind readers, with kappa's interval, as computed by hand."""
    pairs = READINGS.split()
    ids = store.record([inspected(f"{number}.png") for number in range(30)], in_force(store))
    store.record_sample(ids[:25], seed=1, population=30)
    letters = {"P": Verdict.PASS, "F": Verdict.FAIL, "R": Verdict.REVIEW}

    def read(reviewer: str, image: int, letter: str, *, is_blind: bool | None = True) -> None:
        key = f"{reviewer}-{image}-{letter}-{is_blind}"
        store.record_reviews([Review(image, reviewer, letters[letter], key=key, is_blind=is_blind)])

    assert [row[0] for row in run(url, Query("agreement")).rows] == ["escape", "overkill", "verdict", "class"]
    read("ann", ids[0], "F")  # a slip, before she said PASS
    for image, (one, two) in zip(ids, pairs, strict=False):
        for reviewer, letter in (("ann", one), ("eve", "R"), ("bob", two), ("late", "F")):
            read(reviewer, image, letter)
        read("ann", image, "F", is_blind=False)  # after she saw the station's verdict
    for image in ids[20:25]:  # one reader, and one who was not blind
        read("ann", image, "P")
        read("bob", image, "F", is_blind=None)
    for image in ids[25:]:  # in no sample
        read("ann", image, "P")
        read("bob", image, "F")
    report = run(url, Query("agreement"))
    agreed, kappa = (dict(zip(report.columns, row, strict=True)) for row in report.rows[4:])
    n, same = len(pairs), sum(one == two for one, two in pairs)
    first, second = (sum(pair[reader] == "F" for pair in pairs) / n for reader in (0, 1))
    chance = first * second + (1 - first) * (1 - second)
    assert (agreed["measure"], agreed["n"], agreed["of_n"]) == ("readers", same, n)
    assert agreed["high_share"] == pytest.approx(upper_end(same, n))
    assert agreed["low_share"] == pytest.approx(1 - upper_end(n - same, n))
    expected = [
        (share - chance) / (1 - chance) for share in (same / n, agreed["low_share"], agreed["high_share"])
    ]
    found = [kappa[name] for name in ("estimated", "estimated_low", "estimated_high")]
    assert (kappa["measure"], kappa["n"], kappa["share"]) == ("readers_kappa", same, None)
    assert found == pytest.approx(expected)
    assert kappa["kappa"] == agreed["kappa"] == pytest.approx(expected[0])
    low, high = (f"{end:.2f}" for end in expected[1:])
    assert render(report).endswith(
        f" Two readers, each blind, agreed on 18 of 20 audited images: kappa is {expected[0]:.2f},"
        f" with 95% confidence between {low} and {high}."
    )
    assert "kappa of two readers" not in render(report), "the command prints the report's own words"


def test_the_interval_of_kappa_holds_for_rare_defects() -> None:
    """In simulated samples it holds the true kappa in 90% or more, the usual interval in 13% or more."""
    random, z, held = np.random.default_rng(1), 1.959963984540054, []
    for rate, true, n in itertools.product((0.03, 0.1, 0.3), (0.4, 0.8, 0.95), (50, 200, 800)):
        apart = rate * (1 - rate) * (1 - true)
        both = [rate - apart, apart, apart, 1 - rate - apart]
        a, b, c, d = random.multinomial(n, both, 20_000).T / n
        one, two, agreed = a + b, a + c, a + d
        chance = one * two + (1 - one) * (1 - two)
        a, b, c, d, one, two, agreed, chance = (
            of[chance < 1] for of in (a, b, c, d, one, two, agreed, chance)
        )
        middle = (agreed + z * z / (2 * n)) / (1 + z * z / n)
        half = z * np.sqrt(agreed * (1 - agreed) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        ends = [(end - chance) / (1 - chance) for end in (middle - half, middle + half)]
        kappa = (agreed - chance) / (1 - chance)
        variance = (
            a * (1 - (one + two) * (1 - kappa)) ** 2
            + d * (1 - (2 - one - two) * (1 - kappa)) ** 2
            + (1 - kappa) ** 2 * (b * (two + 1 - one) ** 2 + c * (1 - two + one) ** 2)
            - (kappa - chance * (1 - kappa)) ** 2
        )
        error = z * np.sqrt(np.maximum(variance, 0) / n) / (1 - chance)  # Fleiss, Cohen and Everitt (1969)
        usual = float(np.mean(np.abs(kappa - true) <= error))
        held.append((float(np.mean((ends[0] <= true) & (true <= ends[1]))), usual))
    ours, usual = zip(*held, strict=True)
    assert (round(min(ours), 2), round(max(ours), 2)) == (0.9, 1.0)
    assert (round(min(usual), 2), round(max(usual), 2)) == (0.13, 0.95)


def test_two_readers_who_say_one_thing_have_no_kappa(store: Store, url: URL) -> None:
    """If both readers pass every image, there is a share and no kappa, and the words say so."""
    ids = store.record([inspected(f"{number}.png") for number in range(3)], in_force(store))
    store.record_sample(ids, seed=1, population=3)
    for reviewer in ("ann", "bob"):
        store.record_reviews([Review(number, reviewer, Verdict.PASS, is_blind=True) for number in ids])
    report = run(url, Query("agreement"))
    assert [row[:4] for row in report.rows[4:]] == [("readers", 3, 3, 1.0)]
    assert render(report).endswith("all verdicts were the same, so kappa says nothing yet.")


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
