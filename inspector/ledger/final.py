"""The final verdict on an image: the latest PASS or FAIL by a person, otherwise the station's.

A person's REVIEW means that the person could not decide, so the verdict before it remains.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from inspector.ledger.schema import inspection, review
from inspector.records import Verdict


def final_verdict(before: sa.ColumnElement[int] | None = None) -> sa.ColumnElement[Any]:
    """Return the final verdict on the ``inspection`` of the query around it.

    Args:
        before: count only verdicts with a smaller number than this one; None: all.
    """
    decided = review.alias("decided")
    query = sa.select(decided.c.verdict).where(
        decided.c.inspection_id == inspection.c.id, decided.c.verdict != Verdict.REVIEW.value
    )
    if before is not None:
        query = query.where(decided.c.id < before)
    latest = query.order_by(decided.c.id.desc()).limit(1).correlate_except(decided)
    return sa.func.coalesce(latest.scalar_subquery(), inspection.c.verdict)
