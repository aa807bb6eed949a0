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
-- clock in UTC epoch microseconds; station and part, each '' for all; verdicts, 'final' or
-- 'station'.
WITH counted AS (
    SELECT
        i.station_id,
        i.camera,
        count(*) AS n,
        count(CASE WHEN coalesce(d.verdict, i.verdict) = 'PASS' THEN 1 END) AS passed,
        count(CASE WHEN coalesce(d.verdict, i.verdict) = 'FAIL' THEN 1 END) AS failed,
        count(CASE WHEN coalesce(d.verdict, i.verdict) = 'REVIEW' THEN 1 END) AS review,
        count(CASE WHEN i.verdict = 'REVIEW' AND i.reason NOT IN ('uncertain', 'novel', 'not_finite')
            THEN 1 END) AS no_weld,
        min(i.inspected_us) AS first_us,
        max(i.inspected_us) AS last_us
    FROM inspection i
    LEFT JOIN v_decision d ON d.inspection_id = i.id AND :verdicts = 'final'
    WHERE i.inspected_us >= :since_us AND i.inspected_us < :until_us AND (:part = '' OR i.part = :part)
    GROUP BY i.station_id, i.camera
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
WHERE :station = '' OR s.name = :station
ORDER BY s.name, c.camera IS NULL, c.camera;
