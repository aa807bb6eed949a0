"""A ledger of images to review, and queries about the people's rows."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from ledger_samples import SECOND_US, START_US, inspected, sha
from sqlalchemy.engine import URL

from inspector.ledger import database
from inspector.ledger.store import Store
from inspector.records import InForce, Verdict

CLASSES = [
    {"name": "good weld", "role": "accept"},
    {"name": "burn through", "role": "defect"},
    {"name": 'a "hole"; or two', "role": "defect"},
]


def force(store: Store) -> InForce:
    """Return an artifact that knows :data:`CLASSES`."""
    return store.in_force(
        metadata=json.dumps({"classes": CLASSES}),
        artifact_sha256=sha("artifact"),
        name="weldnet",
        version="1",
        settings_json="{}",
    )


def fill(store: Store, images: int = 12) -> None:
    """Record images an hour apart, with the verdicts PASS, FAIL, REVIEW, PASS and so on."""
    kinds = [Verdict.PASS, Verdict.FAIL, Verdict.REVIEW]
    items = [
        inspected(
            f"{n}.png",
            verdict=kinds[n % 3],
            label="good weld" if n % 3 == 0 else "burn through",
            inspected_us=START_US + n * 3600 * SECOND_US,
            part=f"P{n % 2}",
        )
        for n in range(images)
    ]
    store.record(items, force(store))


def rows(url: URL, sql: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    with database.reading(url) as engine, database.transaction(engine) as connection:
        return [tuple(row) for row in connection.execute(sa.text(sql))]


def drawn(url: URL) -> list[int]:
    """Return the images of all samples."""
    return [row[0] for row in rows(url, "SELECT inspection_id FROM audit_sample ORDER BY id")]
