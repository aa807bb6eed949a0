-- Which share of the images passes the first time, by day, shift, station or site?
--
-- day               local day on which the file was seen; empty if the rows are not by day
-- shift             the settings' name of the shift, for all days together; empty if the rows are not by
--                   shift, and for errors of an earlier version whose shift is not known
-- station           the camera PC; with --by site its site, which is the name without its last part: north of
--                   north/cell-1, a/b of a/b/c. A station without a site is one of its own. Empty if the rows are by
--                   neither
-- n                 passed + failed + review + errors, the denominator of first_pass_share
-- passed            images of a first pass, verdict PASS
-- failed            the same, verdict FAIL
-- review            the same, verdict REVIEW: no person has decided yet
-- errors            files that could not be inspected. Files that were put back into the drop folder since then are left
--                   out, because they are inspected again. With --part none are counted, because the part of such
--                   a file is not known
-- first_pass_share  passed / n, 0 to 1; empty if no image was judged
--
-- Only the first pass of a part and seam counts. Images of a later pass (a repair) are left out, and so are images
-- whose bytes this station had judged before under another name. An image whose name has no part counts as a first
-- pass. Counts final verdicts: the latest verdict of a person if it is PASS or FAIL, else the station's. With
-- --verdicts station it counts the station's alone.
--
-- Parameters, all required: since_us (inclusive) and until_us (exclusive), the time of judgement by the station's
-- clock in UTC epoch microseconds; station (or a site, for all stations below it) and part, each '' for all; by, one
-- of 'day', 'shift', 'station', 'site'; verdicts, 'final' or 'station'.
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
first AS (
    SELECT station_id, local_day, shift, verdict, n
    FROM images
    WHERE coalesce(pass_no, 1) = 1 AND NOT is_duplicate
    UNION ALL
    -- A file is moved to <local day>/<reason>/..., so its path begins with its day.
    SELECT
        q.station_id,
        substr(q.path, 1, 10),
        q.shift,
        'error',
        1
    FROM quarantine q
    WHERE q.quarantined_us >= :since_us AND q.quarantined_us < :until_us
      AND :part = ''
      AND NOT EXISTS (SELECT 1 FROM arrival a WHERE a.quarantine_id = q.id AND a.outcome = 'requeued')
),
keyed AS (
    SELECT
        CASE WHEN :by = 'day' THEN f.local_day END AS day,
        CASE WHEN :by = 'shift' THEN f.shift END AS shift,
        CASE
            WHEN :by = 'station' THEN s.name
            -- Without the last name and its slash; nothing is left of a name without a slash.
            WHEN :by = 'site' THEN
                coalesce(NULLIF(rtrim(rtrim(s.name, replace(s.name, '/', '')), '/'), ''), s.name)
        END AS station,
        CAST(sum(f.n) AS BIGINT) AS n,
        CAST(sum(CASE WHEN f.verdict = 'PASS' THEN f.n ELSE 0 END) AS BIGINT) AS passed,
        CAST(sum(CASE WHEN f.verdict = 'FAIL' THEN f.n ELSE 0 END) AS BIGINT) AS failed,
        CAST(sum(CASE WHEN f.verdict = 'REVIEW' THEN f.n ELSE 0 END) AS BIGINT) AS review,
        CAST(sum(CASE WHEN f.verdict = 'error' THEN f.n ELSE 0 END) AS BIGINT) AS errors
    FROM first f
    JOIN station s ON s.id = f.station_id
    WHERE :station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0')
    GROUP BY 1, 2, 3
)
SELECT
    day,
    shift,
    station,
    n,
    passed,
    failed,
    review,
    errors,
    CAST(passed AS DOUBLE PRECISION) / CASE WHEN n > errors THEN n END AS first_pass_share
FROM keyed
ORDER BY day, shift IS NULL, shift, station;
