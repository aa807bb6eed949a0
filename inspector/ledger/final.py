"""The final verdict on an image: the latest by a person if it is PASS or FAIL, otherwise the station's.

A person's REVIEW means that the person could not decide. It also takes back an earlier PASS or FAIL: the
station's verdict counts again. The views say the same as SQL (``v_inspection.final_verdict``).
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
    said = review.alias("said")
    query = sa.select(said.c.verdict).where(said.c.inspection_id == inspection.c.id)
    if before is not None:
        query = query.where(said.c.id < before)
    latest = query.order_by(said.c.id.desc()).limit(1).correlate_except(said).scalar_subquery()
    return sa.func.coalesce(sa.func.nullif(latest, Verdict.REVIEW.value), inspection.c.verdict)
