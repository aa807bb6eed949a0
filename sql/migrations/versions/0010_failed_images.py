"""An index of the images that failed, so that the Pareto chart of years does not read the others.

Revision: 0010
Revises: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_FAILED = sa.text("verdict = 'FAIL'")


def upgrade() -> None:
    op.create_index(
        "ix_inspection_failed",
        "inspection",
        ["inspected_us"],
        sqlite_where=_FAILED,
        postgresql_where=_FAILED,
    )


def downgrade() -> None:
    op.drop_index("ix_inspection_failed", "inspection")
