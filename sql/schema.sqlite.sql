-- The quality database's schema on SQLite. Made by 'make schema'; do not edit.
--
-- For reading: 'weld-inspect migrate' creates and upgrades a database. Times that end in _us are UTC epoch
-- microseconds; the views show them as timestamps. History is append-only.

-- durations of the images of an hour, derived from inspection
CREATE TABLE hour_latency (
    id INTEGER NOT NULL,
    of_station BIGINT NOT NULL, -- number of the station; 0: all stations
    hour_us BIGINT NOT NULL, -- start of the hour of judgement in UTC; UTC epoch microseconds
    n INTEGER NOT NULL, -- images; the row holds while there are no more
    wait_p50_ms DOUBLE NOT NULL, -- wait_ms: half of the images took at most this; milliseconds
    wait_p95_ms DOUBLE NOT NULL, -- wait_ms: 95% took at most this; milliseconds
    wait_p99_ms DOUBLE NOT NULL, -- wait_ms: 99% took at most this; milliseconds
    wait_max_ms DOUBLE NOT NULL, -- wait_ms: the slowest image; milliseconds
    decode_p50_ms DOUBLE NOT NULL, -- decode_ms: half of the images took at most this; milliseconds
    decode_p95_ms DOUBLE NOT NULL, -- decode_ms: 95% took at most this; milliseconds
    decode_p99_ms DOUBLE NOT NULL, -- decode_ms: 99% took at most this; milliseconds
    decode_max_ms DOUBLE NOT NULL, -- decode_ms: the slowest image; milliseconds
    infer_p50_ms DOUBLE NOT NULL, -- infer_ms: half of the images took at most this; milliseconds
    infer_p95_ms DOUBLE NOT NULL, -- infer_ms: 95% took at most this; milliseconds
    infer_p99_ms DOUBLE NOT NULL, -- infer_ms: 99% took at most this; milliseconds
    infer_max_ms DOUBLE NOT NULL, -- infer_ms: the slowest image; milliseconds
    total_p50_ms DOUBLE NOT NULL, -- total_ms: half of the images took at most this; milliseconds
    total_p95_ms DOUBLE NOT NULL, -- total_ms: 95% took at most this; milliseconds
    total_p99_ms DOUBLE NOT NULL, -- total_ms: 99% took at most this; milliseconds
    total_max_ms DOUBLE NOT NULL, -- total_ms: the slowest image; milliseconds
    CONSTRAINT pk_hour_latency PRIMARY KEY (id),
    CONSTRAINT uq_hour_latency_of_station_hour_us_n UNIQUE (of_station, hour_us, n),
    CONSTRAINT ck_hour_latency_n CHECK (n >= 1)
);

-- artifacts that judged images
CREATE TABLE model (
    id INTEGER NOT NULL,
    artifact_sha256 TEXT NOT NULL, -- hash of the artifact file
    name TEXT NOT NULL, -- the artifact's name
    version TEXT NOT NULL, -- the artifact's version
    metadata JSON NOT NULL, -- the artifact's metadata.json, whole
    first_used_us BIGINT NOT NULL, -- when a station first judged with it; UTC epoch microseconds
    CONSTRAINT pk_model PRIMARY KEY (id),
    CONSTRAINT uq_model_artifact_sha256 UNIQUE (artifact_sha256),
    CONSTRAINT ck_model_artifact_sha256 CHECK (length(artifact_sha256) = 64)
);

-- settings that were in force
CREATE TABLE settings (
    id INTEGER NOT NULL,
    sha256 TEXT NOT NULL, -- hash of the content with sorted keys
    content JSON NOT NULL, -- settings and thresholds in force, whole
    first_used_us BIGINT NOT NULL, -- when a station first judged with them; UTC epoch microseconds
    CONSTRAINT pk_settings PRIMARY KEY (id),
    CONSTRAINT uq_settings_sha256 UNIQUE (sha256),
    CONSTRAINT ck_settings_sha256 CHECK (length(sha256) = 64)
);

-- acknowledged signals of the charts, append-only: the latest row of a signal counts
CREATE TABLE signal_note (
    id INTEGER NOT NULL,
    report TEXT NOT NULL, -- report that shows the signal, such as p_chart
    signal TEXT NOT NULL, -- key of the signal in the report signals
    person TEXT NOT NULL, -- name of the person
    cause TEXT NOT NULL, -- cause of the signal, as far as it is known
    action TEXT NOT NULL, -- what was done about it
    noted_us BIGINT NOT NULL, -- time of the note; UTC epoch microseconds
    request_key TEXT NOT NULL, -- of the request that added the row; sent again, it adds none
    CONSTRAINT pk_signal_note PRIMARY KEY (id),
    CONSTRAINT uq_signal_note_request_key UNIQUE (request_key)
);
CREATE INDEX ix_signal_note_signal ON signal_note (report, signal, id);

-- camera PCs that write here
CREATE TABLE station (
    id INTEGER NOT NULL,
    name TEXT NOT NULL, -- the settings' station: one for each camera PC
    first_opened_us BIGINT NOT NULL, -- when the station first opened this database; UTC epoch microseconds
    CONSTRAINT pk_station PRIMARY KEY (id),
    CONSTRAINT uq_station_name UNIQUE (name)
);

-- events of the station, such as start, stop and outage
CREATE TABLE event (
    id INTEGER NOT NULL,
    station_id INTEGER NOT NULL, -- station of the event
    kind TEXT NOT NULL, -- start, stop, outage, overflow, reload and others
    detail TEXT NOT NULL, -- one line for people
    at_us BIGINT NOT NULL, -- time of the event; UTC epoch microseconds
    origin_row BIGINT, -- number of the row in the database that it was forwarded from; null if it was made in this one
    CONSTRAINT pk_event PRIMARY KEY (id),
    CONSTRAINT fk_event_station_id FOREIGN KEY(station_id) REFERENCES station (id)
);
CREATE UNIQUE INDEX ix_event_origin ON event (station_id, at_us, origin_row);
CREATE INDEX ix_event_station_id_at_us ON event (station_id, at_us);

-- batches of rows that stations forwarded to a central database; the latest one counts
CREATE TABLE forwarded (
    id INTEGER NOT NULL,
    station_id INTEGER NOT NULL, -- station whose rows were forwarded
    positions JSON NOT NULL, -- table name to the number and the time of the station's last row that was forwarded
    returned JSON NOT NULL, -- table name to the last row of the central database that the station has
    sent BIGINT NOT NULL, -- rows that this batch forwarded
    behind BIGINT NOT NULL, -- rows that were still to be forwarded
    at_us BIGINT NOT NULL, -- time of the batch, by the central database's clock; UTC epoch microseconds
    CONSTRAINT pk_forwarded PRIMARY KEY (id),
    CONSTRAINT fk_forwarded_station_id FOREIGN KEY(station_id) REFERENCES station (id)
);
CREATE INDEX ix_forwarded_station_id ON forwarded (station_id, id);

-- hours of a station whose images hour_count counts, derived from inspection
CREATE TABLE hour_summary (
    id INTEGER NOT NULL,
    station_id INTEGER NOT NULL, -- station of the images
    hour_us BIGINT NOT NULL, -- start of the hour of judgement in UTC; UTC epoch microseconds
    n INTEGER NOT NULL, -- images; the summary holds while there are no more
    CONSTRAINT pk_hour_summary PRIMARY KEY (id),
    CONSTRAINT uq_hour_summary_station_id_hour_us_n UNIQUE (station_id, hour_us, n),
    CONSTRAINT ck_hour_summary_n CHECK (n >= 1),
    CONSTRAINT fk_hour_summary_station_id FOREIGN KEY(station_id) REFERENCES station (id)
);

-- work of a station in an hour, derived from inspection
CREATE TABLE hour_work (
    id INTEGER NOT NULL,
    station_id INTEGER NOT NULL, -- station of the images
    hour_us BIGINT NOT NULL, -- start of the hour of judgement in UTC; UTC epoch microseconds
    n INTEGER NOT NULL, -- images; the row holds while there are no more
    first_us BIGINT NOT NULL, -- earliest inspected_us; UTC epoch microseconds
    last_us BIGINT NOT NULL, -- latest inspected_us; UTC epoch microseconds
    longest_pause_us BIGINT NOT NULL, -- between two images; microseconds
    busiest_minute INTEGER NOT NULL, -- largest number of images in a minute
    frames BIGINT NOT NULL, -- sum of batch_size
    infer_ms DOUBLE NOT NULL, -- sum of infer_ms; milliseconds
    CONSTRAINT pk_hour_work PRIMARY KEY (id),
    CONSTRAINT uq_hour_work_station_id_hour_us_n UNIQUE (station_id, hour_us, n),
    CONSTRAINT ck_hour_work_n CHECK (n >= 1),
    CONSTRAINT fk_hour_work_station_id FOREIGN KEY(station_id) REFERENCES station (id)
);

-- one row per judged image; the station's verdict never changes
CREATE TABLE inspection (
    id INTEGER NOT NULL,
    station_id INTEGER NOT NULL, -- station that inspected
    model_id INTEGER NOT NULL, -- artifact that judged
    settings_id INTEGER NOT NULL, -- thresholds and settings in force
    source_name TEXT NOT NULL, -- path in the drop folder; bytes that are not UTF-8, % and controls as %XX
    sha256 TEXT NOT NULL, -- hash of the file's bytes
    duplicate_of INTEGER, -- first inspection of the same bytes at this station
    camera TEXT, -- from the file name by name_pattern
    part TEXT, -- from the file name by name_pattern
    seam TEXT, -- from the file name by name_pattern
    pass_no INTEGER, -- 1 for the first pass of a part and seam; null without part
    camera_time_us BIGINT, -- the camera's own clock, by name_pattern; UTC epoch microseconds
    seen_us BIGINT NOT NULL, -- close of the file if it was seen, else first sight, by the station's clock; UTC epoch microseconds
    taken_us BIGINT NOT NULL, -- camera time if known, else seen_us; passes go by it; UTC epoch microseconds
    inspected_us BIGINT NOT NULL, -- time of the judgement; the periods of reports go by it; UTC epoch microseconds
    local_day TEXT NOT NULL, -- ISO date in the station's time zone
    shift TEXT NOT NULL, -- the settings' name of the shift
    shift_day TEXT, -- ISO date of the day on which the shift began; null if an earlier version wrote it
    verdict TEXT NOT NULL, -- the station's: PASS, FAIL or REVIEW
    label TEXT NOT NULL, -- class that decided; in rows of earlier versions the most probable one
    confidence DOUBLE NOT NULL, -- probability of the label, 0 to 1
    probabilities JSON NOT NULL, -- class name to probability, in class order
    novelty DOUBLE NOT NULL, -- grows as a frame looks less like training
    reason TEXT, -- reason of a REVIEW: uncertain, novel, blank, saturated
    heat BLOB, -- class activation map, uint8 row by row, for FAIL and REVIEW
    heat_height INTEGER, -- rows of heat
    heat_width INTEGER, -- columns of heat
    wait_ms DOUBLE NOT NULL, -- close, else first sight, to reading; milliseconds
    decode_ms DOUBLE NOT NULL, -- reading, hash, decoding, resize; milliseconds
    infer_ms DOUBLE NOT NULL, -- the batch's time over its size; milliseconds
    total_ms DOUBLE NOT NULL, -- close, else first sight, to just before the commit; milliseconds
    batch_size INTEGER NOT NULL, -- frames judged together
    archive_path TEXT NOT NULL, -- path in the archive folder
    CONSTRAINT pk_inspection PRIMARY KEY (id),
    CONSTRAINT uq_inspection_station_id_source_name_sha256 UNIQUE (station_id, source_name, sha256),
    CONSTRAINT ck_inspection_verdict CHECK (verdict IN ('PASS', 'FAIL', 'REVIEW')),
    CONSTRAINT ck_inspection_confidence CHECK (confidence BETWEEN 0 AND 1),
    CONSTRAINT ck_inspection_sha256 CHECK (length(sha256) = 64),
    CONSTRAINT ck_inspection_local_day CHECK (length(local_day) = 10),
    CONSTRAINT ck_inspection_shift_day CHECK (length(shift_day) = 10),
    CONSTRAINT ck_inspection_batch_size CHECK (batch_size >= 1),
    CONSTRAINT ck_inspection_pass_no CHECK ((part IS NULL) = (pass_no IS NULL) AND coalesce(pass_no, 1) >= 1),
    CONSTRAINT ck_inspection_heat CHECK (CASE WHEN heat IS NULL THEN heat_height IS NULL AND heat_width IS NULL ELSE length(heat) = heat_height * heat_width END),
    CONSTRAINT fk_inspection_station_id FOREIGN KEY(station_id) REFERENCES station (id),
    CONSTRAINT fk_inspection_model_id FOREIGN KEY(model_id) REFERENCES model (id),
    CONSTRAINT fk_inspection_settings_id FOREIGN KEY(settings_id) REFERENCES settings (id),
    CONSTRAINT fk_inspection_duplicate_of FOREIGN KEY(duplicate_of) REFERENCES inspection (id)
);
CREATE INDEX ix_inspection_duplicate_of ON inspection (duplicate_of) WHERE duplicate_of IS NOT NULL;
CREATE INDEX ix_inspection_failed ON inspection (inspected_us) WHERE verdict = 'FAIL';
CREATE INDEX ix_inspection_first_of_bytes ON inspection (station_id, sha256) WHERE duplicate_of IS NULL;
CREATE INDEX ix_inspection_inspected_us ON inspection (inspected_us);
CREATE INDEX ix_inspection_seam_pass ON inspection (station_id, part, seam, pass_no) WHERE part IS NOT NULL;
CREATE INDEX ix_inspection_seam_taken ON inspection (station_id, part, seam, taken_us) WHERE part IS NOT NULL;
CREATE INDEX ix_inspection_sixteenth ON inspection (inspected_us, station_id, part, id, verdict, label, confidence, novelty, batch_size, wait_ms, decode_ms, infer_ms, total_ms) WHERE verdict <> 'PASS' OR id * 2654435761 % 4294967296 < 268435456;
CREATE INDEX ix_inspection_station_id_inspected_us ON inspection (station_id, inspected_us);

-- files that could not be inspected, with the reason
CREATE TABLE quarantine (
    id INTEGER NOT NULL,
    station_id INTEGER NOT NULL, -- station that could not inspect it
    source_name TEXT NOT NULL, -- path in the drop folder, as in inspection
    sha256 TEXT, -- hash of the bytes; null for a folder, link, FIFO or device
    reason TEXT NOT NULL, -- one word: truncated, not_an_image, too_large, decoder_crash
    detail TEXT NOT NULL, -- one line for people
    shift TEXT, -- the settings' name of the shift; null if an earlier version wrote it
    shift_day TEXT, -- ISO date of the day on which the shift began; null if an earlier version wrote it
    quarantined_us BIGINT NOT NULL, -- time when it was given up; UTC epoch microseconds
    path TEXT NOT NULL, -- path in the quarantine folder
    CONSTRAINT pk_quarantine PRIMARY KEY (id),
    CONSTRAINT uq_quarantine_station_id_path_quarantined_us UNIQUE (station_id, path, quarantined_us),
    CONSTRAINT ck_quarantine_shift_day CHECK (length(shift_day) = 10),
    CONSTRAINT fk_quarantine_station_id FOREIGN KEY(station_id) REFERENCES station (id)
);
CREATE INDEX ix_quarantine_quarantined_us ON quarantine (quarantined_us);

-- the ledger, append-only: one row per file that left the drop folder, with its outcome
CREATE TABLE arrival (
    id INTEGER NOT NULL,
    station_id INTEGER NOT NULL, -- station of the folders
    source_name TEXT NOT NULL, -- path in the drop folder, as in inspection
    sha256 TEXT, -- hash of the bytes; null for a folder, link, FIFO or device
    size_bytes BIGINT NOT NULL, -- the file's length
    inode BIGINT NOT NULL, -- the file's inode as signed 64 bits
    mtime_us BIGINT NOT NULL, -- the file's modification time; UTC epoch microseconds
    seen_us BIGINT NOT NULL, -- close of the file if it was seen, else first sight; UTC epoch microseconds
    recorded_us BIGINT NOT NULL, -- time when this row was made; UTC epoch microseconds
    outcome TEXT NOT NULL, -- inspected, duplicate, quarantined; later requeued or pruned
    inspection_id INTEGER, -- its inspection; for a duplicate the first one
    quarantine_id INTEGER, -- its row in quarantine
    path TEXT NOT NULL, -- path in the archive (inspection_id is set) or quarantine folder
    CONSTRAINT pk_arrival PRIMARY KEY (id),
    CONSTRAINT uq_arrival_station_id_path_outcome_recorded_us UNIQUE (station_id, path, outcome, recorded_us),
    CONSTRAINT ck_arrival_outcome CHECK (outcome IN ('inspected', 'duplicate', 'quarantined', 'requeued', 'pruned')),
    CONSTRAINT ck_arrival_one_reference CHECK ((inspection_id IS NULL) <> (quarantine_id IS NULL)),
    CONSTRAINT ck_arrival_reference_fits_outcome CHECK (CASE WHEN outcome IN ('inspected', 'duplicate') THEN inspection_id IS NOT NULL WHEN outcome IN ('quarantined', 'requeued') THEN quarantine_id IS NOT NULL ELSE 1 = 1 END),
    CONSTRAINT fk_arrival_station_id FOREIGN KEY(station_id) REFERENCES station (id),
    CONSTRAINT fk_arrival_inspection_id FOREIGN KEY(inspection_id) REFERENCES inspection (id),
    CONSTRAINT fk_arrival_quarantine_id FOREIGN KEY(quarantine_id) REFERENCES quarantine (id)
);
CREATE INDEX ix_arrival_known ON arrival (station_id, source_name, sha256, id);
CREATE INDEX ix_arrival_quarantine_id ON arrival (quarantine_id) WHERE quarantine_id IS NOT NULL;
CREATE INDEX ix_arrival_recorded_us ON arrival (recorded_us);

-- random samples of PASS images: their reviews estimate how many defects pass
CREATE TABLE audit_sample (
    id INTEGER NOT NULL,
    inspection_id INTEGER NOT NULL, -- PASS image of a random draw, for a person to review
    seed BIGINT NOT NULL, -- seed of the draw, which repeats it
    population BIGINT NOT NULL, -- number of PASS images that could be drawn
    drawn_us BIGINT NOT NULL, -- time of the draw; UTC epoch microseconds
    CONSTRAINT pk_audit_sample PRIMARY KEY (id),
    CONSTRAINT uq_audit_sample_inspection_id UNIQUE (inspection_id),
    CONSTRAINT ck_audit_sample_population CHECK (population >= 1),
    CONSTRAINT fk_audit_sample_inspection_id FOREIGN KEY(inspection_id) REFERENCES inspection (id)
);

-- longest durations in an hour of a station by the size of the batch, derived from inspection
CREATE TABLE hour_batch (
    id INTEGER NOT NULL,
    work_id INTEGER NOT NULL, -- the station and the hour
    batch_size INTEGER NOT NULL, -- frames judged together
    n INTEGER NOT NULL, -- images judged in batches of this size
    wait_max_ms DOUBLE NOT NULL, -- wait_ms: the slowest image; milliseconds
    decode_max_ms DOUBLE NOT NULL, -- decode_ms: the slowest image; milliseconds
    infer_max_ms DOUBLE NOT NULL, -- infer_ms: the slowest image; milliseconds
    total_max_ms DOUBLE NOT NULL, -- total_ms: the slowest image; milliseconds
    CONSTRAINT pk_hour_batch PRIMARY KEY (id),
    CONSTRAINT fk_hour_batch_work_id FOREIGN KEY(work_id) REFERENCES hour_work (id)
);
CREATE INDEX ix_hour_batch_work_id ON hour_batch (work_id);

-- numbers of images in an hour of a station by class and confidence, derived from inspection
CREATE TABLE hour_class (
    id INTEGER NOT NULL,
    work_id INTEGER NOT NULL, -- the station and the hour
    label TEXT NOT NULL, -- class that decided, as in inspection
    verdict TEXT NOT NULL, -- the station's verdict
    confidence_from DOUBLE NOT NULL, -- lower end of a bin of the report 'confidence'
    n INTEGER NOT NULL, -- images with the values of these columns
    confidence_min DOUBLE NOT NULL, -- lowest confidence, 0 to 1
    CONSTRAINT pk_hour_class PRIMARY KEY (id),
    CONSTRAINT fk_hour_class_work_id FOREIGN KEY(work_id) REFERENCES hour_work (id)
);
CREATE INDEX ix_hour_class_work_id ON hour_class (work_id);

-- numbers of images in an hour of a station, derived from inspection
CREATE TABLE hour_count (
    id INTEGER NOT NULL,
    summary_id INTEGER NOT NULL, -- the station and the hour
    model_id INTEGER NOT NULL, -- as in inspection, like all columns up to reason
    camera TEXT, -- camera
    part TEXT, -- part
    seam TEXT, -- seam
    pass_no INTEGER, -- pass over the seam
    local_day TEXT NOT NULL, -- local day
    shift TEXT NOT NULL, -- shift
    shift_day TEXT, -- day on which the shift began
    verdict TEXT NOT NULL, -- the station's verdict
    reason TEXT, -- reason of a REVIEW
    is_duplicate BOOLEAN NOT NULL, -- whether duplicate_of is set
    seen_hour_us BIGINT NOT NULL, -- start of the hour in UTC in which the files were seen; UTC epoch microseconds
    n INTEGER NOT NULL, -- images with the values of these columns
    first_us BIGINT NOT NULL, -- earliest inspected_us of them; UTC epoch microseconds
    last_us BIGINT NOT NULL, -- latest inspected_us; UTC epoch microseconds
    first_seen_us BIGINT NOT NULL, -- earliest seen_us; UTC epoch microseconds
    first_taken_us BIGINT NOT NULL, -- earliest taken_us; UTC epoch microseconds
    last_taken_us BIGINT NOT NULL, -- latest taken_us; UTC epoch microseconds
    newest_id BIGINT NOT NULL, -- largest number of an inspection
    CONSTRAINT pk_hour_count PRIMARY KEY (id),
    CONSTRAINT fk_hour_count_summary_id FOREIGN KEY(summary_id) REFERENCES hour_summary (id),
    CONSTRAINT fk_hour_count_model_id FOREIGN KEY(model_id) REFERENCES model (id)
);
CREATE INDEX ix_hour_count_summary_id ON hour_count (summary_id);

-- verdicts of other artifacts on inspected images, append-only; the station's verdict stays
CREATE TABLE rejudgement (
    id INTEGER NOT NULL,
    inspection_id INTEGER NOT NULL, -- image that another artifact judged
    model_id INTEGER NOT NULL, -- that artifact
    settings_id INTEGER NOT NULL, -- thresholds and settings that it judged by
    run TEXT NOT NULL, -- what asked for it, and since when, such as shadow 2026-01-05T06:00:00+00:00
    verdict TEXT, -- PASS, FAIL or REVIEW; null: not judged, and reason says why
    label TEXT, -- class that decided, as in inspection
    confidence DOUBLE, -- probability of the label, 0 to 1
    probabilities JSON, -- class name to probability, in class order
    novelty DOUBLE, -- as in inspection
    reason TEXT, -- of a REVIEW, as in inspection; without a verdict: pruned, missing, altered, or of a file that cannot be read, as in quarantine
    judged_us BIGINT NOT NULL, -- time of the judgement; UTC epoch microseconds
    CONSTRAINT pk_rejudgement PRIMARY KEY (id),
    CONSTRAINT uq_rejudgement_inspection_id_model_id UNIQUE (inspection_id, model_id),
    CONSTRAINT ck_rejudgement_verdict CHECK (verdict IN ('PASS', 'FAIL', 'REVIEW')),
    CONSTRAINT ck_rejudgement_confidence CHECK (confidence BETWEEN 0 AND 1),
    CONSTRAINT ck_rejudgement_judged_or_reason CHECK (CASE WHEN verdict IS NULL THEN reason IS NOT NULL AND label IS NULL AND confidence IS NULL AND probabilities IS NULL AND novelty IS NULL ELSE label IS NOT NULL AND confidence IS NOT NULL AND probabilities IS NOT NULL AND novelty IS NOT NULL END),
    CONSTRAINT fk_rejudgement_inspection_id FOREIGN KEY(inspection_id) REFERENCES inspection (id),
    CONSTRAINT fk_rejudgement_model_id FOREIGN KEY(model_id) REFERENCES model (id),
    CONSTRAINT fk_rejudgement_settings_id FOREIGN KEY(settings_id) REFERENCES settings (id)
);

-- human verdicts, append-only: the latest row of an image counts
CREATE TABLE review (
    id INTEGER NOT NULL,
    inspection_id INTEGER NOT NULL, -- image that a person reviewed
    reviewer TEXT NOT NULL, -- name of the person
    verdict TEXT NOT NULL, -- the person's: PASS, FAIL, or REVIEW if undecided
    label TEXT, -- the person's class, if one was named
    note TEXT, -- free text
    reviewed_us BIGINT NOT NULL, -- time of the review; UTC epoch microseconds
    request_key TEXT, -- of the request that added the row; sent again, it adds none
    is_blind BOOLEAN, -- true: the person did not see the station's verdict before; null: not known
    origin_row BIGINT, -- number of the row in the database that it was forwarded from; null if it was made in this one
    CONSTRAINT pk_review PRIMARY KEY (id),
    CONSTRAINT ck_review_verdict CHECK (verdict IN ('PASS', 'FAIL', 'REVIEW')),
    CONSTRAINT fk_review_inspection_id FOREIGN KEY(inspection_id) REFERENCES inspection (id)
);
CREATE INDEX ix_review_inspection_id ON review (inspection_id, id);
CREATE UNIQUE INDEX ix_review_request_key ON review (request_key);

-- human verdicts on passes over a seam, append-only: the latest row of a pass counts
CREATE TABLE seam_review (
    id INTEGER NOT NULL,
    inspection_id INTEGER NOT NULL, -- newest frame of the pass over a seam that a person reviewed
    reviewer TEXT NOT NULL, -- name of the person
    verdict TEXT NOT NULL, -- the person's on the whole pass: PASS, FAIL, or REVIEW if undecided
    note TEXT, -- free text
    reviewed_us BIGINT NOT NULL, -- time of the review; UTC epoch microseconds
    request_key TEXT, -- of the request that added the row; sent again, it adds none
    origin_row BIGINT, -- number of the row in the database that it was forwarded from; null if it was made in this one
    CONSTRAINT pk_seam_review PRIMARY KEY (id),
    CONSTRAINT ck_seam_review_verdict CHECK (verdict IN ('PASS', 'FAIL', 'REVIEW')),
    CONSTRAINT fk_seam_review_inspection_id FOREIGN KEY(inspection_id) REFERENCES inspection (id)
);
CREATE INDEX ix_seam_review_inspection_id ON seam_review (inspection_id);
CREATE UNIQUE INDEX ix_seam_review_request_key ON seam_review (request_key);

-- each hour before until_us has summaries that count its images up to inspection_id
CREATE TABLE summary_seal (
    id INTEGER NOT NULL,
    inspection_id INTEGER NOT NULL, -- last image of the seal: no row with a lower number is to come
    until_us BIGINT NOT NULL, -- end of the last hour of the seal; UTC epoch microseconds
    work_id INTEGER NOT NULL, -- newest summary at that time
    CONSTRAINT pk_summary_seal PRIMARY KEY (id),
    CONSTRAINT uq_summary_seal_inspection_id_until_us UNIQUE (inspection_id, until_us),
    CONSTRAINT fk_summary_seal_inspection_id FOREIGN KEY(inspection_id) REFERENCES inspection (id),
    CONSTRAINT fk_summary_seal_work_id FOREIGN KEY(work_id) REFERENCES hour_work (id)
);

-- small pictures of images whose files stay at their stations
CREATE TABLE thumbnail (
    id INTEGER NOT NULL,
    inspection_id INTEGER NOT NULL, -- image that was asked for
    picture BLOB, -- JPEG; null: none, and reason says why
    reason TEXT, -- vanished, altered, or of a file that cannot be read, as in quarantine
    made_us BIGINT NOT NULL, -- when the station made it, by its clock; UTC epoch microseconds
    CONSTRAINT pk_thumbnail PRIMARY KEY (id),
    CONSTRAINT uq_thumbnail_inspection_id UNIQUE (inspection_id),
    CONSTRAINT ck_thumbnail_picture_or_reason CHECK ((picture IS NULL) <> (reason IS NULL)),
    CONSTRAINT ck_thumbnail_picture CHECK (length(picture) <= 20000),
    CONSTRAINT fk_thumbnail_inspection_id FOREIGN KEY(inspection_id) REFERENCES inspection (id)
);

-- images that people opened at a central database, for small pictures from their stations
CREATE TABLE thumbnail_request (
    id INTEGER NOT NULL,
    inspection_id INTEGER NOT NULL, -- image whose file is at its station
    person TEXT NOT NULL, -- name of the person who first opened the image at the central database
    asked_us BIGINT NOT NULL, -- time of the request; UTC epoch microseconds
    CONSTRAINT pk_thumbnail_request PRIMARY KEY (id),
    CONSTRAINT uq_thumbnail_request_inspection_id UNIQUE (inspection_id),
    CONSTRAINT fk_thumbnail_request_inspection_id FOREIGN KEY(inspection_id) REFERENCES inspection (id)
);

CREATE VIEW v_inspection AS
SELECT i.id, s.name AS station, i.source_name, i.camera, i.part, i.seam, i.pass_no,
       strftime('%Y-%m-%d %H:%M:%f', i.camera_time_us / 1000000.0, 'unixepoch') AS camera_time, strftime('%Y-%m-%d %H:%M:%f', i.seen_us / 1000000.0, 'unixepoch') AS seen_at, strftime('%Y-%m-%d %H:%M:%f', i.inspected_us / 1000000.0, 'unixepoch') AS inspected_at,
       i.local_day, i.shift, i.verdict, i.label, i.confidence, i.probabilities, i.novelty, i.reason,
       r.verdict AS human_verdict, r.label AS human_label, r.reviewer, strftime('%Y-%m-%d %H:%M:%f', r.reviewed_us / 1000000.0, 'unixepoch') AS reviewed_at,
       m.name AS model, m.version AS model_version, i.settings_id,
       i.wait_ms, i.decode_ms, i.infer_ms, i.total_ms, i.batch_size,
       i.sha256, i.duplicate_of, i.archive_path, i.shift_day,
       CASE WHEN r.verdict IN ('PASS', 'FAIL') THEN r.verdict ELSE i.verdict END AS final_verdict
FROM inspection i
JOIN station s ON s.id = i.station_id
JOIN model m ON m.id = i.model_id
LEFT JOIN review r
  ON r.id = (SELECT max(latest.id) FROM review latest WHERE latest.inspection_id = i.id);

CREATE VIEW v_decision AS
SELECT r.inspection_id, r.verdict, r.label, r.reviewer, strftime('%Y-%m-%d %H:%M:%f', r.reviewed_us / 1000000.0, 'unixepoch') AS reviewed_at
FROM review r
WHERE r.verdict <> 'REVIEW'
  AND NOT EXISTS (
      SELECT 1 FROM review later
      WHERE later.inspection_id = r.inspection_id AND later.id > r.id);

CREATE VIEW v_seam AS
WITH frame AS (
    SELECT i.id, s.name AS station, i.part, i.seam, i.pass_no, i.camera, i.taken_us, i.settings_id,
           i.verdict, coalesce(d.verdict, i.verdict) AS final_verdict,
           row_number() OVER (
               PARTITION BY s.name, i.part, i.seam, i.pass_no, i.camera ORDER BY i.taken_us, i.id
           ) AS place
    FROM inspection i
    JOIN station s ON s.id = i.station_id
    LEFT JOIN v_decision d ON d.inspection_id = i.id
    WHERE i.part IS NOT NULL
      AND (i.duplicate_of IS NULL OR NOT EXISTS (
          SELECT 1 FROM inspection o
          WHERE (o.id = i.duplicate_of OR o.duplicate_of = i.duplicate_of) AND o.id < i.id
            AND o.station_id = i.station_id AND o.part = i.part
            AND coalesce(o.seam, '') = coalesce(i.seam, '') AND o.pass_no = i.pass_no))
),
latest AS (
    SELECT f.*,
           first_value(f.settings_id) OVER (
               PARTITION BY f.station, f.part, f.seam, f.pass_no ORDER BY f.id DESC
           ) AS rule_id
    FROM frame f
),
rule AS (
    SELECT id, coalesce(CAST(content ->> 'seam_k' AS INTEGER), 3) AS seam_k,
           coalesce(CAST(content ->> 'seam_n' AS INTEGER), 5) AS seam_n,
           coalesce(CAST(content ->> 'seam_min_frames' AS INTEGER), 5) AS seam_min_frames
    FROM settings
),
reaching AS (
    SELECT f.*, r.seam_k, r.seam_n, r.seam_min_frames,
           lead(f.place, r.seam_k - 1) OVER (
               PARTITION BY f.station, f.part, f.seam, f.pass_no, f.camera, f.verdict
               ORDER BY f.place
           ) - f.place AS span
    FROM latest f
    JOIN rule r ON r.id = f.rule_id
),
reaching_finally AS (
    SELECT f.*,
           lead(f.place, f.seam_k - 1) OVER (
               PARTITION BY f.station, f.part, f.seam, f.pass_no, f.camera, f.final_verdict
               ORDER BY f.place
           ) - f.place AS final_span
    FROM reaching f
),
counted AS (
    SELECT f.*,
           row_number() OVER (
               PARTITION BY f.station, f.part, f.seam, f.pass_no ORDER BY f.id DESC
           ) AS age,
           count(*) OVER pass AS n,
           count(CASE WHEN f.verdict = 'FAIL' THEN 1 END) OVER pass AS failed,
           count(CASE WHEN f.verdict = 'REVIEW' THEN 1 END) OVER pass AS review,
           count(CASE WHEN f.verdict = 'FAIL' AND f.span < f.seam_n THEN 1 END) OVER pass
               AS stretches,
           count(CASE WHEN f.final_verdict = 'FAIL' THEN 1 END) OVER pass AS final_failed,
           count(CASE WHEN f.final_verdict = 'REVIEW' THEN 1 END) OVER pass AS final_review,
           count(CASE WHEN f.final_verdict = 'FAIL' AND f.final_span < f.seam_n THEN 1 END) OVER pass
               AS final_stretches,
           min(f.taken_us) OVER pass AS first_us,
           max(f.taken_us) OVER pass AS last_us
    FROM reaching_finally f
    WINDOW pass AS (PARTITION BY f.station, f.part, f.seam, f.pass_no)
),
said AS (
    SELECT s.name AS station, i.part, i.seam, i.pass_no, r.inspection_id AS newest_id, r.verdict,
           r.reviewer, r.reviewed_us,
           row_number() OVER (PARTITION BY s.name, i.part, i.seam, i.pass_no ORDER BY r.id DESC)
               AS age
    FROM seam_review r
    JOIN inspection i ON i.id = r.inspection_id
    JOIN station s ON s.id = i.station_id
)
SELECT p.station, p.part, p.seam, p.pass_no, p.n, p.failed, p.review,
       CASE WHEN p.stretches > 0 THEN 'FAIL'
            WHEN p.review > 0 OR p.n < p.seam_min_frames THEN 'REVIEW'
            ELSE 'PASS' END AS verdict,
       p.final_failed, p.final_review,
       CASE WHEN r.verdict = 'FAIL' THEN 'FAIL'
            WHEN r.verdict = 'PASS' AND p.id <= r.newest_id THEN 'PASS'
            WHEN p.final_stretches > 0 THEN 'FAIL'
            WHEN p.final_review > 0 OR p.n < p.seam_min_frames THEN 'REVIEW'
            ELSE 'PASS' END AS final_verdict,
       r.verdict AS human_verdict, r.reviewer, strftime('%Y-%m-%d %H:%M:%f', r.reviewed_us / 1000000.0, 'unixepoch') AS reviewed_at,
       strftime('%Y-%m-%d %H:%M:%f', p.first_us / 1000000.0, 'unixepoch') AS first_at, strftime('%Y-%m-%d %H:%M:%f', p.last_us / 1000000.0, 'unixepoch') AS last_at
FROM counted p
LEFT JOIN said r
  ON r.station = p.station AND r.part = p.part AND coalesce(r.seam, '') = coalesce(p.seam, '')
     AND r.pass_no = p.pass_no AND r.age = 1
WHERE p.age = 1;

CREATE VIEW v_quarantine AS
SELECT q.id, s.name AS station, q.source_name, q.reason, q.detail,
       strftime('%Y-%m-%d %H:%M:%f', q.quarantined_us / 1000000.0, 'unixepoch') AS quarantined_at, q.path, q.sha256, q.shift, q.shift_day
FROM quarantine q JOIN station s ON s.id = q.station_id;

CREATE VIEW v_arrival AS
SELECT a.id, s.name AS station, a.source_name, a.outcome, strftime('%Y-%m-%d %H:%M:%f', a.seen_us / 1000000.0, 'unixepoch') AS seen_at,
       strftime('%Y-%m-%d %H:%M:%f', a.recorded_us / 1000000.0, 'unixepoch') AS recorded_at, a.path, a.inspection_id, a.quarantine_id, a.size_bytes,
       strftime('%Y-%m-%d %H:%M:%f', a.mtime_us / 1000000.0, 'unixepoch') AS modified_at, a.sha256
FROM arrival a JOIN station s ON s.id = a.station_id;

CREATE VIEW v_review AS
SELECT r.id, r.inspection_id, s.name AS station, i.source_name, i.verdict AS station_verdict, i.label,
       r.reviewer, r.verdict AS human_verdict, r.label AS human_label, r.note,
       strftime('%Y-%m-%d %H:%M:%f', r.reviewed_us / 1000000.0, 'unixepoch') AS reviewed_at, r.is_blind
FROM review r JOIN inspection i ON i.id = r.inspection_id JOIN station s ON s.id = i.station_id;

CREATE VIEW v_signal_note AS
SELECT n.id, n.report, n.signal, n.person, n.cause, n.action, strftime('%Y-%m-%d %H:%M:%f', n.noted_us / 1000000.0, 'unixepoch') AS noted_at
FROM signal_note n;

CREATE VIEW v_event AS
SELECT e.id, s.name AS station, strftime('%Y-%m-%d %H:%M:%f', e.at_us / 1000000.0, 'unixepoch') AS at, e.kind, e.detail
FROM event e JOIN station s ON s.id = e.station_id;

CREATE VIEW v_model AS
SELECT m.id, m.name, m.version, strftime('%Y-%m-%d %H:%M:%f', m.first_used_us / 1000000.0, 'unixepoch') AS first_used_at, m.artifact_sha256, m.metadata
FROM model m;

CREATE VIEW v_settings AS
SELECT t.id, strftime('%Y-%m-%d %H:%M:%f', t.first_used_us / 1000000.0, 'unixepoch') AS first_used_at, t.content, t.sha256
FROM settings t;

CREATE VIEW v_audit_sample AS
SELECT a.id, a.inspection_id, s.name AS station, i.source_name, i.archive_path,
       strftime('%Y-%m-%d %H:%M:%f', a.drawn_us / 1000000.0, 'unixepoch') AS drawn_at, a.seed, a.population, r.verdict AS human_verdict,
       r.label AS human_label
FROM audit_sample a
JOIN inspection i ON i.id = a.inspection_id
JOIN station s ON s.id = i.station_id
LEFT JOIN review r
  ON r.id = (SELECT max(latest.id) FROM review latest WHERE latest.inspection_id = i.id);

CREATE VIEW v_rejudgement AS
SELECT r.id, r.inspection_id, s.name AS station, i.source_name, i.verdict AS station_verdict,
       i.label AS station_label, m.name AS model, m.version AS model_version, r.run, r.verdict,
       r.label, r.confidence, r.probabilities, r.novelty, r.reason, strftime('%Y-%m-%d %H:%M:%f', r.judged_us / 1000000.0, 'unixepoch') AS judged_at,
       r.settings_id
FROM rejudgement r
JOIN inspection i ON i.id = r.inspection_id
JOIN station s ON s.id = i.station_id
JOIN model m ON m.id = r.model_id;

CREATE VIEW v_disagreement AS
SELECT r.id, r.inspection_id, s.name AS station, i.source_name, i.camera, i.part, i.seam, i.pass_no,
       strftime('%Y-%m-%d %H:%M:%f', i.inspected_us / 1000000.0, 'unixepoch') AS inspected_at, o.name AS station_model, o.version AS station_model_version,
       i.verdict AS station_verdict, i.label AS station_label, i.confidence AS station_confidence,
       m.name AS model, m.version AS model_version, r.verdict, r.label, r.confidence, r.reason,
       d.verdict AS human_verdict, d.label AS human_label, d.reviewer,
       r.run, strftime('%Y-%m-%d %H:%M:%f', r.judged_us / 1000000.0, 'unixepoch') AS judged_at, i.archive_path
FROM rejudgement r
JOIN inspection i ON i.id = r.inspection_id
JOIN station s ON s.id = i.station_id
JOIN model o ON o.id = i.model_id
JOIN model m ON m.id = r.model_id
LEFT JOIN v_decision d ON d.inspection_id = i.id
WHERE r.verdict <> i.verdict OR (r.verdict = 'FAIL' AND r.label <> i.label);

CREATE TRIGGER arrival_no_update BEFORE UPDATE ON arrival BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER arrival_no_delete BEFORE DELETE ON arrival BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER audit_sample_no_update BEFORE UPDATE ON audit_sample BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER audit_sample_no_delete BEFORE DELETE ON audit_sample BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER event_no_update BEFORE UPDATE ON event BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER event_no_delete BEFORE DELETE ON event BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER forwarded_no_update BEFORE UPDATE ON forwarded BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER forwarded_no_delete BEFORE DELETE ON forwarded BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER hour_batch_no_update BEFORE UPDATE ON hour_batch BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER hour_batch_no_delete BEFORE DELETE ON hour_batch BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER hour_class_no_update BEFORE UPDATE ON hour_class BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER hour_class_no_delete BEFORE DELETE ON hour_class BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER hour_count_no_update BEFORE UPDATE ON hour_count BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER hour_count_no_delete BEFORE DELETE ON hour_count BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER hour_latency_no_update BEFORE UPDATE ON hour_latency BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER hour_latency_no_delete BEFORE DELETE ON hour_latency BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER hour_summary_no_update BEFORE UPDATE ON hour_summary BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER hour_summary_no_delete BEFORE DELETE ON hour_summary BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER hour_work_no_update BEFORE UPDATE ON hour_work BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER hour_work_no_delete BEFORE DELETE ON hour_work BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER inspection_no_update BEFORE UPDATE ON inspection BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER inspection_no_delete BEFORE DELETE ON inspection BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER model_no_update BEFORE UPDATE ON model BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER model_no_delete BEFORE DELETE ON model BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER quarantine_no_update BEFORE UPDATE ON quarantine BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER quarantine_no_delete BEFORE DELETE ON quarantine BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER rejudgement_no_update BEFORE UPDATE ON rejudgement BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER rejudgement_no_delete BEFORE DELETE ON rejudgement BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER review_no_update BEFORE UPDATE ON review BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER review_no_delete BEFORE DELETE ON review BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER seam_review_no_update BEFORE UPDATE ON seam_review BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER seam_review_no_delete BEFORE DELETE ON seam_review BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER settings_no_update BEFORE UPDATE ON settings BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER settings_no_delete BEFORE DELETE ON settings BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER signal_note_no_update BEFORE UPDATE ON signal_note BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER signal_note_no_delete BEFORE DELETE ON signal_note BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER station_no_update BEFORE UPDATE ON station BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER station_no_delete BEFORE DELETE ON station BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER summary_seal_no_update BEFORE UPDATE ON summary_seal BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER summary_seal_no_delete BEFORE DELETE ON summary_seal BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER thumbnail_no_update BEFORE UPDATE ON thumbnail BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER thumbnail_no_delete BEFORE DELETE ON thumbnail BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER thumbnail_request_no_update BEFORE UPDATE ON thumbnail_request BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TRIGGER thumbnail_request_no_delete BEFORE DELETE ON thumbnail_request BEGIN SELECT RAISE(ABORT, 'history is append-only: add a row instead'); END;
CREATE TABLE append_only (no_row INTEGER, CONSTRAINT "history is append-only: add a row instead" CHECK (0));
CREATE TRIGGER arrival_no_replace BEFORE INSERT ON arrival WHEN EXISTS (SELECT 1 FROM arrival WHERE id = NEW.id) OR EXISTS (SELECT 1 FROM arrival WHERE station_id = NEW.station_id AND path = NEW.path AND outcome = NEW.outcome AND recorded_us = NEW.recorded_us) BEGIN INSERT OR IGNORE INTO append_only VALUES (1); END;
CREATE TRIGGER audit_sample_no_replace BEFORE INSERT ON audit_sample WHEN EXISTS (SELECT 1 FROM audit_sample WHERE id = NEW.id) OR EXISTS (SELECT 1 FROM audit_sample WHERE inspection_id = NEW.inspection_id) BEGIN INSERT OR IGNORE INTO append_only VALUES (1); END;
CREATE TRIGGER event_no_replace BEFORE INSERT ON event WHEN EXISTS (SELECT 1 FROM event WHERE id = NEW.id) OR EXISTS (SELECT 1 FROM event WHERE station_id = NEW.station_id AND at_us = NEW.at_us AND origin_row = NEW.origin_row) BEGIN INSERT OR IGNORE INTO append_only VALUES (1); END;
CREATE TRIGGER forwarded_no_replace BEFORE INSERT ON forwarded WHEN EXISTS (SELECT 1 FROM forwarded WHERE id = NEW.id) BEGIN INSERT OR IGNORE INTO append_only VALUES (1); END;
CREATE TRIGGER hour_batch_no_replace BEFORE INSERT ON hour_batch WHEN EXISTS (SELECT 1 FROM hour_batch WHERE id = NEW.id) BEGIN INSERT OR IGNORE INTO append_only VALUES (1); END;
CREATE TRIGGER hour_class_no_replace BEFORE INSERT ON hour_class WHEN EXISTS (SELECT 1 FROM hour_class WHERE id = NEW.id) BEGIN INSERT OR IGNORE INTO append_only VALUES (1); END;
CREATE TRIGGER hour_count_no_replace BEFORE INSERT ON hour_count WHEN EXISTS (SELECT 1 FROM hour_count WHERE id = NEW.id) BEGIN INSERT OR IGNORE INTO append_only VALUES (1); END;
CREATE TRIGGER hour_latency_no_replace BEFORE INSERT ON hour_latency WHEN EXISTS (SELECT 1 FROM hour_latency WHERE id = NEW.id) OR EXISTS (SELECT 1 FROM hour_latency WHERE of_station = NEW.of_station AND hour_us = NEW.hour_us AND n = NEW.n) BEGIN INSERT OR IGNORE INTO append_only VALUES (1); END;
CREATE TRIGGER hour_summary_no_replace BEFORE INSERT ON hour_summary WHEN EXISTS (SELECT 1 FROM hour_summary WHERE id = NEW.id) OR EXISTS (SELECT 1 FROM hour_summary WHERE station_id = NEW.station_id AND hour_us = NEW.hour_us AND n = NEW.n) BEGIN INSERT OR IGNORE INTO append_only VALUES (1); END;
CREATE TRIGGER hour_work_no_replace BEFORE INSERT ON hour_work WHEN EXISTS (SELECT 1 FROM hour_work WHERE id = NEW.id) OR EXISTS (SELECT 1 FROM hour_work WHERE station_id = NEW.station_id AND hour_us = NEW.hour_us AND n = NEW.n) BEGIN INSERT OR IGNORE INTO append_only VALUES (1); END;
CREATE TRIGGER inspection_no_replace BEFORE INSERT ON inspection WHEN EXISTS (SELECT 1 FROM inspection WHERE id = NEW.id) OR EXISTS (SELECT 1 FROM inspection WHERE station_id = NEW.station_id AND source_name = NEW.source_name AND sha256 = NEW.sha256) BEGIN INSERT OR IGNORE INTO append_only VALUES (1); END;
CREATE TRIGGER model_no_replace BEFORE INSERT ON model WHEN EXISTS (SELECT 1 FROM model WHERE id = NEW.id) OR EXISTS (SELECT 1 FROM model WHERE artifact_sha256 = NEW.artifact_sha256) BEGIN INSERT OR IGNORE INTO append_only VALUES (1); END;
CREATE TRIGGER quarantine_no_replace BEFORE INSERT ON quarantine WHEN EXISTS (SELECT 1 FROM quarantine WHERE id = NEW.id) OR EXISTS (SELECT 1 FROM quarantine WHERE station_id = NEW.station_id AND path = NEW.path AND quarantined_us = NEW.quarantined_us) BEGIN INSERT OR IGNORE INTO append_only VALUES (1); END;
CREATE TRIGGER rejudgement_no_replace BEFORE INSERT ON rejudgement WHEN EXISTS (SELECT 1 FROM rejudgement WHERE id = NEW.id) OR EXISTS (SELECT 1 FROM rejudgement WHERE inspection_id = NEW.inspection_id AND model_id = NEW.model_id) BEGIN INSERT OR IGNORE INTO append_only VALUES (1); END;
CREATE TRIGGER review_no_replace BEFORE INSERT ON review WHEN EXISTS (SELECT 1 FROM review WHERE id = NEW.id) OR EXISTS (SELECT 1 FROM review WHERE request_key = NEW.request_key) BEGIN INSERT OR IGNORE INTO append_only VALUES (1); END;
CREATE TRIGGER seam_review_no_replace BEFORE INSERT ON seam_review WHEN EXISTS (SELECT 1 FROM seam_review WHERE id = NEW.id) OR EXISTS (SELECT 1 FROM seam_review WHERE request_key = NEW.request_key) BEGIN INSERT OR IGNORE INTO append_only VALUES (1); END;
CREATE TRIGGER settings_no_replace BEFORE INSERT ON settings WHEN EXISTS (SELECT 1 FROM settings WHERE id = NEW.id) OR EXISTS (SELECT 1 FROM settings WHERE sha256 = NEW.sha256) BEGIN INSERT OR IGNORE INTO append_only VALUES (1); END;
CREATE TRIGGER signal_note_no_replace BEFORE INSERT ON signal_note WHEN EXISTS (SELECT 1 FROM signal_note WHERE id = NEW.id) OR EXISTS (SELECT 1 FROM signal_note WHERE request_key = NEW.request_key) BEGIN INSERT OR IGNORE INTO append_only VALUES (1); END;
CREATE TRIGGER station_no_replace BEFORE INSERT ON station WHEN EXISTS (SELECT 1 FROM station WHERE id = NEW.id) OR EXISTS (SELECT 1 FROM station WHERE name = NEW.name) BEGIN INSERT OR IGNORE INTO append_only VALUES (1); END;
CREATE TRIGGER summary_seal_no_replace BEFORE INSERT ON summary_seal WHEN EXISTS (SELECT 1 FROM summary_seal WHERE id = NEW.id) OR EXISTS (SELECT 1 FROM summary_seal WHERE inspection_id = NEW.inspection_id AND until_us = NEW.until_us) BEGIN INSERT OR IGNORE INTO append_only VALUES (1); END;
CREATE TRIGGER thumbnail_no_replace BEFORE INSERT ON thumbnail WHEN EXISTS (SELECT 1 FROM thumbnail WHERE id = NEW.id) OR EXISTS (SELECT 1 FROM thumbnail WHERE inspection_id = NEW.inspection_id) BEGIN INSERT OR IGNORE INTO append_only VALUES (1); END;
CREATE TRIGGER thumbnail_request_no_replace BEFORE INSERT ON thumbnail_request WHEN EXISTS (SELECT 1 FROM thumbnail_request WHERE id = NEW.id) OR EXISTS (SELECT 1 FROM thumbnail_request WHERE inspection_id = NEW.inspection_id) BEGIN INSERT OR IGNORE INTO append_only VALUES (1); END;
