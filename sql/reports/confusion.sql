-- How do people's verdicts compare with the station's?
--
-- verdict        the station's: PASS, FAIL or REVIEW
-- label          the station's class
-- human_verdict  the latest verdict of a person; REVIEW if the person could not decide
-- human_label    the class that the person named, if any
-- n              images
-- of_n           reviewed images in all, the denominator of share
-- share          n / of_n, 0 to 1
-- sampled        of n, images of a random audit sample
--
-- Parameters, all required: since_us (inclusive) and until_us (exclusive), the time of judgement by the station's
-- clock in UTC epoch microseconds; station (or a site, for all stations below it) and part, each '' for all.
WITH latest AS (
    SELECT inspection_id, max(id) AS review_id FROM review GROUP BY inspection_id
),
decided AS (
    SELECT i.verdict, i.label, r.verdict AS human_verdict, r.label AS human_label, a.inspection_id AS sampled
    FROM latest l
    JOIN review r ON r.id = l.review_id
    JOIN inspection i ON i.id = l.inspection_id
    JOIN station s ON s.id = i.station_id
    LEFT JOIN audit_sample a ON a.inspection_id = i.id
    WHERE i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
      AND (:part = '' OR i.part = :part)
)
SELECT
    verdict,
    label,
    human_verdict,
    human_label,
    count(*) AS n,
    (SELECT count(*) FROM decided) AS of_n,
    CAST(count(*) AS DOUBLE PRECISION) / (SELECT count(*) FROM decided) AS share,
    count(sampled) AS sampled
FROM decided
GROUP BY verdict, label, human_verdict, human_label
ORDER BY n DESC, verdict, label, human_verdict, coalesce(human_label, '');
