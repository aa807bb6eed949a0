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
--                 50,000 images, about 50,000 that are spread evenly over them count. Of more than 320,000 images of
--                 all classes, at most one in 16 of an accepted class counts; empty if it has too few for that
-- confidence_min  its lowest probability
--
-- Counts the station's verdicts, because the question is about the model.
--
-- Parameters, all required: since_us (inclusive) and until_us (exclusive), the time of judgement by the station's
-- clock in UTC epoch microseconds; station (or a site, for all stations below it) and part, each '' for all.
WITH seal AS MATERIALIZED (
    SELECT inspection_id, until_us FROM summary_seal ORDER BY inspection_id DESC, until_us DESC LIMIT 1
),
-- The images of these times are counted: those after the seal, and the hours in which the period begins or ends, or a
-- later image is. Without a seal it is the whole period.
unsealed AS MATERIALIZED (
    SELECT
        id AS station_id,
        coalesce((SELECT until_us FROM seal), :since_us) AS from_us,
        CAST(:until_us AS BIGINT) AS to_us
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
      AND i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
      AND :part = ''
    GROUP BY 1, 2
),
-- An hour within the period is not read again if its row in hour_work has as many images: images are only ever
-- added. Of a sealed hour the row of the most images has them all.
checked AS MATERIALIZED (
    SELECT h.station_id, h.hour_us, w.id AS work_id
    FROM hours h
    LEFT JOIN hour_work w
        ON w.station_id = h.station_id AND w.hour_us = h.hour_us AND w.n = h.n
        AND h.hour_us >= :since_us AND h.hour_us + 3600000000 <= :until_us
),
known AS MATERIALIZED (
    SELECT station_id, hour_us, work_id FROM checked WHERE work_id IS NOT NULL
    UNION ALL
    SELECT w.station_id, w.hour_us, w.id
    FROM hour_work w
    JOIN station s ON s.id = w.station_id
    LEFT JOIN unsealed u ON u.station_id = w.station_id AND u.from_us = w.hour_us
    LEFT JOIN hour_work o ON o.station_id = w.station_id AND o.hour_us = w.hour_us AND o.n > w.n
    WHERE w.hour_us >= :since_us AND w.hour_us < :until_us AND w.hour_us < (SELECT until_us FROM seal)
      AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
      AND :part = ''
      AND u.station_id IS NULL
      AND o.id IS NULL
),
-- The images of these times are read.
stretch AS MATERIALIZED (
    SELECT station_id, hour_us AS from_us, hour_us + 3600000000 AS to_us FROM checked WHERE work_id IS NULL
    UNION ALL
    SELECT s.id, CAST(:since_us AS BIGINT), CAST(:until_us AS BIGINT)
    FROM station s
    WHERE :part <> ''
      AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
),
counted AS MATERIALIZED (
    SELECT
        label,
        CAST(sum(n) AS BIGINT) AS n,
        CAST(sum(CASE WHEN verdict = 'PASS' THEN n ELSE 0 END) AS BIGINT) AS passed,
        CAST(sum(CASE WHEN verdict = 'FAIL' THEN n ELSE 0 END) AS BIGINT) AS failed,
        CAST(sum(CASE WHEN verdict = 'REVIEW' THEN n ELSE 0 END) AS BIGINT) AS review,
        min(confidence_min) AS confidence_min
    FROM (
        SELECT c.label, c.verdict, c.n, c.confidence_min
        FROM known k
        JOIN hour_class c ON c.work_id = k.work_id
        UNION ALL
        SELECT i.label, i.verdict, 1, i.confidence
        FROM stretch t
        CROSS JOIN inspection i
        WHERE i.station_id = t.station_id
          AND i.inspected_us >= t.from_us AND i.inspected_us < t.to_us
          AND i.inspected_us >= :since_us AND i.inspected_us < :until_us
          AND (:part = '' OR i.part = :part)
    ) hourly
    GROUP BY label
),
total AS MATERIALIZED (SELECT CAST(sum(n) AS BIGINT) AS n FROM counted),
-- Fibonacci hashing spreads consecutive numbers evenly, so that every hour is in the choice. From 320,000 images on, it
-- is made from those that ix_inspection_sixteenth holds: all that did not pass, and a sixteenth of the others.
chosen AS MATERIALIZED (
    SELECT i.label, i.confidence
    FROM total t
    CROSS JOIN inspection i
    JOIN station s ON s.id = i.station_id
    JOIN counted c ON c.label = i.label
    WHERE t.n < 320000
      AND i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
      AND (:part = '' OR i.part = :part)
      AND i.id * 2654435761 % 4294967296 * c.n < CAST(4294967296 AS BIGINT) * 50000
    UNION ALL
    SELECT i.label, i.confidence
    FROM total t
    CROSS JOIN inspection i
    JOIN station s ON s.id = i.station_id
    JOIN counted c ON c.label = i.label
    WHERE t.n >= 320000
      AND i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
      AND (:part = '' OR i.part = :part)
      AND (i.verdict <> 'PASS' OR i.id * 2654435761 % 4294967296 < 268435456)
      AND (c.passed = 0 OR i.id * 2654435761 % 4294967296 < 268435456)
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
LEFT JOIN median m ON m.label = c.label
CROSS JOIN total t
ORDER BY c.n DESC, c.label;
