-- How sure is the model, and how sure was it in the reference period?
--
-- confidence_from  lower end of the bin, inclusive: probability of the image's class, 0 to 1
-- confidence_to    upper end, exclusive (1 is inclusive)
-- n                images of the period in this bin
-- of_n             images of the period, the denominator of share
-- share            n / of_n, 0 to 1
-- passed           of n, verdict PASS
-- failed           of n, verdict FAIL
-- review           of n, verdict REVIEW
-- reference_n      images of the reference period in this bin
-- reference_share  reference_n / images of the reference period; empty if it has none
--
-- Parameters, all required: since_us (inclusive) and until_us (exclusive), the time of judgement by the station's
-- clock in UTC epoch microseconds; reference_since_us and reference_until_us, the period to compare with; station
-- and part, each '' for all.
WITH bin AS (
    SELECT CAST(0 AS DOUBLE PRECISION) AS confidence_from, CAST(0.5 AS DOUBLE PRECISION) AS confidence_to
    UNION ALL SELECT 0.5, 0.6
    UNION ALL SELECT 0.6, 0.7
    UNION ALL SELECT 0.7, 0.8
    UNION ALL SELECT 0.8, 0.9
    UNION ALL SELECT 0.9, 0.95
    UNION ALL SELECT 0.95, 0.99
    UNION ALL SELECT 0.99, 1.0
),
chosen AS MATERIALIZED (
    SELECT
        i.verdict,
        i.confidence,
        CASE WHEN i.inspected_us >= :since_us AND i.inspected_us < :until_us THEN 1 END AS now,
        CASE WHEN i.inspected_us >= :reference_since_us AND i.inspected_us < :reference_until_us
            THEN 1 END AS before
    FROM inspection i
    JOIN station s ON s.id = i.station_id
    WHERE (i.inspected_us >= :since_us AND i.inspected_us < :until_us
           OR i.inspected_us >= :reference_since_us AND i.inspected_us < :reference_until_us)
      AND (:station = '' OR s.name = :station)
      AND (:part = '' OR i.part = :part)
),
total AS (SELECT count(now) AS n, count(before) AS reference_n FROM chosen),
binned AS (
    SELECT
        CASE
            WHEN confidence >= 0.99 THEN 0.99 WHEN confidence >= 0.95 THEN 0.95 WHEN confidence >= 0.9 THEN 0.9
            WHEN confidence >= 0.8 THEN 0.8 WHEN confidence >= 0.7 THEN 0.7 WHEN confidence >= 0.6 THEN 0.6
            WHEN confidence >= 0.5 THEN 0.5 ELSE 0
        END AS confidence_from,
        count(now) AS n,
        count(CASE WHEN verdict = 'PASS' THEN now END) AS passed,
        count(CASE WHEN verdict = 'FAIL' THEN now END) AS failed,
        count(CASE WHEN verdict = 'REVIEW' THEN now END) AS review,
        count(before) AS reference_n
    FROM chosen
    GROUP BY 1
),
counted AS (
    SELECT
        b.confidence_from,
        b.confidence_to,
        coalesce(c.n, 0) AS n,
        coalesce(c.passed, 0) AS passed,
        coalesce(c.failed, 0) AS failed,
        coalesce(c.review, 0) AS review,
        coalesce(c.reference_n, 0) AS reference_n
    FROM bin b
    LEFT JOIN binned c ON c.confidence_from = b.confidence_from
)
SELECT
    c.confidence_from,
    c.confidence_to,
    c.n,
    t.n AS of_n,
    CAST(c.n AS DOUBLE PRECISION) / t.n AS share,
    c.passed,
    c.failed,
    c.review,
    c.reference_n,
    CAST(c.reference_n AS DOUBLE PRECISION) / NULLIF(t.reference_n, 0) AS reference_share
FROM counted c
CROSS JOIN total t
WHERE t.n > 0
ORDER BY c.confidence_from;
