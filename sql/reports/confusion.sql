-- What did people say of what the station said?
--
-- verdict        the station's: PASS, FAIL or REVIEW
-- label          the station's class
-- human_verdict  the latest one of a person; REVIEW where they could not tell
-- human_label    the class that the person named, if any
-- n              images
-- of_n           reviewed images in all: what share counts from
-- share          n / of_n, 0 to 1
-- sampled        of n, images of a random audit sample
--
-- Parameters, always bound: since_us (inclusive) and until_us (exclusive) on the station's own clock at
-- judgement, UTC epoch microseconds; station and part, each '' for all.
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
      AND (:station = '' OR s.name = :station)
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
