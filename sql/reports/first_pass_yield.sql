-- Which share of the images passes the first time, by day, shift or station?
--
-- day               local day on which the file was seen; empty if the rows are not by day
-- shift             the settings' name of the shift, for all days together; empty if the rows are not by
--                   shift, and for errors of an earlier version whose shift is not known
-- station           the camera PC; empty if the rows are not by station
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
-- clock in UTC epoch microseconds; station and part, each '' for all; by, one of 'day', 'shift', 'station';
-- verdicts, 'final' or 'station'.
WITH first AS (
    SELECT i.station_id, i.local_day, i.shift, coalesce(d.verdict, i.verdict) AS verdict
    FROM inspection i
    LEFT JOIN v_decision d ON d.inspection_id = i.id AND :verdicts = 'final'
    WHERE i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:part = '' OR i.part = :part)
      AND coalesce(i.pass_no, 1) = 1
      AND i.duplicate_of IS NULL
    UNION ALL
    -- A file is moved to <local day>/<reason>/..., so its path begins with its day.
    SELECT
        q.station_id,
        substr(q.path, 1, 10),
        q.shift,
        'error'
    FROM quarantine q
    WHERE q.quarantined_us >= :since_us AND q.quarantined_us < :until_us
      AND :part = ''
      AND NOT EXISTS (SELECT 1 FROM arrival a WHERE a.quarantine_id = q.id AND a.outcome = 'requeued')
),
keyed AS (
    SELECT
        CASE WHEN :by = 'day' THEN f.local_day END AS day,
        CASE WHEN :by = 'shift' THEN f.shift END AS shift,
        CASE WHEN :by = 'station' THEN s.name END AS station,
        f.verdict
    FROM first f
    JOIN station s ON s.id = f.station_id
    WHERE :station = '' OR s.name = :station
)
SELECT
    day,
    shift,
    station,
    count(*) AS n,
    count(CASE WHEN verdict = 'PASS' THEN 1 END) AS passed,
    count(CASE WHEN verdict = 'FAIL' THEN 1 END) AS failed,
    count(CASE WHEN verdict = 'REVIEW' THEN 1 END) AS review,
    count(CASE WHEN verdict = 'error' THEN 1 END) AS errors,
    CAST(count(CASE WHEN verdict = 'PASS' THEN 1 END) AS DOUBLE PRECISION)
        / CASE WHEN count(CASE WHEN verdict <> 'error' THEN 1 END) > 0 THEN count(*) END AS first_pass_share
FROM keyed
GROUP BY day, shift, station
ORDER BY day, shift IS NULL, shift, station;
