-- Which parts fail most?
--
-- part          from the file name by name_pattern; empty if the name has none
-- n             images judged of all seams and passes, the denominator of the shares
-- passed        of n, verdict PASS
-- failed        of n, verdict FAIL
-- review        of n, verdict REVIEW: a person must decide
-- pass_share    passed / n, 0 to 1; REVIEW counts in the denominator
-- fail_share    failed / n
-- review_share  review / n
-- seams         number of its seams; images without a seam's name count as one more
-- passes        largest number of times that one of its seams was welded
-- first_us      time of the first judgement, UTC epoch microseconds
-- last_us       time of the last one
--
-- Counts final verdicts: the latest verdict of a person if it is PASS or FAIL, else the station's. With
-- --verdicts station it counts the station's alone. The part with the most FAIL images comes first.
--
-- Parameters, all required: since_us (inclusive) and until_us (exclusive), the time of judgement by the station's
-- clock in UTC epoch microseconds; station and part, each '' for all; verdicts, 'final' or
-- 'station'.
WITH judged AS (
    SELECT
        i.part,
        i.seam,
        i.pass_no,
        i.inspected_us,
        coalesce(d.verdict, i.verdict) AS verdict
    FROM inspection i
    JOIN station s ON s.id = i.station_id
    LEFT JOIN v_decision d ON d.inspection_id = i.id AND :verdicts = 'final'
    WHERE i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:station = '' OR s.name = :station)
      AND (:part = '' OR i.part = :part)
)
SELECT
    part,
    count(*) AS n,
    count(CASE WHEN verdict = 'PASS' THEN 1 END) AS passed,
    count(CASE WHEN verdict = 'FAIL' THEN 1 END) AS failed,
    count(CASE WHEN verdict = 'REVIEW' THEN 1 END) AS review,
    CAST(count(CASE WHEN verdict = 'PASS' THEN 1 END) AS DOUBLE PRECISION) / count(*) AS pass_share,
    CAST(count(CASE WHEN verdict = 'FAIL' THEN 1 END) AS DOUBLE PRECISION) / count(*) AS fail_share,
    CAST(count(CASE WHEN verdict = 'REVIEW' THEN 1 END) AS DOUBLE PRECISION) / count(*) AS review_share,
    count(DISTINCT seam) + max(CASE WHEN seam IS NULL THEN 1 ELSE 0 END) AS seams,
    max(pass_no) AS passes,
    min(inspected_us) AS first_us,
    max(inspected_us) AS last_us
FROM judged
GROUP BY part
ORDER BY failed DESC, fail_share DESC, n DESC, part IS NULL, part;
