"""The thresholds that an image was judged by, and why it is REVIEW, in words with both numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL

from inspector.ledger import database
from inspector.ledger.schema import inspection, model, settings
from inspector.reports.page.words import Words, printable

# Reasons of a REVIEW with words in the catalogue; one of a newer program is shown as it is.
_KNOWN = frozenset({"uncertain", "novel", "blank", "saturated", "unfinished", "padded", "not_finite"})


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The thresholds in force when an image was judged; empty and None if its settings do not hold them."""

    of_class: Mapping[str, float] = field(default_factory=dict)  # accepted classes have that of their sum
    accepted: tuple[str, ...] = ()  # in the artifact's order
    defects: tuple[str, ...] = ()
    novelty: float | None = None

    @classmethod
    def of(cls, settings: Mapping[str, Any], metadata: Mapping[str, Any]) -> Thresholds:
        """Return the thresholds in a ``settings`` row, for the classes of an artifact's metadata."""
        given = settings.get("thresholds") or {}
        classes = [known for known in metadata.get("classes", []) if isinstance(known, dict)]
        accepted, defects = (
            tuple(known["name"] for known in classes if known.get("role") == role)
            for role in ("accept", "defect")
        )
        of_accepted = {} if given.get("accept") is None else dict.fromkeys(accepted, given["accept"])
        return cls(of_accepted | given.get("defects", {}), accepted, defects, given.get("novelty"))


def explained(reason: str, novelty: float, thresholds: Thresholds, words: Words) -> str:
    """Return why an image is REVIEW, as one line for people.

    Args:
        reason: the reason in its row.
        novelty: of the image.
        thresholds: those that it was judged by.
        words: the language.
    """
    if reason == "novel":
        number = words.number(novelty, 3)
        if thresholds.novelty is None:
            return words("reason.novel_alone", novelty=number)
        return words("reason.novel", novelty=number, limit=words.number(thresholds.novelty, 3))
    return words(f"reason.{reason}") if reason in _KNOWN else printable(reason)


def explanations(url: URL | str, inspections: Sequence[int], words: Words) -> dict[int, str]:
    """Return why images are REVIEW, by their inspection numbers; the others are left out.

    Raises:
        StoreUnavailable: the server does not answer.
    """
    c = inspection.c
    query = (
        sa.select(c.id, c.reason, c.novelty, settings.c.content, model.c.metadata)
        .join(settings, settings.c.id == c.settings_id)
        .join(model, model.c.id == c.model_id)
        .where(c.reason.is_not(None))
    )
    with database.reading(url) as engine, database.transaction(engine) as connection:
        return {
            row.id: explained(row.reason, row.novelty, Thresholds.of(row.content, row.metadata), words)
            for some in database.batches(inspections)
            for row in connection.execute(query.where(c.id.in_(some)))
        }
