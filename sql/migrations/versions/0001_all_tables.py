"""All tables of the quality database, and views that show times as timestamps.

Revision: 0001
Revises:
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Frozen here: a later change of inspector.ledger.schema must not change what this revision makes.
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "model",
        sa.Column("id", _ID, sa.Identity(always=False), nullable=False),
        sa.Column("artifact_sha256", _NAME, nullable=False, comment="hash of the artifact file"),
        sa.Column("name", _NAME, nullable=False, comment="the artifact's name"),
        sa.Column("version", _NAME, nullable=False, comment="the artifact's version"),
        sa.Column("metadata", sa.JSON(), nullable=False, comment="the artifact's metadata.json, whole"),
        sa.Column(
            "first_used_us",
            sa.BigInteger(),
            nullable=False,
            comment="when a station first judged with it; UTC epoch microseconds",
        ),
        sa.CheckConstraint("length(artifact_sha256) = 64", name=op.f("ck_model_artifact_sha256")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model")),
        sa.UniqueConstraint("artifact_sha256", name=op.f("uq_model_artifact_sha256")),
        comment="artifacts that have judged",
    )
    op.create_table(
        "settings",
        sa.Column("id", _ID, sa.Identity(always=False), nullable=False),
        sa.Column("sha256", _NAME, nullable=False, comment="hash of the content with sorted keys"),
        sa.Column("content", sa.JSON(), nullable=False, comment="settings and thresholds in force, whole"),
        sa.Column(
            "first_used_us",
            sa.BigInteger(),
            nullable=False,
            comment="when a station first judged with them; UTC epoch microseconds",
        ),
        sa.CheckConstraint("length(sha256) = 64", name=op.f("ck_settings_sha256")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_settings")),
        sa.UniqueConstraint("sha256", name=op.f("uq_settings_sha256")),
        comment="settings that were in force",
    )
    op.create_table(
        "station",
        sa.Column("id", _ID, sa.Identity(always=False), nullable=False),
        sa.Column("name", _NAME, nullable=False, comment="the settings' station: one for each camera PC"),
        sa.Column(
            "first_opened_us",
            sa.BigInteger(),
            nullable=False,
            comment="when the station first opened this database; UTC epoch microseconds",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_station")),
        sa.UniqueConstraint("name", name=op.f("uq_station_name")),
        comment="camera PCs that write here",
    )
    op.create_table(
        "event",
        sa.Column("id", _ID, sa.Identity(always=False), nullable=False),
        sa.Column("station_id", _ID, nullable=False, comment="whose"),
        sa.Column(
            "kind", _NAME, nullable=False, comment="start, stop, outage, overflow, reload and the like"
        ),
        sa.Column("detail", sa.Text(), nullable=False, comment="one line for people"),
        sa.Column("at_us", sa.BigInteger(), nullable=False, comment="when; UTC epoch microseconds"),
        sa.ForeignKeyConstraint(["station_id"], ["station.id"], name=op.f("fk_event_station_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
        comment="what happened to the station, apart from images",
    )
    op.create_index("ix_event_station_id_at_us", "event", ["station_id", "at_us"], unique=False)
    op.create_table(
        "inspection",
        sa.Column("id", _ID, sa.Identity(always=False), nullable=False),
        sa.Column("station_id", _ID, nullable=False, comment="who inspected"),
        sa.Column("model_id", _ID, nullable=False, comment="which artifact judged"),
        sa.Column("settings_id", _ID, nullable=False, comment="thresholds and settings in force"),
        sa.Column(
            "source_name",
            _NAME,
            nullable=False,
            comment="path in the drop folder; bytes that are not UTF-8, % and controls as %XX",
        ),
        sa.Column("sha256", _NAME, nullable=False, comment="hash of the file's bytes"),
        sa.Column(
            "duplicate_of", _ID, nullable=True, comment="first inspection of the same bytes at this station"
        ),
        sa.Column("camera", _NAME, nullable=True, comment="from the file name by name_pattern"),
        sa.Column("part", _NAME, nullable=True, comment="from the file name by name_pattern"),
        sa.Column("seam", _NAME, nullable=True, comment="from the file name by name_pattern"),
        sa.Column(
            "pass_no",
            sa.Integer(),
            nullable=True,
            comment="1 for the first pass of a part and seam; null without part",
        ),
        sa.Column(
            "camera_time_us",
            sa.BigInteger(),
            nullable=True,
            comment="the camera's own clock, by name_pattern; UTC epoch microseconds",
        ),
        sa.Column(
            "seen_us",
            sa.BigInteger(),
            nullable=False,
            comment="its close where that was seen, else first sight, by our clock; UTC epoch microseconds",
        ),
        sa.Column(
            "taken_us",
            sa.BigInteger(),
            nullable=False,
            comment="camera time where known, else seen: what passes go by; UTC epoch microseconds",
        ),
        sa.Column(
            "inspected_us",
            sa.BigInteger(),
            nullable=False,
            comment="when it was judged: what report periods go by; UTC epoch microseconds",
        ),
        sa.Column("local_day", _NAME, nullable=False, comment="ISO date in the station's time zone"),
        sa.Column("shift", _NAME, nullable=False, comment="the settings' name of the shift"),
        sa.Column("verdict", _NAME, nullable=False, comment="the station's: PASS, FAIL or REVIEW"),
        sa.Column("label", _NAME, nullable=False, comment="class of the highest probability"),
        sa.Column("confidence", sa.Double(), nullable=False, comment="probability of the label, 0 to 1"),
        sa.Column(
            "probabilities", sa.JSON(), nullable=False, comment="class name to probability, in class order"
        ),
        sa.Column(
            "novelty", sa.Double(), nullable=False, comment="grows as a frame looks less like training"
        ),
        sa.Column(
            "reason", _NAME, nullable=True, comment="why a REVIEW is one: uncertain, novel, blank, saturated"
        ),
        sa.Column(
            "heat",
            sa.LargeBinary(),
            nullable=True,
            comment="class activation map, uint8 row by row, for FAIL and REVIEW",
        ),
        sa.Column("heat_height", sa.Integer(), nullable=True, comment="rows of heat"),
        sa.Column("heat_width", sa.Integer(), nullable=True, comment="columns of heat"),
        sa.Column(
            "wait_ms",
            sa.Double(),
            nullable=False,
            comment="close, else first sight, to reading; milliseconds",
        ),
        sa.Column(
            "decode_ms", sa.Double(), nullable=False, comment="reading, hash, decoding, resize; milliseconds"
        ),
        sa.Column(
            "infer_ms", sa.Double(), nullable=False, comment="the batch's time over its size; milliseconds"
        ),
        sa.Column(
            "total_ms",
            sa.Double(),
            nullable=False,
            comment="close, else first sight, to just before the commit; milliseconds",
        ),
        sa.Column("batch_size", sa.Integer(), nullable=False, comment="frames judged together"),
        sa.Column(
            "archive_path",
            _NAME,
            nullable=False,
            comment="place in the archive folder",
        ),
        sa.CheckConstraint("verdict IN ('PASS', 'FAIL', 'REVIEW')", name=op.f("ck_inspection_verdict")),
        sa.CheckConstraint(
            "(part IS NULL) = (pass_no IS NULL) AND coalesce(pass_no, 1) >= 1",
            name=op.f("ck_inspection_pass_no"),
        ),
        sa.CheckConstraint(
            "CASE WHEN heat IS NULL THEN heat_height IS NULL AND heat_width IS NULL"
            " ELSE length(heat) = heat_height * heat_width END",
            name=op.f("ck_inspection_heat"),
        ),
        sa.CheckConstraint("batch_size >= 1", name=op.f("ck_inspection_batch_size")),
        sa.CheckConstraint("confidence BETWEEN 0 AND 1", name=op.f("ck_inspection_confidence")),
        sa.CheckConstraint("length(local_day) = 10", name=op.f("ck_inspection_local_day")),
        sa.CheckConstraint("length(sha256) = 64", name=op.f("ck_inspection_sha256")),
        sa.ForeignKeyConstraint(["duplicate_of"], ["inspection.id"], name=op.f("fk_inspection_duplicate_of")),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name=op.f("fk_inspection_model_id")),
        sa.ForeignKeyConstraint(["settings_id"], ["settings.id"], name=op.f("fk_inspection_settings_id")),
        sa.ForeignKeyConstraint(["station_id"], ["station.id"], name=op.f("fk_inspection_station_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inspection")),
        sa.UniqueConstraint(
            "station_id", "source_name", "sha256", name=op.f("uq_inspection_station_id_source_name_sha256")
        ),
        comment="one judged image a row; what the model said is never changed",
    )
    op.create_index(
        "ix_inspection_first_of_bytes",
        "inspection",
        ["station_id", "sha256"],
        unique=False,
        sqlite_where=sa.text("duplicate_of IS NULL"),
        postgresql_where=sa.text("duplicate_of IS NULL"),
    )
    op.create_index("ix_inspection_inspected_us", "inspection", ["inspected_us"], unique=False)
    op.create_index(
        "ix_inspection_seam_pass",
        "inspection",
        ["station_id", "part", "seam", "pass_no"],
        unique=False,
        sqlite_where=sa.text("part IS NOT NULL"),
        postgresql_where=sa.text("part IS NOT NULL"),
    )
    op.create_index(
        "ix_inspection_seam_taken",
        "inspection",
        ["station_id", "part", "seam", "taken_us"],
        unique=False,
        sqlite_where=sa.text("part IS NOT NULL"),
        postgresql_where=sa.text("part IS NOT NULL"),
    )
    op.create_table(
        "quarantine",
        sa.Column("id", _ID, sa.Identity(always=False), nullable=False),
        sa.Column("station_id", _ID, nullable=False, comment="who could not inspect it"),
        sa.Column("source_name", _NAME, nullable=False, comment="path in the drop folder, as in inspection"),
        sa.Column(
            "sha256",
            _NAME,
            nullable=True,
            comment="hash of the bytes; null for a folder, link, FIFO or device",
        ),
        sa.Column(
            "reason",
            _NAME,
            nullable=False,
            comment="one word: truncated, not_an_image, too_large, decoder_crash",
        ),
        sa.Column("detail", sa.Text(), nullable=False, comment="one line for people"),
        sa.Column(
            "quarantined_us",
            sa.BigInteger(),
            nullable=False,
            comment="when it was given up; UTC epoch microseconds",
        ),
        sa.Column("path", _NAME, nullable=False, comment="place in the quarantine folder"),
        sa.ForeignKeyConstraint(["station_id"], ["station.id"], name=op.f("fk_quarantine_station_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantine")),
        sa.UniqueConstraint(
            "station_id", "path", "quarantined_us", name=op.f("uq_quarantine_station_id_path_quarantined_us")
        ),
        comment="files that cannot be inspected, and why",
    )
    op.create_index("ix_quarantine_quarantined_us", "quarantine", ["quarantined_us"], unique=False)
    op.create_table(
        "arrival",
        sa.Column("id", _ID, sa.Identity(always=False), nullable=False),
        sa.Column("station_id", _ID, nullable=False, comment="whose folders"),
        sa.Column("source_name", _NAME, nullable=False, comment="path in the drop folder, as in inspection"),
        sa.Column(
            "sha256",
            _NAME,
            nullable=True,
            comment="hash of the bytes; null for a folder, link, FIFO or device",
        ),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False, comment="the file's length"),
        sa.Column("inode", sa.BigInteger(), nullable=False, comment="the file's inode as signed 64 bits"),
        sa.Column(
            "mtime_us",
            sa.BigInteger(),
            nullable=False,
            comment="the file's modification time; UTC epoch microseconds",
        ),
        sa.Column(
            "seen_us",
            sa.BigInteger(),
            nullable=False,
            comment="its close where that was seen, else first sight; UTC epoch microseconds",
        ),
        sa.Column(
            "recorded_us",
            sa.BigInteger(),
            nullable=False,
            comment="when this row was made; UTC epoch microseconds",
        ),
        sa.Column(
            "outcome",
            _NAME,
            nullable=False,
            comment="inspected, duplicate, quarantined; later requeued or pruned",
        ),
        sa.Column(
            "inspection_id", _ID, nullable=True, comment="its judgement, or the first one of a duplicate"
        ),
        sa.Column("quarantine_id", _ID, nullable=True, comment="why it could not be inspected"),
        sa.Column(
            "path",
            _NAME,
            nullable=False,
            comment="place in the archive (inspection_id set) or quarantine folder",
        ),
        sa.CheckConstraint(
            "CASE WHEN outcome IN ('inspected', 'duplicate') THEN inspection_id IS NOT NULL"
            " WHEN outcome IN ('quarantined', 'requeued') THEN quarantine_id IS NOT NULL ELSE 1 = 1 END",
            name=op.f("ck_arrival_reference_fits_outcome"),
        ),
        sa.CheckConstraint(
            "outcome IN ('inspected', 'duplicate', 'quarantined', 'requeued', 'pruned')",
            name=op.f("ck_arrival_outcome"),
        ),
        sa.CheckConstraint(
            "(inspection_id IS NULL) <> (quarantine_id IS NULL)", name=op.f("ck_arrival_one_reference")
        ),
        sa.ForeignKeyConstraint(["inspection_id"], ["inspection.id"], name=op.f("fk_arrival_inspection_id")),
        sa.ForeignKeyConstraint(["quarantine_id"], ["quarantine.id"], name=op.f("fk_arrival_quarantine_id")),
        sa.ForeignKeyConstraint(["station_id"], ["station.id"], name=op.f("fk_arrival_station_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_arrival")),
        sa.UniqueConstraint(
            "station_id",
            "path",
            "outcome",
            "recorded_us",
            name=op.f("uq_arrival_station_id_path_outcome_recorded_us"),
        ),
        comment="the ledger, append-only: each file that left the drop folder, and what became of it",
    )
    op.create_index(
        "ix_arrival_known", "arrival", ["station_id", "source_name", "sha256", "id"], unique=False
    )
    op.create_index(
        "ix_arrival_quarantine_id",
        "arrival",
        ["quarantine_id"],
        unique=False,
        sqlite_where=sa.text("quarantine_id IS NOT NULL"),
        postgresql_where=sa.text("quarantine_id IS NOT NULL"),
    )
    op.create_index("ix_arrival_recorded_us", "arrival", ["recorded_us"], unique=False)
    op.create_table(
        "review",
        sa.Column("id", _ID, sa.Identity(always=False), nullable=False),
        sa.Column("inspection_id", _ID, nullable=False, comment="the image that a person looked at"),
        sa.Column("reviewer", _NAME, nullable=False, comment="who looked"),
        sa.Column(
            "verdict",
            _NAME,
            nullable=False,
            comment="the person's: PASS, FAIL, or REVIEW where they cannot tell",
        ),
        sa.Column("label", _NAME, nullable=True, comment="the person's class, where they named one"),
        sa.Column("note", sa.Text(), nullable=True, comment="free text"),
        sa.Column("reviewed_us", sa.BigInteger(), nullable=False, comment="when; UTC epoch microseconds"),
        sa.CheckConstraint("verdict IN ('PASS', 'FAIL', 'REVIEW')", name=op.f("ck_review_verdict")),
        sa.ForeignKeyConstraint(["inspection_id"], ["inspection.id"], name=op.f("fk_review_inspection_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review")),
        comment="human verdicts, append-only: the latest row of an image counts",
    )
    op.create_index("ix_review_inspection_id", "review", ["inspection_id", "id"], unique=False)
    for name, query in _VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {_with_timestamps(query)}")


def downgrade() -> None:
    for name in _VIEWS:
        op.execute(f"DROP VIEW {name}")
    for name in ("review", "arrival", "quarantine", "inspection", "event", "station", "settings", "model"):
        op.drop_table(name)


# For people with a SQL client: names instead of numbers, UTC timestamps instead of microseconds.
_VIEWS = {
    "v_inspection": """
        SELECT i.id, s.name AS station, i.source_name, i.camera, i.part, i.seam, i.pass_no,
               {camera_time} AS camera_time, {seen} AS seen_at, {inspected} AS inspected_at,
               i.local_day, i.shift, i.verdict, i.label, i.confidence, i.probabilities, i.novelty, i.reason,
               r.verdict AS human_verdict, r.label AS human_label, r.reviewer, {reviewed} AS reviewed_at,
               m.name AS model, m.version AS model_version, i.settings_id,
               i.wait_ms, i.decode_ms, i.infer_ms, i.total_ms, i.batch_size,
               i.sha256, i.duplicate_of, i.archive_path
        FROM inspection i
        JOIN station s ON s.id = i.station_id
        JOIN model m ON m.id = i.model_id
        LEFT JOIN review r
          ON r.id = (SELECT max(latest.id) FROM review latest WHERE latest.inspection_id = i.id)
        """,
    "v_quarantine": """
        SELECT q.id, s.name AS station, q.source_name, q.reason, q.detail, {quarantined} AS quarantined_at,
               q.path, q.sha256
        FROM quarantine q JOIN station s ON s.id = q.station_id
        """,
    "v_arrival": """
        SELECT a.id, s.name AS station, a.source_name, a.outcome, {arrived} AS seen_at,
               {recorded} AS recorded_at, a.path, a.inspection_id, a.quarantine_id, a.size_bytes,
               {modified} AS modified_at, a.sha256
        FROM arrival a JOIN station s ON s.id = a.station_id
        """,
    "v_review": """
        SELECT r.id, r.inspection_id, s.name AS station, i.source_name, i.verdict AS station_verdict, i.label,
               r.reviewer, r.verdict AS human_verdict, r.label AS human_label, r.note,
               {reviewed} AS reviewed_at
        FROM review r JOIN inspection i ON i.id = r.inspection_id JOIN station s ON s.id = i.station_id
        """,
    "v_event": """
        SELECT e.id, s.name AS station, {happened} AS at, e.kind, e.detail
        FROM event e JOIN station s ON s.id = e.station_id
        """,
}
_TIMES = {
    "camera_time": "i.camera_time_us",
    "seen": "i.seen_us",
    "inspected": "i.inspected_us",
    "reviewed": "r.reviewed_us",
    "quarantined": "q.quarantined_us",
    "arrived": "a.seen_us",
    "recorded": "a.recorded_us",
    "modified": "a.mtime_us",
    "happened": "e.at_us",
}


def _with_timestamps(query: str) -> str:
    if op.get_bind().dialect.name == "sqlite":  # text, UTC, to the millisecond
        form = "strftime('%Y-%m-%d %H:%M:%f', {} / 1000000.0, 'unixepoch')"
    else:
        form = "to_timestamp({} / 1000000.0)"
    return query.format(**{name: form.format(column) for name, column in _TIMES.items()})
