-- Does one camera see more defects, or take worse pictures, than the others?
--
-- station        the camera PC
-- camera         from the file name by name_pattern; empty if the name has none
-- n              images judged, the denominator of the shares
-- passed         of n, verdict PASS
-- failed         of n, verdict FAIL
-- review         of n, verdict REVIEW: a person must decide
-- no_weld        of n, images to which the station gave REVIEW because they show no weld (such as blank or saturated),
--                whatever a person said: more likely a fault of the camera or its light than of the weld
-- pass_share     passed / n, 0 to 1; REVIEW counts in the denominator
-- fail_share     failed / n
-- review_share   review / n
-- no_weld_share  no_weld / n
-- first_us       time of the first judgement, UTC epoch microseconds
-- last_us        time of the last one
--
-- Counts final verdicts: the latest verdict of a person if it is PASS or FAIL, else the station's. With
-- --verdicts station it counts the station's alone.
--
-- Parameters, all required: since_us (inclusive) and until_us (exclusive), the time of judgement by the station's
-- clock in UTC epoch microseconds; station (or a site, for all stations below it) and part, each '' for all;
-- verdicts, 'final' or 'station'.
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
-- n sums up to numbers of images. One that a person decided otherwise counts -1 for the station and 1 for the person.
images AS (
    SELECT
        k.station_id, c.camera, c.part, c.seam, c.pass_no, c.local_day, c.shift, c.shift_day, c.verdict, c.reason,
        c.is_duplicate, c.seen_hour_us, c.n, c.first_us, c.last_us, c.first_seen_us
    FROM known k
    JOIN hour_count c ON c.summary_id = k.summary_id
    WHERE :part = '' OR c.part = :part
    UNION ALL
    SELECT
        i.station_id, i.camera, i.part, i.seam, i.pass_no, i.local_day, i.shift, i.shift_day, i.verdict, i.reason,
        i.duplicate_of IS NOT NULL, i.seen_us - ((i.seen_us % 3600000000) + 3600000000) % 3600000000, 1,
        i.inspected_us, i.inspected_us, i.seen_us
    FROM checked k
    CROSS JOIN inspection i
    WHERE k.summary_id IS NULL
      AND i.station_id = k.station_id
      AND i.inspected_us >= k.hour_us AND i.inspected_us < k.hour_us + 3600000000
      AND i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:part = '' OR i.part = :part)
    UNION ALL
    SELECT
        i.station_id, i.camera, i.part, i.seam, i.pass_no, i.local_day, i.shift, i.shift_day,
        CASE x.n WHEN 1 THEN d.verdict ELSE i.verdict END, NULL, i.duplicate_of IS NOT NULL,
        i.seen_us - ((i.seen_us % 3600000000) + 3600000000) % 3600000000, x.n, i.inspected_us, i.inspected_us, i.seen_us
    FROM v_decision d
    JOIN inspection i ON i.id = d.inspection_id
    JOIN station s ON s.id = i.station_id
    CROSS JOIN (SELECT 1 AS n UNION ALL SELECT -1) x
    WHERE :verdicts = 'final'
      AND d.verdict <> i.verdict
      AND i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
      AND (:part = '' OR i.part = :part)
),
counted AS (
    SELECT
        station_id,
        camera,
        CAST(sum(n) AS BIGINT) AS n,
        CAST(sum(CASE WHEN verdict = 'PASS' THEN n ELSE 0 END) AS BIGINT) AS passed,
        CAST(sum(CASE WHEN verdict = 'FAIL' THEN n ELSE 0 END) AS BIGINT) AS failed,
        CAST(sum(CASE WHEN verdict = 'REVIEW' THEN n ELSE 0 END) AS BIGINT) AS review,
        CAST(sum(CASE WHEN reason NOT IN ('uncertain', 'novel', 'not_finite') THEN n ELSE 0 END) AS BIGINT) AS no_weld,
        min(first_us) AS first_us,
        max(last_us) AS last_us
    FROM images
    GROUP BY station_id, camera
)
SELECT
    s.name AS station,
    c.camera,
    c.n,
    c.passed,
    c.failed,
    c.review,
    c.no_weld,
    CAST(c.passed AS DOUBLE PRECISION) / c.n AS pass_share,
    CAST(c.failed AS DOUBLE PRECISION) / c.n AS fail_share,
    CAST(c.review AS DOUBLE PRECISION) / c.n AS review_share,
    CAST(c.no_weld AS DOUBLE PRECISION) / c.n AS no_weld_share,
    c.first_us,
    c.last_us
FROM counted c
JOIN station s ON s.id = c.station_id
ORDER BY s.name, c.camera IS NULL, c.camera;
