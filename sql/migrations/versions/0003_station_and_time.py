"""An index for the images that a station judged just before or after a moment.

Revision: 0003
Revises: 0002
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_inspection_station_id_inspected_us", "inspection", ["station_id", "inspected_us"])


def downgrade() -> None:
    op.drop_index("ix_inspection_station_id_inspected_us", table_name="inspection")
