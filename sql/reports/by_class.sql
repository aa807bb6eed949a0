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
-- confidence_p50  median probability of the class over its images, 0 to 1 (nearest rank). Of more than
--                 50,000 images, about 50,000 that are spread evenly over them count
-- confidence_min  its lowest probability
--
-- Counts the station's verdicts, because the question is about the model.
--
-- Parameters, all required: since_us (inclusive) and until_us (exclusive), the time of judgement by the station's
-- clock in UTC epoch microseconds; station and part, each '' for all.
WITH counted AS (
    SELECT
        i.label,
        count(*) AS n,
        count(CASE WHEN i.verdict = 'PASS' THEN 1 END) AS passed,
        count(CASE WHEN i.verdict = 'FAIL' THEN 1 END) AS failed,
        count(CASE WHEN i.verdict = 'REVIEW' THEN 1 END) AS review,
        min(i.confidence) AS confidence_min
    FROM inspection i
    JOIN station s ON s.id = i.station_id
    WHERE i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:station = '' OR s.name = :station)
      AND (:part = '' OR i.part = :part)
    GROUP BY i.label
),
-- Fibonacci hashing spreads consecutive numbers evenly, so that every hour is in the choice.
chosen AS MATERIALIZED (
    SELECT i.label, i.confidence
    FROM inspection i
    JOIN station s ON s.id = i.station_id
    JOIN counted c ON c.label = i.label
    WHERE i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:station = '' OR s.name = :station)
      AND (:part = '' OR i.part = :part)
      AND i.id * 2654435761 % 4294967296 * c.n < CAST(4294967296 AS BIGINT) * 50000
),
size AS (SELECT label, count(*) AS m FROM chosen GROUP BY label),
ranked AS (
    SELECT label, confidence, row_number() OVER (PARTITION BY label ORDER BY confidence) AS place FROM chosen
),
median AS (
    SELECT r.label, r.confidence
    FROM ranked r
    JOIN size z ON z.label = r.label
    WHERE r.place = (z.m + 1) / 2
)
SELECT
    c.label AS class,
    c.n,
    t.n AS of_n,
    CAST(c.n AS DOUBLE PRECISION) / t.n AS share,
    c.passed,
    c.failed,
    c.review,
    m.confidence AS confidence_p50,
    c.confidence_min
FROM counted c
JOIN median m ON m.label = c.label
CROSS JOIN (SELECT CAST(sum(n) AS BIGINT) AS n FROM counted) t
ORDER BY c.n DESC, c.label;
