-- Does the station see other images than in the reference period?
--
-- measure        confidence, novelty: cut into ten bins at the reference period's own deciles (nearest rank)
--                class: a bin for each predicted class
-- psi            population stability index: the sum over the bins of (p - q) * ln(p / q), p and q a bin's
--                shares of the two periods; an empty bin counts as half an image. Empty without a reference
-- band           stable: psi below 0.1. watch: below 0.25. shifted: from 0.25 on. Where chance alone would
--                reach 0.1 it is too few; without a reference, no reference
-- chance         the psi to be expected though nothing changed: (bins - 1) * (1 / n + 1 / reference_n)
-- n              images of the period
-- reference_n    images of the reference period
-- bins           bins that hold any image
--
-- Parameters, always bound: since_us (inclusive) and until_us (exclusive) on the station's own clock at
-- judgement, UTC epoch microseconds; reference_since_us and reference_until_us alike, the period to compare
-- with; station and part, each '' for all.
WITH chosen AS (
    SELECT
        i.label,
        i.confidence,
        i.novelty,
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
measured AS (
    SELECT 'confidence' AS measure, confidence AS value, now, before FROM chosen
    UNION ALL
    SELECT 'novelty', novelty, now, before FROM chosen
),
ranked AS (
    SELECT measure, value, row_number() OVER (PARTITION BY measure ORDER BY value) AS place
    FROM measured WHERE before = 1
),
edge AS (
    SELECT
        r.measure,
        min(CASE WHEN r.place * 10 >= t.reference_n * 1 THEN r.value END) AS e1,
        min(CASE WHEN r.place * 10 >= t.reference_n * 2 THEN r.value END) AS e2,
        min(CASE WHEN r.place * 10 >= t.reference_n * 3 THEN r.value END) AS e3,
        min(CASE WHEN r.place * 10 >= t.reference_n * 4 THEN r.value END) AS e4,
        min(CASE WHEN r.place * 10 >= t.reference_n * 5 THEN r.value END) AS e5,
        min(CASE WHEN r.place * 10 >= t.reference_n * 6 THEN r.value END) AS e6,
        min(CASE WHEN r.place * 10 >= t.reference_n * 7 THEN r.value END) AS e7,
        min(CASE WHEN r.place * 10 >= t.reference_n * 8 THEN r.value END) AS e8,
        min(CASE WHEN r.place * 10 >= t.reference_n * 9 THEN r.value END) AS e9
    FROM ranked r
    CROSS JOIN total t
    GROUP BY r.measure
),
binned AS (
    SELECT
        m.measure,
        CASE
            WHEN m.value <= e.e1 THEN '1' WHEN m.value <= e.e2 THEN '2' WHEN m.value <= e.e3 THEN '3'
            WHEN m.value <= e.e4 THEN '4' WHEN m.value <= e.e5 THEN '5' WHEN m.value <= e.e6 THEN '6'
            WHEN m.value <= e.e7 THEN '7' WHEN m.value <= e.e8 THEN '8' WHEN m.value <= e.e9 THEN '9'
            ELSE '10'
        END AS bin,
        m.now,
        m.before
    FROM measured m
    LEFT JOIN edge e ON e.measure = m.measure
    UNION ALL
    SELECT 'class', label, now, before FROM chosen
),
counted AS (
    SELECT measure, bin, count(now) AS n, count(before) AS reference_n FROM binned GROUP BY measure, bin
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
-- Rounded to a millionth: the last digits of a sum depend on its order.
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
    t.n,
    t.reference_n,
    s.bins
FROM summed s
CROSS JOIN total t
ORDER BY s.measure;
