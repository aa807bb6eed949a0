"""Small pictures of images whose files stay at their stations, and the requests for them.

Revision: 0013
Revises: 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# Frozen here: a later change of inspector.ledger must not change what this revision makes.
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_REFUSAL = "history is append-only: add a row instead"


def upgrade() -> None:
    op.create_table(
        "thumbnail_request",
        sa.Column("id", _ID, sa.Identity(always=False), nullable=False),
        sa.Column("inspection_id", _ID, nullable=False, comment="image whose file is at its station"),
        sa.Column(
            "person",
            _NAME,
            nullable=False,
            comment="name of the person who first opened the image at the central database",
        ),
        _instant("asked_us", "time of the request"),
        *_keys("thumbnail_request"),
        comment="images that people opened at a central database, for small pictures from their stations",
    )
    op.create_table(
        "thumbnail",
        sa.Column("id", _ID, sa.Identity(always=False), nullable=False),
        sa.Column("inspection_id", _ID, nullable=False, comment="image that was asked for"),
        sa.Column(
            "picture",
            sa.LargeBinary(),
            nullable=True,
            comment="JPEG; null: none, and reason says why",
        ),
        sa.Column(
            "reason",
            _NAME,
            nullable=True,
            comment="vanished, altered, or of a file that cannot be read, as in quarantine",
        ),
        _instant("made_us", "when the station made it, by its clock"),
        sa.CheckConstraint(
            "(picture IS NULL) <> (reason IS NULL)", name=op.f("ck_thumbnail_picture_or_reason")
        ),
        sa.CheckConstraint("length(picture) <= 20000", name=op.f("ck_thumbnail_picture")),
        *_keys("thumbnail"),
        comment="small pictures of images whose files stay at their stations",
    )
    for table in ("thumbnail_request", "thumbnail"):
        _refuse_changes(table)


def downgrade() -> None:
    for table in ("thumbnail", "thumbnail_request"):  # their triggers and indexes go with them
        op.drop_table(table)


def _instant(name: str, comment: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False, comment=f"{comment}; UTC epoch microseconds")


def _keys(table: str) -> tuple[sa.Constraint, ...]:
    return (
        sa.ForeignKeyConstraint(["inspection_id"], ["inspection.id"], name=op.f(f"fk_{table}_inspection_id")),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}")),
        sa.UniqueConstraint("inspection_id", name=op.f(f"uq_{table}_inspection_id")),
    )


def _refuse_changes(table: str) -> None:
    """Refuse UPDATE, DELETE, REPLACE and TRUNCATE; see revisions 0002 and 0005."""
    if op.get_bind().dialect.name == "postgresql":
        for name, verbs, each in (
            ("no_change", "UPDATE OR DELETE", "ROW"),
            ("no_truncate", "TRUNCATE", "STATEMENT"),
        ):
            op.execute(
                f"CREATE TRIGGER {table}_{name} BEFORE {verbs} ON {table}"
                f" FOR EACH {each} EXECUTE FUNCTION refuse_change()"
            )
        return
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table}"
            f" BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
        )
    equal = (f"{column} = NEW.{column}" for column in ("id", "inspection_id"))
    found = " OR ".join(f"EXISTS (SELECT 1 FROM {table} WHERE {condition})" for condition in equal)  # noqa: S608
    op.execute(
        f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN {found}"  # noqa: S608
        " BEGIN INSERT OR IGNORE INTO append_only VALUES (1); END"
    )
