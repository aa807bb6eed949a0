"""The tables of the quality database; a test compares the migrations in ``sql/migrations`` with them.

Times that end in ``_us`` are UTC epoch microseconds. They mean the same on both back ends and in every time
zone of a session, and the views show them as timestamps. Days are ISO text, because SQLite has no date
type, and text sorts and compares alike on both. History is append-only: a correction is a new row, never an
update. The triggers of :mod:`inspector.ledger.views` enforce this.

The module is long, because all tables are looked up in one place.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData(
    # Named constraints, so that a later migration can change them on either back end.
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite assigns row numbers by itself only to INTEGER keys.
_Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# Bytewise order, on PostgreSQL too: reports then sort names alike on both, with any locale of the server.
_Name = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _id() -> sa.Column[int]:
    return sa.Column("id", _Id, sa.Identity(), primary_key=True)


def _refers(name: str, target: str, comment: str, *, optional: bool = False) -> sa.Column[int]:
    return sa.Column(name, _Id, sa.ForeignKey(f"{target}.id"), nullable=optional, comment=comment)


def _instant(name: str, comment: str, *, optional: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=optional, comment=f"{comment}; UTC epoch microseconds")


def _name(name: str, comment: str, *, optional: bool = False) -> sa.Column[str]:
    return sa.Column(name, _Name, nullable=optional, comment=comment)


def _milliseconds(name: str, comment: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double, nullable=False, comment=f"{comment}; milliseconds")


def _shift_day() -> sa.Column[str]:
    # May be null: a daemon of an earlier version goes on writing after another machine upgrades the database.
    comment = "ISO date of the day on which the shift began; null if an earlier version wrote it"
    return _name("shift_day", comment, optional=True)


def _request_key(*, optional: bool = False) -> sa.Column[str]:
    comment = "of the request that added the row; sent again, it adds none"
    return _name("request_key", comment, optional=optional)


def _origin_row() -> sa.Column[int]:
    comment = "number of the row in the database that it was forwarded from; null if it was made in this one"
    return sa.Column("origin_row", sa.BigInteger, nullable=True, comment=comment)


def signed(inode: int) -> int:
    """Return an inode as the signed number that BIGINT needs; some network file systems use all 64 bits."""
    return inode - (1 << 64) if inode >> 63 else inode


station = sa.Table(
    "station",
    metadata,
    _id(),
    _name("name", "the settings' station: one for each camera PC"),
    _instant("first_opened_us", "when the station first opened this database"),
    sa.UniqueConstraint("name"),
    comment="camera PCs that write here",
)

model = sa.Table(
    "model",
    metadata,
    _id(),
    _name("artifact_sha256", "hash of the artifact file"),
    _name("name", "the artifact's name"),
    _name("version", "the artifact's version"),
    sa.Column("metadata", sa.JSON, nullable=False, comment="the artifact's metadata.json, whole"),
    _instant("first_used_us", "when a station first judged with it"),
    sa.UniqueConstraint("artifact_sha256"),
    sa.CheckConstraint("length(artifact_sha256) = 64", name="artifact_sha256"),
    comment="artifacts that judged images",
)

settings = sa.Table(
    "settings",
    metadata,
    _id(),
    _name("sha256", "hash of the content with sorted keys"),
    sa.Column("content", sa.JSON, nullable=False, comment="settings and thresholds in force, whole"),
    _instant("first_used_us", "when a station first judged with them"),
    sa.UniqueConstraint("sha256"),
    sa.CheckConstraint("length(sha256) = 64", name="sha256"),
    comment="settings that were in force",
)

inspection = sa.Table(
    "inspection",
    metadata,
    _id(),
    _refers("station_id", "station", "station that inspected"),
    _refers("model_id", "model", "artifact that judged"),
    _refers("settings_id", "settings", "thresholds and settings in force"),
    _name("source_name", "path in the drop folder; bytes that are not UTF-8, % and controls as %XX"),
    _name("sha256", "hash of the file's bytes"),
    _refers(
        "duplicate_of", "inspection", "first inspection of the same bytes at this station", optional=True
    ),
    _name("camera", "from the file name by name_pattern", optional=True),
    _name("part", "from the file name by name_pattern", optional=True),
    _name("seam", "from the file name by name_pattern", optional=True),
    sa.Column(
        "pass_no",
        sa.Integer,
        nullable=True,
        comment="1 for the first pass of a part and seam; null without part",
    ),
    _instant("camera_time_us", "the camera's own clock, by name_pattern", optional=True),
    _instant("seen_us", "close of the file if it was seen, else first sight, by the station's clock"),
    _instant("taken_us", "camera time if known, else seen_us; passes go by it"),
    _instant("inspected_us", "time of the judgement; the periods of reports go by it"),
    _name("local_day", "ISO date in the station's time zone"),
    _name("shift", "the settings' name of the shift"),
    _shift_day(),
    _name("verdict", "the station's: PASS, FAIL or REVIEW"),
    _name("label", "class that decided; in rows of earlier versions the most probable one"),
    sa.Column("confidence", sa.Double, nullable=False, comment="probability of the label, 0 to 1"),
    sa.Column("probabilities", sa.JSON, nullable=False, comment="class name to probability, in class order"),
    sa.Column("novelty", sa.Double, nullable=False, comment="grows as a frame looks less like training"),
    _name("reason", "reason of a REVIEW: uncertain, novel, blank, saturated", optional=True),
    sa.Column(
        "heat",
        sa.LargeBinary,
        nullable=True,
        comment="class activation map, uint8 row by row, for FAIL and REVIEW",
    ),
    sa.Column("heat_height", sa.Integer, nullable=True, comment="rows of heat"),
    sa.Column("heat_width", sa.Integer, nullable=True, comment="columns of heat"),
    _milliseconds("wait_ms", "close, else first sight, to reading"),
    _milliseconds("decode_ms", "reading, hash, decoding, resize"),
    _milliseconds("infer_ms", "the batch's time over its size"),
    _milliseconds("total_ms", "close, else first sight, to just before the commit"),
    sa.Column("batch_size", sa.Integer, nullable=False, comment="frames judged together"),
    _name("archive_path", "path in the archive folder"),
    sa.UniqueConstraint("station_id", "source_name", "sha256"),
    sa.CheckConstraint("verdict IN ('PASS', 'FAIL', 'REVIEW')", name="verdict"),
    sa.CheckConstraint("confidence BETWEEN 0 AND 1", name="confidence"),
    sa.CheckConstraint("length(sha256) = 64", name="sha256"),
    sa.CheckConstraint("length(local_day) = 10", name="local_day"),
    sa.CheckConstraint("length(shift_day) = 10", name="shift_day"),
    sa.CheckConstraint("batch_size >= 1", name="batch_size"),
    sa.CheckConstraint("(part IS NULL) = (pass_no IS NULL) AND coalesce(pass_no, 1) >= 1", name="pass_no"),
    sa.CheckConstraint(
        "CASE WHEN heat IS NULL THEN heat_height IS NULL AND heat_width IS NULL"
        " ELSE length(heat) = heat_height * heat_width END",
        name="heat",
    ),
    comment="one row per judged image; the station's verdict never changes",
)
sa.Index("ix_inspection_inspected_us", inspection.c.inspected_us)  # the period of every report
sa.Index(  # the images that a station judged just before and after a moment
    "ix_inspection_station_id_inspected_us", inspection.c.station_id, inspection.c.inspected_us
)
_FIRST = inspection.c.duplicate_of.is_(None)
sa.Index(  # finds duplicate_of in one step, however often the same bytes came
    "ix_inspection_first_of_bytes",
    inspection.c.station_id,
    inspection.c.sha256,
    sqlite_where=_FIRST,
    postgresql_where=_FIRST,
)
_AGAIN = inspection.c.duplicate_of.is_not(None)
sa.Index(  # from an image to those with the same bytes; few images have any
    "ix_inspection_duplicate_of", inspection.c.duplicate_of, sqlite_where=_AGAIN, postgresql_where=_AGAIN
)
_FAILED = sa.text("verdict = 'FAIL'")
sa.Index(  # the few images that failed, for the Pareto chart
    "ix_inspection_failed", inspection.c.inspected_us, sqlite_where=_FAILED, postgresql_where=_FAILED
)
# Fibonacci hashing spreads consecutive numbers evenly, so that every place in a batch and every hour is in
# the choice. Only a report that writes the same comparison uses the index: both planners compare the texts.
_CHOSEN = sa.text("verdict <> 'PASS' OR id * 2654435761 % 4294967296 < 268435456")
sa.Index(  # a sixteenth of the images, and all that did not pass, for percentiles of millions
    "ix_inspection_sixteenth",
    *(
        inspection.c[name]
        for name in (
            *("inspected_us", "station_id", "part", "id", "verdict", "label", "confidence", "novelty"),
            *("batch_size", "wait_ms", "decode_ms", "infer_ms", "total_ms"),
        )
    ),
    sqlite_where=_CHOSEN,
    postgresql_where=_CHOSEN,
)
_HAS_PART = inspection.c.part.is_not(None)
for _suffix, _column in (("taken", inspection.c.taken_us), ("pass", inspection.c.pass_no)):
    sa.Index(  # finds pass_no in one step, however many frames the part has
        f"ix_inspection_seam_{_suffix}",
        inspection.c.station_id,
        inspection.c.part,
        inspection.c.seam,
        _column,
        sqlite_where=_HAS_PART,
        postgresql_where=_HAS_PART,
    )

quarantine = sa.Table(
    "quarantine",
    metadata,
    _id(),
    _refers("station_id", "station", "station that could not inspect it"),
    _name("source_name", "path in the drop folder, as in inspection"),
    _name("sha256", "hash of the bytes; null for a folder, link, FIFO or device", optional=True),
    _name("reason", "one word: truncated, not_an_image, too_large, decoder_crash"),
    sa.Column("detail", sa.Text, nullable=False, comment="one line for people"),
    _name("shift", "the settings' name of the shift; null if an earlier version wrote it", optional=True),
    _shift_day(),
    _instant("quarantined_us", "time when it was given up"),
    _name("path", "path in the quarantine folder"),
    sa.UniqueConstraint("station_id", "path", "quarantined_us"),
    sa.CheckConstraint("length(shift_day) = 10", name="shift_day"),
    comment="files that could not be inspected, with the reason",
)
sa.Index("ix_quarantine_quarantined_us", quarantine.c.quarantined_us)

arrival = sa.Table(
    "arrival",
    metadata,
    _id(),
    _refers("station_id", "station", "station of the folders"),
    _name("source_name", "path in the drop folder, as in inspection"),
    _name("sha256", "hash of the bytes; null for a folder, link, FIFO or device", optional=True),
    sa.Column("size_bytes", sa.BigInteger, nullable=False, comment="the file's length"),
    sa.Column("inode", sa.BigInteger, nullable=False, comment="the file's inode as signed 64 bits"),
    _instant("mtime_us", "the file's modification time"),
    _instant("seen_us", "close of the file if it was seen, else first sight"),
    _instant("recorded_us", "time when this row was made"),
    _name("outcome", "inspected, duplicate, quarantined; later requeued or pruned"),
    _refers("inspection_id", "inspection", "its inspection; for a duplicate the first one", optional=True),
    _refers("quarantine_id", "quarantine", "its row in quarantine", optional=True),
    _name("path", "path in the archive (inspection_id is set) or quarantine folder"),
    # If the answer to a commit is lost, the batch is sent again; this keeps it from adding a second row.
    sa.UniqueConstraint("station_id", "path", "outcome", "recorded_us"),
    sa.CheckConstraint(
        "outcome IN ('inspected', 'duplicate', 'quarantined', 'requeued', 'pruned')", name="outcome"
    ),
    sa.CheckConstraint("(inspection_id IS NULL) <> (quarantine_id IS NULL)", name="one_reference"),
    sa.CheckConstraint(
        "CASE WHEN outcome IN ('inspected', 'duplicate') THEN inspection_id IS NOT NULL"
        " WHEN outcome IN ('quarantined', 'requeued') THEN quarantine_id IS NOT NULL ELSE 1 = 1 END",
        name="reference_fits_outcome",
    ),
    comment="the ledger, append-only: one row per file that left the drop folder, with its outcome",
)
sa.Index("ix_arrival_known", arrival.c.station_id, arrival.c.source_name, arrival.c.sha256, arrival.c.id)
sa.Index("ix_arrival_recorded_us", arrival.c.recorded_us)
_HAS_QUARANTINE = arrival.c.quarantine_id.is_not(None)
sa.Index(  # for reconcile: was a quarantined file put back?
    "ix_arrival_quarantine_id",
    arrival.c.quarantine_id,
    sqlite_where=_HAS_QUARANTINE,
    postgresql_where=_HAS_QUARANTINE,
)

review = sa.Table(
    "review",
    metadata,
    _id(),
    _refers("inspection_id", "inspection", "image that a person reviewed"),
    _name("reviewer", "name of the person"),
    _name("verdict", "the person's: PASS, FAIL, or REVIEW if undecided"),
    _name("label", "the person's class, if one was named", optional=True),
    sa.Column("note", sa.Text, nullable=True, comment="free text"),
    _instant("reviewed_us", "time of the review"),
    _request_key(optional=True),
    sa.Column(
        "is_blind",
        sa.Boolean,
        nullable=True,
        comment="true: the person did not see the station's verdict before; null: not known",
    ),
    _origin_row(),
    sa.CheckConstraint("verdict IN ('PASS', 'FAIL', 'REVIEW')", name="verdict"),
    comment="human verdicts, append-only: the latest row of an image counts",
)
sa.Index("ix_review_inspection_id", review.c.inspection_id, review.c.id)
# Indexes, and no constraints: SQLite adds no constraint to a table that is there.
sa.Index("ix_review_request_key", review.c.request_key, unique=True)

seam_review = sa.Table(
    "seam_review",
    metadata,
    _id(),
    # The frame names station, part, seam and pass. A clock could not tell which frames came later: people and
    # stations have their own.
    _refers("inspection_id", "inspection", "newest frame of the pass over a seam that a person reviewed"),
    _name("reviewer", "name of the person"),
    _name("verdict", "the person's on the whole pass: PASS, FAIL, or REVIEW if undecided"),
    sa.Column("note", sa.Text, nullable=True, comment="free text"),
    _instant("reviewed_us", "time of the review"),
    _request_key(optional=True),
    _origin_row(),
    sa.CheckConstraint("verdict IN ('PASS', 'FAIL', 'REVIEW')", name="verdict"),
    comment="human verdicts on passes over a seam, append-only: the latest row of a pass counts",
)
sa.Index("ix_seam_review_inspection_id", seam_review.c.inspection_id)
sa.Index("ix_seam_review_request_key", seam_review.c.request_key, unique=True)

rejudgement = sa.Table(
    "rejudgement",
    metadata,
    _id(),
    _refers("inspection_id", "inspection", "image that another artifact judged"),
    _refers("model_id", "model", "that artifact"),
    _refers("settings_id", "settings", "thresholds and settings that it judged by"),
    _name("run", "what asked for it, and since when, such as shadow 2026-01-05T06:00:00+00:00"),
    _name("verdict", "PASS, FAIL or REVIEW; null: not judged, and reason says why", optional=True),
    _name("label", "class that decided, as in inspection", optional=True),
    sa.Column("confidence", sa.Double, nullable=True, comment="probability of the label, 0 to 1"),
    sa.Column(
        "probabilities",
        sa.JSON(none_as_null=True),
        nullable=True,
        comment="class name to probability, in class order",
    ),
    sa.Column("novelty", sa.Double, nullable=True, comment="as in inspection"),
    _name(
        "reason",
        "of a REVIEW, as in inspection; without a verdict: pruned, missing, altered, or of a file "
        "that cannot be read, as in quarantine",
        optional=True,
    ),
    _instant("judged_us", "time of the judgement"),
    # A repetition adds nothing. An image without a verdict has a row, too: no later run looks for it again.
    sa.UniqueConstraint("inspection_id", "model_id"),
    sa.CheckConstraint("verdict IN ('PASS', 'FAIL', 'REVIEW')", name="verdict"),
    sa.CheckConstraint("confidence BETWEEN 0 AND 1", name="confidence"),
    sa.CheckConstraint(
        "CASE WHEN verdict IS NULL THEN reason IS NOT NULL AND label IS NULL AND confidence IS NULL"
        " AND probabilities IS NULL AND novelty IS NULL"
        " ELSE label IS NOT NULL AND confidence IS NOT NULL AND probabilities IS NOT NULL"
        " AND novelty IS NOT NULL END",
        name="judged_or_reason",
    ),
    comment="verdicts of other artifacts on inspected images, append-only; the station's verdict stays",
)

audit_sample = sa.Table(
    "audit_sample",
    metadata,
    _id(),
    _refers("inspection_id", "inspection", "PASS image of a random draw, for a person to review"),
    sa.Column("seed", sa.BigInteger, nullable=False, comment="seed of the draw, which repeats it"),
    sa.Column(
        "population", sa.BigInteger, nullable=False, comment="number of PASS images that could be drawn"
    ),
    _instant("drawn_us", "time of the draw"),
    sa.UniqueConstraint("inspection_id"),
    sa.CheckConstraint("population >= 1", name="population"),
    comment="random samples of PASS images: their reviews estimate how many defects pass",
)

# A person at a central database asks for a picture, and the forwarder of the image's station adds it.
thumbnail_request = sa.Table(
    "thumbnail_request",
    metadata,
    _id(),
    _refers("inspection_id", "inspection", "image whose file is at its station"),
    _name("person", "name of the person who first opened the image at the central database"),
    _instant("asked_us", "time of the request"),
    sa.UniqueConstraint("inspection_id"),
    comment="images that people opened at a central database, for small pictures from their stations",
)

MAX_THUMBNAIL_BYTES = 20_000  # of a picture: 50 million would take a terabyte
thumbnail = sa.Table(
    "thumbnail",
    metadata,
    _id(),
    _refers("inspection_id", "inspection", "image that was asked for"),
    sa.Column("picture", sa.LargeBinary, nullable=True, comment="JPEG; null: none, and reason says why"),
    _name("reason", "vanished, altered, or of a file that cannot be read, as in quarantine", optional=True),
    _instant("made_us", "when the station made it, by its clock"),
    sa.UniqueConstraint("inspection_id"),
    sa.CheckConstraint("(picture IS NULL) <> (reason IS NULL)", name="picture_or_reason"),
    sa.CheckConstraint(f"length(picture) <= {MAX_THUMBNAIL_BYTES}", name="picture"),
    comment="small pictures of images whose files stay at their stations",
)

signal_note = sa.Table(
    "signal_note",
    metadata,
    _id(),
    _name("report", "report that shows the signal, such as p_chart"),
    _name("signal", "key of the signal in the report signals"),
    _name("person", "name of the person"),
    sa.Column("cause", sa.Text, nullable=False, comment="cause of the signal, as far as it is known"),
    sa.Column("action", sa.Text, nullable=False, comment="what was done about it"),
    _instant("noted_us", "time of the note"),
    _request_key(),
    sa.UniqueConstraint("request_key"),
    comment="acknowledged signals of the charts, append-only: the latest row of a signal counts",
)
sa.Index("ix_signal_note_signal", signal_note.c.report, signal_note.c.signal, signal_note.c.id)

event = sa.Table(
    "event",
    metadata,
    _id(),
    _refers("station_id", "station", "station of the event"),
    _name("kind", "start, stop, outage, overflow, reload and others"),
    sa.Column("detail", sa.Text, nullable=False, comment="one line for people"),
    _instant("at_us", "time of the event"),
    _origin_row(),
    comment="events of the station, such as start, stop and outage",
)
sa.Index("ix_event_station_id_at_us", event.c.station_id, event.c.at_us)
# A forwarded event is known by its number and its time: a station that was restored uses its numbers again.
sa.Index("ix_event_origin", event.c.station_id, event.c.at_us, event.c.origin_row, unique=True)

# How far a station's own database has been forwarded: in the central database in the transaction that adds
# the rows, and afterwards in the station's own. Like all others, the table only grows, by a row for each
# batch. So the account that forwards needs no right to change a row, and past outages can be looked up.
forwarded = sa.Table(
    "forwarded",
    metadata,
    _id(),
    _refers("station_id", "station", "station whose rows were forwarded"),
    sa.Column(
        "positions",
        sa.JSON,
        nullable=False,
        comment="table name to the number and the time of the station's last row that was forwarded",
    ),
    sa.Column(
        "returned",
        sa.JSON,
        nullable=False,
        comment="table name to the last row of the central database that the station has",
    ),
    sa.Column("sent", sa.BigInteger, nullable=False, comment="rows that this batch forwarded"),
    sa.Column("behind", sa.BigInteger, nullable=False, comment="rows that were still to be forwarded"),
    _instant("at_us", "time of the batch, by the central database's clock"),
    comment="batches of rows that stations forwarded to a central database; the latest one counts",
)
sa.Index("ix_forwarded_station_id", forwarded.c.station_id, forwarded.c.id)


# Summaries of hours that are over, from which reports count millions of images in seconds. Images are only
# ever added, so a summary of n images holds as long as its station still has n images in that hour. A seal
# says so of all hours at once; for the others a report counts the images by an index. If there are more, it
# reads them. inspector.ledger.summaries writes these rows.
hour_summary = sa.Table(
    "hour_summary",
    metadata,
    _id(),
    _refers("station_id", "station", "station of the images"),
    _instant("hour_us", "start of the hour of judgement in UTC"),
    sa.Column("n", sa.Integer, nullable=False, comment="images; the summary holds while there are no more"),
    sa.UniqueConstraint("station_id", "hour_us", "n"),
    sa.CheckConstraint("n >= 1", name="n"),
    comment="hours of a station whose images hour_count counts, derived from inspection",
)

hour_count = sa.Table(
    "hour_count",
    metadata,
    _id(),
    _refers("summary_id", "hour_summary", "the station and the hour"),
    _refers("model_id", "model", "as in inspection, like all columns up to reason"),
    _name("camera", "camera", optional=True),
    _name("part", "part", optional=True),
    _name("seam", "seam", optional=True),
    sa.Column("pass_no", sa.Integer, nullable=True, comment="pass over the seam"),
    _name("local_day", "local day"),
    _name("shift", "shift"),
    _name("shift_day", "day on which the shift began", optional=True),
    _name("verdict", "the station's verdict"),
    _name("reason", "reason of a REVIEW", optional=True),
    sa.Column("is_duplicate", sa.Boolean, nullable=False, comment="whether duplicate_of is set"),
    _instant("seen_hour_us", "start of the hour in UTC in which the files were seen"),
    sa.Column("n", sa.Integer, nullable=False, comment="images with the values of these columns"),
    _instant("first_us", "earliest inspected_us of them"),
    _instant("last_us", "latest inspected_us"),
    _instant("first_seen_us", "earliest seen_us"),
    _instant("first_taken_us", "earliest taken_us"),
    _instant("last_taken_us", "latest taken_us"),
    sa.Column("newest_id", sa.BigInteger, nullable=False, comment="largest number of an inspection"),
    comment="numbers of images in an hour of a station, derived from inspection",
)
sa.Index("ix_hour_count_summary_id", hour_count.c.summary_id)

STEPS = ("wait", "decode", "infer", "total")
hour_latency = sa.Table(
    "hour_latency",
    metadata,
    _id(),
    sa.Column("of_station", sa.BigInteger, nullable=False, comment="number of the station; 0: all stations"),
    _instant("hour_us", "start of the hour of judgement in UTC"),
    sa.Column("n", sa.Integer, nullable=False, comment="images; the row holds while there are no more"),
    *(
        _milliseconds(f"{step}_{measure}_ms", f"{step}_ms: {meaning}")
        for step in STEPS
        for measure, meaning in (
            ("p50", "half of the images took at most this"),
            ("p95", "95% took at most this"),
            ("p99", "99% took at most this"),
            ("max", "the slowest image"),
        )
    ),
    sa.UniqueConstraint("of_station", "hour_us", "n"),
    sa.CheckConstraint("n >= 1", name="n"),
    comment="durations of the images of an hour, derived from inspection",
)

# A second summary of an hour, for the reports on the network and the machine. Those of revision 0008 lack it,
# and no row is ever changed, so it is a table of its own.
hour_work = sa.Table(
    "hour_work",
    metadata,
    _id(),
    _refers("station_id", "station", "station of the images"),
    _instant("hour_us", "start of the hour of judgement in UTC"),
    sa.Column("n", sa.Integer, nullable=False, comment="images; the row holds while there are no more"),
    _instant("first_us", "earliest inspected_us"),
    _instant("last_us", "latest inspected_us"),
    sa.Column("longest_pause_us", sa.BigInteger, nullable=False, comment="between two images; microseconds"),
    sa.Column("busiest_minute", sa.Integer, nullable=False, comment="largest number of images in a minute"),
    sa.Column("frames", sa.BigInteger, nullable=False, comment="sum of batch_size"),
    _milliseconds("infer_ms", "sum of infer_ms"),
    sa.UniqueConstraint("station_id", "hour_us", "n"),
    sa.CheckConstraint("n >= 1", name="n"),
    comment="work of a station in an hour, derived from inspection",
)

hour_class = sa.Table(
    "hour_class",
    metadata,
    _id(),
    _refers("work_id", "hour_work", "the station and the hour"),
    _name("label", "class that decided, as in inspection"),
    _name("verdict", "the station's verdict"),
    sa.Column(
        "confidence_from", sa.Double, nullable=False, comment="lower end of a bin of the report 'confidence'"
    ),
    sa.Column("n", sa.Integer, nullable=False, comment="images with the values of these columns"),
    sa.Column("confidence_min", sa.Double, nullable=False, comment="lowest confidence, 0 to 1"),
    comment="numbers of images in an hour of a station by class and confidence, derived from inspection",
)
sa.Index("ix_hour_class_work_id", hour_class.c.work_id)

hour_batch = sa.Table(
    "hour_batch",
    metadata,
    _id(),
    _refers("work_id", "hour_work", "the station and the hour"),
    sa.Column("batch_size", sa.Integer, nullable=False, comment="frames judged together"),
    sa.Column("n", sa.Integer, nullable=False, comment="images judged in batches of this size"),
    *(_milliseconds(f"{step}_max_ms", f"{step}_ms: the slowest image") for step in STEPS),
    comment="longest durations in an hour of a station by the size of the batch, derived from inspection",
)
sa.Index("ix_hour_batch_work_id", hour_batch.c.work_id)

summary_seal = sa.Table(
    "summary_seal",
    metadata,
    _id(),
    _refers("inspection_id", "inspection", "last image of the seal: no row with a lower number is to come"),
    _instant("until_us", "end of the last hour of the seal"),
    # So no database keeps a seal without its summaries, as after a restore that left derived rows out.
    _refers("work_id", "hour_work", "newest summary at that time"),
    sa.UniqueConstraint("inspection_id", "until_us"),
    comment="each hour before until_us has summaries that count its images up to inspection_id",
)


def unique_keys(table: sa.Table) -> list[list[sa.Column[Any]]]:
    """Return the keys of a table beside the number of the row: unique constraints and unique indexes."""
    constraints = [list(it.columns) for it in table.constraints if isinstance(it, sa.UniqueConstraint)]
    return constraints + [list(it.columns) for it in table.indexes if it.unique]
