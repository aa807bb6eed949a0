-- How many images did each station inspect, and with what verdicts?
--
-- station       the camera PC
-- n             images judged; the shares below are of these
-- passed        verdict PASS
-- failed        verdict FAIL
-- review        verdict REVIEW, such as uncertain, blank, saturated or novel: a person must decide
-- pass_share    passed / n, 0 to 1; REVIEW counts in the denominator
-- fail_share    failed / n
-- review_share  review / n
-- repeated      of n, images whose bytes this station had judged before under another name
-- quarantined   files that could not be inspected, not part of n; empty with --part, because the part of such a
--               file is not known
-- first_us      time of the first judgement or quarantine, UTC epoch microseconds
-- last_us       time of the last one
--
-- Counts final verdicts: the latest verdict of a person if it is PASS or FAIL, else the station's. With
-- --verdicts station it counts the station's alone.
--
-- Parameters, all required: since_us (inclusive) and until_us (exclusive), the time of judgement by the station's
-- clock in UTC epoch microseconds; station and part, each '' for all; verdicts, 'final' or
-- 'station'.
WITH ended AS (
    SELECT i.station_id, coalesce(d.verdict, i.verdict) AS verdict, i.duplicate_of, i.inspected_us AS at_us
    FROM inspection i
    LEFT JOIN v_decision d ON d.inspection_id = i.id AND :verdicts = 'final'
    WHERE i.inspected_us >= :since_us AND i.inspected_us < :until_us AND (:part = '' OR i.part = :part)
    UNION ALL
    SELECT station_id, 'quarantined', NULL, quarantined_us
    FROM quarantine
    WHERE quarantined_us >= :since_us AND quarantined_us < :until_us AND :part = ''
),
counted AS (
    SELECT
        station_id,
        count(CASE WHEN verdict <> 'quarantined' THEN 1 END) AS n,
        count(CASE WHEN verdict = 'PASS' THEN 1 END) AS passed,
        count(CASE WHEN verdict = 'FAIL' THEN 1 END) AS failed,
        count(CASE WHEN verdict = 'REVIEW' THEN 1 END) AS review,
        count(duplicate_of) AS repeated,
        count(CASE WHEN verdict = 'quarantined' THEN 1 END) AS quarantined,
        min(at_us) AS first_us,
        max(at_us) AS last_us
    FROM ended
    GROUP BY station_id
)
SELECT
    s.name AS station,
    c.n,
    c.passed,
    c.failed,
    c.review,
    CAST(c.passed AS DOUBLE PRECISION) / NULLIF(c.n, 0) AS pass_share,
    CAST(c.failed AS DOUBLE PRECISION) / NULLIF(c.n, 0) AS fail_share,
    CAST(c.review AS DOUBLE PRECISION) / NULLIF(c.n, 0) AS review_share,
    c.repeated,
    CASE WHEN :part = '' THEN c.quarantined END AS quarantined,
    c.first_us,
    c.last_us
FROM counted c
JOIN station s ON s.id = c.station_id
WHERE :station = '' OR s.name = :station
ORDER BY s.name;
