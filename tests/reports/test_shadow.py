"""The report ``shadow`` beside an independent computation: loops, whole numbers, and SciPy's intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import groupby
from math import comb
from typing import Any

import pytest
from ledger_samples import in_force, inspected
from report_rows import by_column, images, latest, same, table
from scipy.stats import binomtest
from sqlalchemy.engine import URL

from inspector.ledger.store import Store
from inspector.records import Judgement, Rejudgement, Review, Verdict
from inspector.reports.query import Query, run

STOPPED = ("FAIL", "REVIEW")


def mcnemar(one: int, other: int) -> float:
    """Two-sided exact p: the probability of a split at least as uneven, in whole numbers."""
    n, least = one + other, min(one, other)
    return float(min(Fraction(1), 2 * Fraction(sum(comb(n, k) for k in range(least + 1)), 2**n)))


def expected(url: URL, **selection: Any) -> Iterator[dict[str, Any]]:
    """The rows of the report, as dictionaries, from the tables."""
    shown = {row.id: row for row in images(url, **selection)}
    said, sampled = latest(url), {row.inspection_id for row in table(url, "audit_sample")}
    rows = [row for row in table(url, "rejudgement") if row.inspection_id in shown]
    models = {row.id: row for row in table(url, "model")}
    for number, group in groupby(sorted(rows, key=lambda row: row.model_id), lambda row: row.model_id):
        own = list(group)
        judged = [(shown[row.inspection_id], row) for row in own if row.verdict]
        people = [
            (station.verdict, other.verdict, said[station.id].verdict, station.id in sampled)
            for station, other in judged
            if station.id in said and said[station.id].verdict != "REVIEW"
        ]
        model = models[number]
        head = {"model": model.name, "version": model.version, "artifact": model.artifact_sha256[:12]}
        yield head | plain("compared", len(judged), len(own))
        yield head | plain("not_judged", len(own) - len(judged), len(own))
        flips = Counter(
            (station.verdict, station.label, other.verdict, other.label)
            for station, other in judged
            if station.verdict != other.verdict
        )
        for key, n in sorted(flips.items(), key=lambda item: (-item[1], item[0])):
            names = ("station_verdict", "station_label", "verdict", "label")
            yield head | plain("flip", n, len(judged)) | dict(zip(names, key, strict=True))
        if people:
            only = [sum((one == h) > (two == h) for one, two, h, _ in people)]
            only += [sum((one == h) < (two == h) for one, two, h, _ in people)]
            for measure, n in zip(("only_station", "only_other"), only, strict=True):
                yield head | plain(measure, n, len(people)) | {"p": mcnemar(*only)}
        stopped = [two for one, two, h, _ in people if h == "FAIL" and one in STOPPED]
        missed = [two for one, two, h, drawn in people if h == "FAIL" and one == "PASS" and drawn]
        good = [two for one, two, h, _ in people if h == "PASS" and one != "FAIL"]
        wronged = [two for one, two, h, _ in people if h == "PASS" and one == "FAIL"]
        for measure, which, counts in (
            ("let_through", stopped, ("PASS",)),
            ("caught", missed, STOPPED),
            ("new_overkill", good, ("FAIL",)),
            ("less_overkill", wronged, ("PASS", "REVIEW")),
        ):
            if which:
                yield head | bounded(measure, sum(verdict in counts for verdict in which), len(which))


def plain(measure: str, n: int, of_n: int) -> dict[str, Any]:
    """A row without an interval."""
    empty = dict.fromkeys(
        ("station_verdict", "station_label", "verdict", "label", "low_share", "high_share", "p")
    )
    return empty | {"measure": measure, "n": n, "of_n": of_n, "share": n / of_n}


def bounded(measure: str, n: int, of_n: int) -> dict[str, Any]:
    """A row with SciPy's exact interval, to the nine digits that the report has."""
    exact = binomtest(n, of_n).proportion_ci(method="exact")
    low, high = (pytest.approx(end, abs=2e-9) for end in exact)
    return plain(measure, n, of_n) | {"low_share": low, "high_share": high}


@pytest.mark.parametrize("selection", [{}, {"part": 'O\'Brien "7"'}, {"station": "Cell-2"}])
def test_shadow_is_counted_again(shop: tuple[int, URL, URL], selection: dict[str, str]) -> None:
    """Flips by class, McNemar's test, escapes and overkill with their bounds, for every other artifact."""
    _, url, _ = shop
    option: dict[str, Any] = dict(selection)
    if name := option.pop("station", None):
        option["station_id"] = next(row.id for row in table(url, "station") if row.name == name)
    found = by_column(run(url, Query("shadow", **selection)))
    wanted = list(expected(url, **option))
    assert [set(row) for row in wanted] == [set(row) for row in found]
    for row, other in zip(found, wanted, strict=True):
        for column, value in other.items():
            same(row[column], value)
    if not selection:
        assert {"flip", "only_other", "let_through", "caught", "less_overkill"} <= {
            row["measure"] for row in found
        }


def test_a_day_of_shadow_on_ten_thousand_images(url_of: Callable[[str], URL]) -> None:
    """With thousands of disagreements p is still exact, where C(n, k) alone is beyond any float."""
    url = url_of("sqlite")
    with Store.open(url, "cell-1", seam_gap_s=300) as store:
        ids = store.record([inspected(f"{n}.png") for n in range(10_000)], in_force(store))
        other = in_force(store, artifact="candidate")
        for start in range(0, len(ids), 500):
            store.record_rejudgements([_opinion(n) for n in ids[start : start + 500]], "shadow", other)
        store.record_reviews([Review(n, "ann", _said(n)) for n in ids if n % 3 == 0])
    found = by_column(run(url, Query("shadow")))
    wanted = list(expected(url))
    assert len(found) == len(wanted)
    for row, expects in zip(found, wanted, strict=True):
        assert row["n"] == expects["n"]
        assert row["high_share"] == expects["high_share"]
        assert row["p"] == (None if expects["p"] is None else pytest.approx(expects["p"], rel=1e-9))
    assert 0 < next(row["p"] for row in found if row["measure"] == "only_other") < 0.5


def _opinion(number: int) -> Rejudgement:
    verdict, label = (Verdict.FAIL, "crack") if number % 2 else (Verdict.PASS, "good")
    return Rejudgement(number, Judgement(verdict, label, 0.9, {label: 0.9}, 0.0, None, None))


def _said(number: int) -> Verdict:
    """People agree with the candidate on slightly more than half of the images on which both differ."""
    return Verdict.FAIL if number % 2 and number % 31 < 16 else Verdict.PASS
