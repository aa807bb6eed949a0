"""Seals of summaries: reports use these without counting the images of each hour again.

Revision: 0014
Revises: 0013
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# Frozen here: a later change of inspector.ledger must not change what this revision makes.
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_REFUSAL = "history is append-only: add a row instead"
_TABLE = "summary_seal"
_KEY = ("inspection_id", "until_us")


def upgrade() -> None:
    op.create_table(
        _TABLE,
        sa.Column("id", _ID, sa.Identity(always=False), nullable=False),
        sa.Column(
            "inspection_id",
            _ID,
            nullable=False,
            comment="last image of the seal: no row with a lower number is to come",
        ),
        sa.Column(
            "until_us",
            sa.BigInteger(),
            nullable=False,
            comment="end of the last hour of the seal; UTC epoch microseconds",
        ),
        sa.Column("work_id", _ID, nullable=False, comment="newest summary at that time"),
        sa.ForeignKeyConstraint(
            ["inspection_id"], ["inspection.id"], name=op.f("fk_summary_seal_inspection_id")
        ),
        sa.ForeignKeyConstraint(["work_id"], ["hour_work.id"], name=op.f("fk_summary_seal_work_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_summary_seal")),
        sa.UniqueConstraint(*_KEY, name=op.f("uq_summary_seal_inspection_id_until_us")),
        comment="each hour before until_us has summaries that count its images up to inspection_id",
    )
    _refuse_changes()


def downgrade() -> None:
    op.drop_table(_TABLE)  # its triggers go with it


def _refuse_changes() -> None:
    """Refuse UPDATE, DELETE, REPLACE and TRUNCATE; see revisions 0002 and 0005."""
    if op.get_bind().dialect.name == "postgresql":
        for name, verbs, each in (
            ("no_change", "UPDATE OR DELETE", "ROW"),
            ("no_truncate", "TRUNCATE", "STATEMENT"),
        ):
            op.execute(
                f"CREATE TRIGGER {_TABLE}_{name} BEFORE {verbs} ON {_TABLE}"
                f" FOR EACH {each} EXECUTE FUNCTION refuse_change()"
            )
        return
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {_TABLE}_no_{verb.lower()} BEFORE {verb} ON {_TABLE}"
            f" BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
        )
    equal = (" AND ".join(f"{column} = NEW.{column}" for column in names) for names in (("id",), _KEY))
    found = " OR ".join(f"EXISTS (SELECT 1 FROM {_TABLE} WHERE {condition})" for condition in equal)  # noqa: S608
    op.execute(
        f"CREATE TRIGGER {_TABLE}_no_replace BEFORE INSERT ON {_TABLE} WHEN {found}"  # noqa: S608
        " BEGIN INSERT OR IGNORE INTO append_only VALUES (1); END"
    )
