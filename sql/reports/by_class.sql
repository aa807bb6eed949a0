-- Which classes did the model see, how often, and with what verdict?
--
-- class           the class that decided: of a FAIL a defect, of a PASS an accepted class, of a REVIEW the most
--                 probable one
-- n               images of this class
-- of_n            images judged in all, the denominator of share
-- share           n / of_n, 0 to 1
-- passed          of n, verdict PASS
-- failed          of n, verdict FAIL
-- review          of n, verdict REVIEW
-- confidence_p50  median probability of the class over its n images, 0 to 1 (nearest rank)
-- confidence_min  its lowest probability
--
-- Counts the station's verdicts, because the question is about the model.
--
-- Parameters, all required: since_us (inclusive) and until_us (exclusive), the time of judgement by the station's
-- clock in UTC epoch microseconds; station and part, each '' for all.
WITH ranked AS (
    SELECT
        i.label,
        i.verdict,
        i.confidence,
        row_number() OVER (PARTITION BY i.label ORDER BY i.confidence) AS place,
        count(*) OVER (PARTITION BY i.label) AS n,
        count(*) OVER () AS of_n
    FROM inspection i
    JOIN station s ON s.id = i.station_id
    WHERE i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:station = '' OR s.name = :station)
      AND (:part = '' OR i.part = :part)
)
SELECT
    label AS class,
    n,
    of_n,
    CAST(n AS DOUBLE PRECISION) / of_n AS share,
    count(CASE WHEN verdict = 'PASS' THEN 1 END) AS passed,
    count(CASE WHEN verdict = 'FAIL' THEN 1 END) AS failed,
    count(CASE WHEN verdict = 'REVIEW' THEN 1 END) AS review,
    min(CASE WHEN place * 2 >= n THEN confidence END) AS confidence_p50,
    min(confidence) AS confidence_min
FROM ranked
GROUP BY label, n, of_n
ORDER BY n DESC, label;
