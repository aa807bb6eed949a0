-- Which parts fail most?
--
-- part          from the file's name by name_pattern; empty for images whose name tells none
-- n             images judged, of all seams and passes: what the shares count from
-- passed        of n, verdict PASS
-- failed        of n, verdict FAIL
-- review        of n, verdict REVIEW: for a person to decide
-- pass_share    passed / n, 0 to 1; REVIEW stays in the denominator
-- fail_share    failed / n
-- review_share  review / n
-- seams         its seams, by name; an image without a seam's name counts as one more
-- passes        the most often that one seam was welded
-- first_us      the earliest judgement, UTC epoch microseconds
-- last_us       the latest one
--
-- It counts the station's verdicts, human verdicts apart. The part with the most FAIL images stands first.
--
-- Parameters, always bound: since_us (inclusive) and until_us (exclusive) on the station's own clock at
-- judgement, UTC epoch microseconds; station and part, each '' for all.
SELECT
    i.part,
    count(*) AS n,
    count(CASE WHEN i.verdict = 'PASS' THEN 1 END) AS passed,
    count(CASE WHEN i.verdict = 'FAIL' THEN 1 END) AS failed,
    count(CASE WHEN i.verdict = 'REVIEW' THEN 1 END) AS review,
    CAST(count(CASE WHEN i.verdict = 'PASS' THEN 1 END) AS DOUBLE PRECISION) / count(*) AS pass_share,
    CAST(count(CASE WHEN i.verdict = 'FAIL' THEN 1 END) AS DOUBLE PRECISION) / count(*) AS fail_share,
    CAST(count(CASE WHEN i.verdict = 'REVIEW' THEN 1 END) AS DOUBLE PRECISION) / count(*) AS review_share,
    count(DISTINCT i.seam) + max(CASE WHEN i.seam IS NULL THEN 1 ELSE 0 END) AS seams,
    max(i.pass_no) AS passes,
    min(i.inspected_us) AS first_us,
    max(i.inspected_us) AS last_us
FROM inspection i
JOIN station s ON s.id = i.station_id
WHERE i.inspected_us >= :since_us AND i.inspected_us < :until_us
  AND (:station = '' OR s.name = :station)
  AND (:part = '' OR i.part = :part)
GROUP BY i.part
ORDER BY failed DESC, fail_share DESC, n DESC, i.part IS NULL, i.part;
