-- What did each artifact judge, when, and what did reviews find?
--
-- model           the artifact's name
-- version         its version
-- artifact        first 12 digits of the artifact file's SHA-256: two files may share name and version
-- stations        stations that judged with it
-- first_us        its first judgement in the period, UTC epoch microseconds
-- last_us         its last one
-- n               images judged; the shares below are of these
-- pass_share      verdict PASS / n, 0 to 1
-- fail_share      verdict FAIL / n
-- review_share    verdict REVIEW / n
-- reviewed        of n, images with a human PASS or FAIL (the latest verdict counts)
-- audited         of reviewed, PASS images of a random audit sample
-- escapes         of audited, images that the person failed
-- escape_share    escapes / audited; empty if none was audited
-- fails_reviewed  of reviewed, images that the station had failed
-- overkills       of fails_reviewed, images that the person passed
-- overkill_share  overkills / fails_reviewed; empty if none was reviewed
--
-- Parameters, all required: since_us (inclusive) and until_us (exclusive), the time of judgement by the station's
-- clock in UTC epoch microseconds; station (or a site, for all stations below it) and part, each '' for all.
WITH seal AS MATERIALIZED (
    SELECT inspection_id, until_us FROM summary_seal ORDER BY inspection_id DESC, until_us DESC LIMIT 1
),
-- The images of these times are counted: those after the seal, and the hours in which the period begins or ends, or a
-- later image is. Without a seal it is the whole period.
unsealed AS MATERIALIZED (
    SELECT
        id AS station_id,
        coalesce((SELECT until_us FROM seal), :since_us) AS from_us,
        CAST(:until_us AS BIGINT) AS to_us
    FROM station
    UNION
    SELECT
        a.station_id,
        a.at_us - ((a.at_us % 3600000000) + 3600000000) % 3600000000,
        a.at_us - ((a.at_us % 3600000000) + 3600000000) % 3600000000 + 3600000000
    FROM (
        SELECT station_id, inspected_us AS at_us
        FROM inspection
        WHERE id > (SELECT inspection_id FROM seal) AND id <= (SELECT max(id) FROM inspection)
        UNION ALL SELECT id, :since_us FROM station
        UNION ALL SELECT id, :until_us FROM station
    ) a
    WHERE a.at_us < (SELECT until_us FROM seal)
),
hours AS MATERIALIZED (
    SELECT
        i.station_id,
        i.inspected_us - ((i.inspected_us % 3600000000) + 3600000000) % 3600000000 AS hour_us,
        count(*) AS n
    FROM unsealed u
    JOIN station s ON s.id = u.station_id
    CROSS JOIN inspection i
    WHERE i.station_id = s.id
      AND i.inspected_us >= u.from_us AND i.inspected_us < u.to_us
      AND i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
    GROUP BY 1, 2
),
-- An hour within the period is not read again if its row in hour_summary has as many images: images are only ever
-- added. Of a sealed hour the row of the most images has them all.
checked AS MATERIALIZED (
    SELECT h.station_id, h.hour_us, y.id AS summary_id
    FROM hours h
    LEFT JOIN hour_summary y
        ON y.station_id = h.station_id AND y.hour_us = h.hour_us AND y.n = h.n
        AND h.hour_us >= :since_us AND h.hour_us + 3600000000 <= :until_us
),
known AS MATERIALIZED (
    SELECT station_id, hour_us, summary_id FROM checked WHERE summary_id IS NOT NULL
    UNION ALL
    SELECT y.station_id, y.hour_us, y.id
    FROM hour_summary y
    JOIN station s ON s.id = y.station_id
    LEFT JOIN unsealed u ON u.station_id = y.station_id AND u.from_us = y.hour_us
    LEFT JOIN hour_summary o ON o.station_id = y.station_id AND o.hour_us = y.hour_us AND o.n > y.n
    WHERE y.hour_us >= :since_us AND y.hour_us < :until_us AND y.hour_us < (SELECT until_us FROM seal)
      AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
      AND u.station_id IS NULL
      AND o.id IS NULL
),
images AS (
    SELECT k.station_id, c.model_id, c.verdict, c.n, c.first_us, c.last_us
    FROM known k
    JOIN hour_count c ON c.summary_id = k.summary_id
    WHERE :part = '' OR c.part = :part
    UNION ALL
    SELECT i.station_id, i.model_id, i.verdict, 1, i.inspected_us, i.inspected_us
    FROM checked k
    CROSS JOIN inspection i
    WHERE k.summary_id IS NULL
      AND i.station_id = k.station_id
      AND i.inspected_us >= k.hour_us AND i.inspected_us < k.hour_us + 3600000000
      AND i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:part = '' OR i.part = :part)
),
judged AS (
    SELECT
        model_id,
        count(DISTINCT station_id) AS stations,
        min(first_us) AS first_us,
        max(last_us) AS last_us,
        CAST(sum(n) AS BIGINT) AS n,
        CAST(sum(CASE WHEN verdict = 'PASS' THEN n ELSE 0 END) AS BIGINT) AS passed,
        CAST(sum(CASE WHEN verdict = 'FAIL' THEN n ELSE 0 END) AS BIGINT) AS failed,
        CAST(sum(CASE WHEN verdict = 'REVIEW' THEN n ELSE 0 END) AS BIGINT) AS review
    FROM images
    GROUP BY model_id
),
latest AS (
    SELECT inspection_id, max(id) AS review_id FROM review GROUP BY inspection_id
),
fared AS (
    SELECT
        i.model_id,
        count(*) AS reviewed,
        count(CASE WHEN i.verdict = 'PASS' THEN a.inspection_id END) AS audited,
        count(CASE WHEN i.verdict = 'PASS' AND r.verdict = 'FAIL' THEN a.inspection_id END) AS escapes,
        count(CASE WHEN i.verdict = 'FAIL' THEN 1 END) AS fails_reviewed,
        count(CASE WHEN i.verdict = 'FAIL' AND r.verdict = 'PASS' THEN 1 END) AS overkills
    FROM latest l
    JOIN review r ON r.id = l.review_id
    JOIN inspection i ON i.id = l.inspection_id
    JOIN station s ON s.id = i.station_id
    LEFT JOIN audit_sample a ON a.inspection_id = i.id
    WHERE r.verdict <> 'REVIEW'
      AND i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
      AND (:part = '' OR i.part = :part)
    GROUP BY i.model_id
)
SELECT
    m.name AS model,
    m.version,
    substr(m.artifact_sha256, 1, 12) AS artifact,
    j.stations,
    j.first_us,
    j.last_us,
    j.n,
    CAST(j.passed AS DOUBLE PRECISION) / j.n AS pass_share,
    CAST(j.failed AS DOUBLE PRECISION) / j.n AS fail_share,
    CAST(j.review AS DOUBLE PRECISION) / j.n AS review_share,
    coalesce(f.reviewed, 0) AS reviewed,
    coalesce(f.audited, 0) AS audited,
    coalesce(f.escapes, 0) AS escapes,
    CAST(f.escapes AS DOUBLE PRECISION) / NULLIF(f.audited, 0) AS escape_share,
    coalesce(f.fails_reviewed, 0) AS fails_reviewed,
    coalesce(f.overkills, 0) AS overkills,
    CAST(f.overkills AS DOUBLE PRECISION) / NULLIF(f.fails_reviewed, 0) AS overkill_share
FROM judged j
JOIN model m ON m.id = j.model_id
LEFT JOIN fared f ON f.model_id = j.model_id
ORDER BY j.first_us, m.id;
