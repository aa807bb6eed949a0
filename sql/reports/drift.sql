-- Do the images differ from those of the reference period?
--
-- measure        confidence, novelty: ten bins between the deciles of the reference period (nearest rank)
--                class: a bin for each predicted class
-- psi            population stability index: the sum over the bins of (p - q) * ln(p / q), where p and q are the
--                shares of a bin in the two periods; an empty bin counts as half an image. Empty without a reference
-- band           stable: psi below 0.1. watch: below 0.25. shifted: 0.25 or more. 'too few' if chance alone would
--                reach 0.1; 'no reference' without one
-- chance         the psi to expect without any change: (bins - 1) * (1 / n + 1 / reference_n)
-- n              images of the period
-- reference_n    images of the reference period. Of more than 50,000 images of a period, 20,000 to 50,000 that are
--                spread evenly over them count for psi and chance
-- bins           bins with at least one image
--
-- Parameters, all required: since_us (inclusive) and until_us (exclusive), the time of judgement by the station's
-- clock in UTC epoch microseconds; reference_since_us and reference_until_us, the period to compare with; station
-- (or a site, for all stations below it) and part, each '' for all.
WITH period AS MATERIALIZED (
    SELECT p.*, (
        SELECT count(*)
        FROM inspection i
        JOIN station s ON s.id = i.station_id
        WHERE i.inspected_us >= p.since_us AND i.inspected_us < p.until_us
          AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
          AND (:part = '' OR i.part = :part)
    ) AS n
    FROM (
        SELECT 1 AS now, NULL AS before, CAST(:since_us AS BIGINT) AS since_us, CAST(:until_us AS BIGINT) AS until_us
        UNION ALL
        SELECT NULL, 1, CAST(:reference_since_us AS BIGINT), CAST(:reference_until_us AS BIGINT)
    ) p
),
-- Fibonacci hashing spreads consecutive numbers evenly, so that every hour is in the choice. From 320,000 images on, it
-- is made from those that ix_inspection_sixteenth holds.
chosen AS MATERIALIZED (
    SELECT p.now, p.before, i.label, i.confidence, i.novelty
    FROM period p
    CROSS JOIN inspection i
    JOIN station s ON s.id = i.station_id
    WHERE p.n < 320000
      AND i.inspected_us >= p.since_us AND i.inspected_us < p.until_us
      AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
      AND (:part = '' OR i.part = :part)
      AND i.id * 2654435761 % 4294967296 * p.n < CAST(4294967296 AS BIGINT) * 50000
    UNION ALL
    SELECT p.now, p.before, i.label, i.confidence, i.novelty
    FROM period p
    CROSS JOIN inspection i
    JOIN station s ON s.id = i.station_id
    WHERE p.n >= 320000
      AND i.inspected_us >= p.since_us AND i.inspected_us < p.until_us
      AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
      AND (:part = '' OR i.part = :part)
      AND i.id * 2654435761 % 4294967296 < 268435456
      AND i.id * 2654435761 % 4294967296 * p.n < CAST(4294967296 AS BIGINT) * 50000
),
total AS (SELECT count(now) AS n, count(before) AS reference_n FROM chosen),
ranked AS (
    SELECT 'confidence' AS measure, confidence AS value, row_number() OVER (ORDER BY confidence) AS place
    FROM chosen WHERE before = 1
    UNION ALL
    SELECT 'novelty', novelty, row_number() OVER (ORDER BY novelty) FROM chosen WHERE before = 1
),
edge AS (
    SELECT
        max(CASE WHEN measure = 'confidence' AND place = (reference_n * 1 + 9) / 10 THEN value END) AS c1,
        max(CASE WHEN measure = 'confidence' AND place = (reference_n * 2 + 9) / 10 THEN value END) AS c2,
        max(CASE WHEN measure = 'confidence' AND place = (reference_n * 3 + 9) / 10 THEN value END) AS c3,
        max(CASE WHEN measure = 'confidence' AND place = (reference_n * 4 + 9) / 10 THEN value END) AS c4,
        max(CASE WHEN measure = 'confidence' AND place = (reference_n * 5 + 9) / 10 THEN value END) AS c5,
        max(CASE WHEN measure = 'confidence' AND place = (reference_n * 6 + 9) / 10 THEN value END) AS c6,
        max(CASE WHEN measure = 'confidence' AND place = (reference_n * 7 + 9) / 10 THEN value END) AS c7,
        max(CASE WHEN measure = 'confidence' AND place = (reference_n * 8 + 9) / 10 THEN value END) AS c8,
        max(CASE WHEN measure = 'confidence' AND place = (reference_n * 9 + 9) / 10 THEN value END) AS c9,
        max(CASE WHEN measure = 'novelty' AND place = (reference_n * 1 + 9) / 10 THEN value END) AS n1,
        max(CASE WHEN measure = 'novelty' AND place = (reference_n * 2 + 9) / 10 THEN value END) AS n2,
        max(CASE WHEN measure = 'novelty' AND place = (reference_n * 3 + 9) / 10 THEN value END) AS n3,
        max(CASE WHEN measure = 'novelty' AND place = (reference_n * 4 + 9) / 10 THEN value END) AS n4,
        max(CASE WHEN measure = 'novelty' AND place = (reference_n * 5 + 9) / 10 THEN value END) AS n5,
        max(CASE WHEN measure = 'novelty' AND place = (reference_n * 6 + 9) / 10 THEN value END) AS n6,
        max(CASE WHEN measure = 'novelty' AND place = (reference_n * 7 + 9) / 10 THEN value END) AS n7,
        max(CASE WHEN measure = 'novelty' AND place = (reference_n * 8 + 9) / 10 THEN value END) AS n8,
        max(CASE WHEN measure = 'novelty' AND place = (reference_n * 9 + 9) / 10 THEN value END) AS n9
    FROM ranked r
    CROSS JOIN total t
    WHERE r.place IN (
        (t.reference_n * 1 + 9) / 10, (t.reference_n * 2 + 9) / 10, (t.reference_n * 3 + 9) / 10,
        (t.reference_n * 4 + 9) / 10, (t.reference_n * 5 + 9) / 10, (t.reference_n * 6 + 9) / 10,
        (t.reference_n * 7 + 9) / 10, (t.reference_n * 8 + 9) / 10, (t.reference_n * 9 + 9) / 10)
),
-- Counted once for all measures: sorting for each measure by itself takes twice as long.
binned AS (
    SELECT
        c.label,
        CASE
            WHEN c.confidence <= e.c1 THEN 1 WHEN c.confidence <= e.c2 THEN 2 WHEN c.confidence <= e.c3 THEN 3
            WHEN c.confidence <= e.c4 THEN 4 WHEN c.confidence <= e.c5 THEN 5 WHEN c.confidence <= e.c6 THEN 6
            WHEN c.confidence <= e.c7 THEN 7 WHEN c.confidence <= e.c8 THEN 8 WHEN c.confidence <= e.c9 THEN 9
            ELSE 10
        END AS confidence_bin,
        CASE
            WHEN c.novelty <= e.n1 THEN 1 WHEN c.novelty <= e.n2 THEN 2 WHEN c.novelty <= e.n3 THEN 3
            WHEN c.novelty <= e.n4 THEN 4 WHEN c.novelty <= e.n5 THEN 5 WHEN c.novelty <= e.n6 THEN 6
            WHEN c.novelty <= e.n7 THEN 7 WHEN c.novelty <= e.n8 THEN 8 WHEN c.novelty <= e.n9 THEN 9
            ELSE 10
        END AS novelty_bin,
        count(c.now) AS n,
        count(c.before) AS reference_n
    FROM chosen c
    CROSS JOIN edge e
    GROUP BY c.label, confidence_bin, novelty_bin
),
counted AS (
    SELECT 'class' AS measure, label AS bin, CAST(sum(n) AS BIGINT) AS n,
        CAST(sum(reference_n) AS BIGINT) AS reference_n
    FROM binned GROUP BY label
    UNION ALL
    SELECT 'confidence', CAST(confidence_bin AS TEXT), CAST(sum(n) AS BIGINT),
        CAST(sum(reference_n) AS BIGINT)
    FROM binned GROUP BY confidence_bin
    UNION ALL
    SELECT 'novelty', CAST(novelty_bin AS TEXT), CAST(sum(n) AS BIGINT), CAST(sum(reference_n) AS BIGINT)
    FROM binned GROUP BY novelty_bin
),
shared AS (
    SELECT
        c.measure,
        CASE WHEN c.n = 0 THEN 0.5 ELSE CAST(c.n AS DOUBLE PRECISION) END / t.n AS p,
        CASE WHEN c.reference_n = 0 THEN 0.5 ELSE CAST(c.reference_n AS DOUBLE PRECISION) END
            / NULLIF(t.reference_n, 0) AS q
    FROM counted c
    CROSS JOIN total t
    WHERE t.n > 0
),
-- Rounded to a millionth, because the last digits of a sum depend on its order.
summed AS (
    SELECT
        s.measure,
        count(*) AS bins,
        round(sum((s.p - s.q) * ln(s.p / s.q)) * 1000000) / 1000000 AS psi,
        (count(*) - 1) * (1 / CAST(t.n AS DOUBLE PRECISION)
            + 1 / NULLIF(CAST(t.reference_n AS DOUBLE PRECISION), 0)) AS chance
    FROM shared s
    CROSS JOIN total t
    GROUP BY s.measure, t.n, t.reference_n
)
SELECT
    s.measure,
    s.psi,
    CASE
        WHEN s.psi IS NULL THEN 'no reference'
        WHEN s.chance >= 0.1 THEN 'too few'
        WHEN s.psi < 0.1 THEN 'stable'
        WHEN s.psi < 0.25 THEN 'watch'
        ELSE 'shifted'
    END AS band,
    s.chance,
    (SELECT n FROM period WHERE now = 1) AS n,
    (SELECT n FROM period WHERE before = 1) AS reference_n,
    s.bins
FROM summed s
ORDER BY s.measure;
