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
-- (or a site, for all stations below it) and part, each '' for all.
WITH seal AS MATERIALIZED (
    SELECT inspection_id, until_us FROM summary_seal ORDER BY inspection_id DESC, until_us DESC LIMIT 1
),
-- The images of these times are counted: those after the seal, and the hours in which a period begins or ends, or a
-- later image is. Without a seal it is the whole period.
unsealed AS MATERIALIZED (
    SELECT
        id AS station_id,
        coalesce(
            (SELECT until_us FROM seal),
            CASE WHEN :since_us < :reference_since_us THEN :since_us ELSE :reference_since_us END
        ) AS from_us,
        CAST(CASE WHEN :until_us > :reference_until_us THEN :until_us ELSE :reference_until_us END AS BIGINT) AS to_us
    FROM station
    UNION
    SELECT
        a.station_id,
        a.at_us - ((a.at_us % 3600000000) + 3600000000) % 3600000000,
        a.at_us - ((a.at_us % 3600000000) + 3600000000) % 3600000000 + 3600000000
    FROM (
        SELECT station_id, inspected_us AS at_us
        FROM inspection
        WHERE id > (SELECT inspection_id FROM seal) AND id <= (SELECT max(id) FROM inspection)
        UNION ALL SELECT id, :since_us FROM station
        UNION ALL SELECT id, :until_us FROM station
        UNION ALL SELECT id, :reference_since_us FROM station
        UNION ALL SELECT id, :reference_until_us FROM station
    ) a
    WHERE a.at_us < (SELECT until_us FROM seal)
),
hours AS MATERIALIZED (
    SELECT
        i.station_id,
        i.inspected_us - ((i.inspected_us % 3600000000) + 3600000000) % 3600000000 AS hour_us,
        count(*) AS n
    FROM unsealed u
    JOIN station s ON s.id = u.station_id
    CROSS JOIN inspection i
    WHERE i.station_id = s.id
      AND i.inspected_us >= u.from_us AND i.inspected_us < u.to_us
      AND i.inspected_us >= CASE WHEN :since_us < :reference_since_us THEN :since_us ELSE :reference_since_us END
      AND i.inspected_us < CASE WHEN :until_us > :reference_until_us THEN :until_us ELSE :reference_until_us END
      AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
      AND :part = ''
    GROUP BY 1, 2
),
-- An hour within or outside each of the two periods is not read again if its row in hour_work has as many images:
-- images are only ever added. Of a sealed hour the row of the most images has them all.
checked AS MATERIALIZED (
    SELECT h.station_id, h.hour_us, w.id AS work_id
    FROM hours h
    LEFT JOIN hour_work w
        ON w.station_id = h.station_id AND w.hour_us = h.hour_us AND w.n = h.n
        AND (h.hour_us >= :since_us OR h.hour_us + 3600000000 <= :since_us)
        AND (h.hour_us >= :until_us OR h.hour_us + 3600000000 <= :until_us)
        AND (h.hour_us >= :reference_since_us OR h.hour_us + 3600000000 <= :reference_since_us)
        AND (h.hour_us >= :reference_until_us OR h.hour_us + 3600000000 <= :reference_until_us)
),
known AS MATERIALIZED (
    SELECT station_id, hour_us, work_id FROM checked WHERE work_id IS NOT NULL
    UNION ALL
    SELECT w.station_id, w.hour_us, w.id
    FROM hour_work w
    JOIN station s ON s.id = w.station_id
    LEFT JOIN unsealed u ON u.station_id = w.station_id AND u.from_us = w.hour_us
    LEFT JOIN hour_work o ON o.station_id = w.station_id AND o.hour_us = w.hour_us AND o.n > w.n
    WHERE w.hour_us >= CASE WHEN :since_us < :reference_since_us THEN :since_us ELSE :reference_since_us END
      AND w.hour_us < CASE WHEN :until_us > :reference_until_us THEN :until_us ELSE :reference_until_us END
      AND w.hour_us < (SELECT until_us FROM seal)
      AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
      AND :part = ''
      AND u.station_id IS NULL
      AND o.id IS NULL
),
-- The images of these times are read.
stretch AS MATERIALIZED (
    SELECT station_id, hour_us AS from_us, hour_us + 3600000000 AS to_us FROM checked WHERE work_id IS NULL
    UNION ALL
    SELECT
        id,
        CASE WHEN :since_us < :reference_since_us THEN :since_us ELSE :reference_since_us END,
        CASE WHEN :until_us > :reference_until_us THEN :until_us ELSE :reference_until_us END
    FROM station s
    WHERE :part <> ''
      AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
),
bin AS (
    SELECT CAST(0 AS DOUBLE PRECISION) AS confidence_from, CAST(0.5 AS DOUBLE PRECISION) AS confidence_to
    UNION ALL SELECT 0.5, 0.6
    UNION ALL SELECT 0.6, 0.7
    UNION ALL SELECT 0.7, 0.8
    UNION ALL SELECT 0.8, 0.9
    UNION ALL SELECT 0.9, 0.95
    UNION ALL SELECT 0.95, 0.99
    UNION ALL SELECT 0.99, 1.0
),
images AS (
    SELECT k.hour_us AS at_us, c.confidence_from, c.verdict, c.n
    FROM known k
    JOIN hour_class c ON c.work_id = k.work_id
    UNION ALL
    SELECT
        i.inspected_us,
        CASE
            WHEN i.confidence >= 0.99 THEN 0.99 WHEN i.confidence >= 0.95 THEN 0.95 WHEN i.confidence >= 0.9 THEN 0.9
            WHEN i.confidence >= 0.8 THEN 0.8 WHEN i.confidence >= 0.7 THEN 0.7 WHEN i.confidence >= 0.6 THEN 0.6
            WHEN i.confidence >= 0.5 THEN 0.5 ELSE 0
        END,
        i.verdict,
        1
    FROM stretch t
    CROSS JOIN inspection i
    WHERE i.station_id = t.station_id
      AND i.inspected_us >= t.from_us AND i.inspected_us < t.to_us
      AND (:part = '' OR i.part = :part)
),
binned AS (
    SELECT
        confidence_from,
        CAST(sum(CASE WHEN now THEN n ELSE 0 END) AS BIGINT) AS n,
        CAST(sum(CASE WHEN now AND verdict = 'PASS' THEN n ELSE 0 END) AS BIGINT) AS passed,
        CAST(sum(CASE WHEN now AND verdict = 'FAIL' THEN n ELSE 0 END) AS BIGINT) AS failed,
        CAST(sum(CASE WHEN now AND verdict = 'REVIEW' THEN n ELSE 0 END) AS BIGINT) AS review,
        CAST(sum(CASE WHEN before THEN n ELSE 0 END) AS BIGINT) AS reference_n
    FROM (
        SELECT
            images.*,
            at_us >= :since_us AND at_us < :until_us AS now,
            at_us >= :reference_since_us AND at_us < :reference_until_us AS before
        FROM images
    ) i
    GROUP BY confidence_from
),
total AS (SELECT CAST(sum(n) AS BIGINT) AS n, CAST(sum(reference_n) AS BIGINT) AS reference_n FROM binned),
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
