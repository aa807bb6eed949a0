"""Verdicts of other artifacts on inspected images: rows that are added once, beside the station's own."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from catalogues import change, rows_of
from ledger_samples import in_force, inspected
from sqlalchemy.engine import URL

from inspector.errors import RowRefused
from inspector.ledger import database
from inspector.ledger.store import Store, migrate
from inspector.records import Judgement, Rejudgement, Review, Verdict


def judgement(verdict: Verdict, label: str = "good", confidence: float = 0.75) -> Judgement:
    """What another artifact says of an image."""
    reason = "uncertain" if verdict is Verdict.REVIEW else None
    return Judgement(verdict, label, confidence, {label: confidence, "rest": 0.25}, 0.5, None, reason)


def judged(store: Store, *verdicts: tuple[Verdict, str]) -> list[int]:
    """Images with these verdicts and classes of the station."""
    images = [inspected(f"{n}.png", verdict=v, label=label) for n, (v, label) in enumerate(verdicts)]
    return store.record(images, in_force(store))


def test_a_second_opinion_is_one_row(store: Store, url: URL) -> None:
    """An artifact's verdict on an image is recorded once; a repetition adds and changes nothing."""
    [image] = judged(store, (Verdict.PASS, "good"))
    before = rows_of(url, "SELECT * FROM inspection")
    other = in_force(store, artifact="b")
    said = [
        Rejudgement(image, judgement(Verdict.FAIL, "crack", 1.0000001)),
        Rejudgement(image, judgement(Verdict.PASS)),
        Rejudgement(image, None, "missing"),
    ]
    for item in said:
        store.record_rejudgements([item], "rejudge 1", other)
    store.record_rejudgements(said[1:], "rejudge 2", in_force(store))
    columns = "run, model, verdict, label, confidence, novelty, reason, station_verdict, station_label"
    assert [tuple(row) for row in rows_of(url, f"SELECT {columns} FROM v_rejudgement ORDER BY id")] == [
        ("rejudge 1", "weldnet", "FAIL", "crack", 1.0, 0.5, None, "PASS", "good"),
        ("rejudge 2", "weldnet", "PASS", "good", 0.75, 0.5, None, "PASS", "good"),
    ]
    assert rows_of(url, "SELECT * FROM inspection") == before, "the station's verdict stays"


def test_a_page_of_second_opinions_is_like_single_ones(store: Store, url: URL) -> None:
    """Many rows at once say the same as one by one, to the last digit; those that are there stay."""
    images = judged(store, *[(Verdict.PASS, "good")] * 120)
    one, many = in_force(store, artifact="a"), in_force(store, artifact="b")
    said = [
        Rejudgement(number, judgement(Verdict.REVIEW, "crack", 1 / (3 + number)))
        if number % 3
        else Rejudgement(number, None, "missing")
        for number in images
    ]
    for item in said:
        store.record_rejudgements([item], "rejudge 1", one)
    store.record_rejudgements(said[:7], "rejudge 1", many)
    store.record_rejudgements([*said, *said], "rejudge 2", many)
    columns = "verdict, label, confidence, CAST(probabilities AS TEXT), novelty, reason"
    query = f"SELECT inspection_id, {columns} FROM rejudgement WHERE model_id = {{}} ORDER BY inspection_id"
    assert rows_of(url, query.format(many.model_id)) == rows_of(url, query.format(one.model_id))
    runs = "SELECT run, count(*) AS n FROM rejudgement WHERE model_id = {} GROUP BY run ORDER BY run"
    found = rows_of(url, runs.format(many.model_id))
    assert [tuple(row) for row in found] == [("rejudge 1", 7), ("rejudge 2", 113)]


def test_a_page_with_a_refused_row_is_refused(store: Store, url: URL) -> None:
    """If a constraint refuses one of many rows, none is written, and the error is the one of a single row."""
    images = judged(store, *[(Verdict.PASS, "good")] * 60)
    said = [Rejudgement(number, judgement(Verdict.PASS)) for number in [*images, images[-1] + 1]]
    with pytest.raises(RowRefused, match=r"(?i)foreign key"):
        store.record_rejudgements(said, "rejudge", in_force(store))
    assert rows_of(url, "SELECT * FROM rejudgement") == []


def test_an_image_without_a_second_opinion_has_a_row_with_the_reason(store: Store, url: URL) -> None:
    """A row has a verdict with all that belongs to it, or none of it and a reason; all else is refused."""
    images = judged(store, (Verdict.PASS, "good"), (Verdict.PASS, "good"))
    force = in_force(store)
    store.record_rejudgements([Rejudgement(images[0], None, "pruned")], "rejudge", force)
    empty = "verdict IS NULL AND label IS NULL AND confidence IS NULL AND probabilities IS NULL"
    [row] = rows_of(url, f"SELECT reason FROM rejudgement WHERE {empty} AND novelty IS NULL")
    assert row.reason == "pruned"
    with pytest.raises(RowRefused, match="judged_or_reason"):
        store.record_rejudgements([Rejudgement(images[1], None)], "rejudge", force)
    half = (
        "INSERT INTO rejudgement (inspection_id, model_id, settings_id, run, verdict, judged_us)"
        " SELECT id, model_id, settings_id, 'mine', 'PASS', 0 FROM inspection"
    )
    with pytest.raises(RowRefused, match="judged_or_reason"):
        change(url, lambda connection: connection.exec_driver_sql(half))


def test_disagreements_are_other_verdicts_and_other_failing_classes(store: Store, url: URL) -> None:
    """The view has the images with another verdict or another failing class, with the person's decision."""
    said: list[tuple[tuple[Verdict, str], tuple[Verdict, str] | None, bool]] = [
        ((Verdict.PASS, "good"), (Verdict.PASS, "good"), False),
        ((Verdict.PASS, "good"), (Verdict.PASS, "also good"), False),
        ((Verdict.PASS, "good"), (Verdict.FAIL, "crack"), True),
        ((Verdict.FAIL, "crack"), (Verdict.FAIL, "crack"), False),
        ((Verdict.FAIL, "crack"), (Verdict.FAIL, "pore"), True),
        ((Verdict.FAIL, "crack"), (Verdict.REVIEW, "crack"), True),
        ((Verdict.REVIEW, "crack"), (Verdict.REVIEW, "pore"), False),
        ((Verdict.FAIL, "crack"), None, False),
    ]
    ids = judged(store, *(station for station, _, _ in said))
    rows = [
        Rejudgement(number, judgement(*other) if other else None, None if other else "missing")
        for number, (_, other, _) in zip(ids, said, strict=True)
    ]
    store.record_rejudgements(rows, "rejudge", in_force(store, artifact="b"))
    store.record_reviews([Review(ids[2], "ann", Verdict.FAIL, "crack")])
    found = rows_of(url, "SELECT inspection_id, human_verdict FROM v_disagreement ORDER BY inspection_id")
    wanted = [number for number, (_, _, differs) in zip(ids, said, strict=True) if differs]
    assert [row.inspection_id for row in found] == wanted
    assert [row.human_verdict for row in found] == ["FAIL", None, None]


def test_down_and_up_again_the_other_rows_stay(store: Store, url: URL) -> None:
    """A downgrade takes the second opinions and nothing else; after an upgrade they can be had again."""
    [image] = judged(store, (Verdict.PASS, "good"))
    item = [Rejudgement(image, judgement(Verdict.FAIL, "crack"))]
    store.record_rejudgements(item, "rejudge", in_force(store))
    before = rows_of(url, "SELECT * FROM inspection")
    change(url, _downgrade)
    assert rows_of(url, "SELECT * FROM inspection") == before
    with pytest.raises(sa.exc.DBAPIError):
        rows_of(url, "SELECT * FROM v_rejudgement")
    migrate(url)
    assert rows_of(url, "SELECT * FROM rejudgement") == []
    store.record_rejudgements(item, "rejudge", in_force(store))
    assert len(rows_of(url, "SELECT * FROM v_disagreement")) == 1


def _downgrade(connection: sa.Connection) -> Any:
    command.downgrade(database.alembic_config(connection), "0008")
