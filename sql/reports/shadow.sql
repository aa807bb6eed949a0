-- How would another artifact have judged the same images, and who is right where people decided?
--
-- Counts the verdicts of a shadow (shadow_artifact) and of weld-inspect rejudge alike: the images of the period that
-- another artifact has judged. The latest human verdict of an image counts; images that a person could not decide are
-- left out of all measures but flip.
--
-- model           the other artifact's name
-- version         its version
-- artifact        first 12 digits of the other artifact file's SHA-256
-- measure         compared: images that the other artifact has judged
--                 not_judged: images with a row, and without a verdict (pruned, missing, altered, unreadable)
--                 flip: images with this verdict and class of the station, and another verdict of the other artifact
--                 only_station: reviewed images on whose PASS or FAIL only the station agrees with the person
--                 only_other: those on which only the other artifact agrees
--                 let_through: defects by a person that the station had stopped (FAIL or REVIEW), and that the other
--                 artifact passes. The share holds for all stopped defects if all of them are reviewed
--                 caught: defects by a person that the station had passed, and that the other artifact stops. Counts only
--                 random audit samples of PASS images (weld-inspect review sample)
--                 new_overkill: images that a person passed and the station had not failed, and that the other fails
--                 less_overkill: images that a person passed and the station had failed, and that the other does not fail
-- station_verdict  of a flip, the station's verdict
-- station_label   of a flip, the station's class
-- verdict         of a flip, the other artifact's verdict
-- label           of a flip, its class
-- n               images for which the measure is true
-- of_n            images that the measure counts: all compared ones for flip, all reviewed ones for only_station and
--                 only_other
-- share           n / of_n, 0 to 1
-- low_share       from let_through on, exact 95% interval of the share (Clopper and Pearson 1934), lower end
-- high_share      its upper end; of let_through the largest share of escapes that the reviewed images leave possible
-- p               of only_station and only_other: McNemar's exact test, two-sided. The chance of such a difference or a
--                 larger one between two equally good artifacts. Frames of one seam are near-copies, so with several
--                 frames to a seam the true chance is larger
--
-- Parameters, all required: since_us (inclusive) and until_us (exclusive), the time of judgement by the station's
-- clock in UTC epoch microseconds; station (or a site, for all stations below it) and part, each '' for all.
WITH RECURSIVE compared AS (
    SELECT
        r.model_id,
        i.verdict AS station_verdict,
        i.label AS station_label,
        r.verdict,
        r.label,
        d.verdict AS human_verdict,
        CASE WHEN a.inspection_id IS NULL THEN 0 ELSE 1 END AS sampled
    FROM rejudgement r
    JOIN inspection i ON i.id = r.inspection_id
    JOIN station s ON s.id = i.station_id
    LEFT JOIN v_decision d ON d.inspection_id = i.id
    LEFT JOIN audit_sample a ON a.inspection_id = i.id
    WHERE i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
      AND (:part = '' OR i.part = :part)
),
judged AS (SELECT * FROM compared WHERE verdict IS NOT NULL),
decided AS (
    SELECT
        model_id, station_verdict, verdict, human_verdict, sampled,
        CASE WHEN station_verdict = human_verdict AND verdict <> human_verdict THEN 1 ELSE 0 END AS only_station,
        CASE WHEN verdict = human_verdict AND station_verdict <> human_verdict THEN 1 ELSE 0 END AS only_other
    FROM judged WHERE human_verdict IS NOT NULL
),
totals AS (
    SELECT model_id, count(verdict) AS n, count(*) AS of_n FROM compared GROUP BY model_id
),
discordant AS (
    SELECT model_id, sum(only_station) + sum(only_other) AS n,
        CASE WHEN sum(only_station) < sum(only_other) THEN sum(only_station) ELSE sum(only_other) END AS fewer
    FROM decided GROUP BY model_id
),
-- The binomial sum of McNemar's test, from its largest term C(n, fewer) / 2^n downwards: log_term is the logarithm of
-- C(n, k) after k steps, and total adds up the ratios of the smaller terms to the largest.
binomial AS (
    SELECT model_id, n, fewer, 0 AS k, CAST(0 AS DOUBLE PRECISION) AS log_term,
        CAST(1 AS DOUBLE PRECISION) AS ratio, CAST(1 AS DOUBLE PRECISION) AS total
    FROM discordant
    UNION ALL
    SELECT model_id, n, fewer, k + 1,
        log_term + ln(CAST(n - k AS DOUBLE PRECISION) / (k + 1)),
        CASE WHEN ratio < 1e-30 THEN 0 ELSE ratio * (fewer - k) / (n - fewer + k + 1) END,
        total + CASE WHEN ratio < 1e-30 THEN 0 ELSE ratio * (fewer - k) / (n - fewer + k + 1) END
    FROM binomial WHERE k < fewer
),
tested AS (
    SELECT model_id, log_term + ln(2 * total) - n * ln(CAST(2 AS DOUBLE PRECISION)) AS log_p
    FROM binomial WHERE k = fewer
),
counted AS (
    SELECT model_id, 1 AS position, 'compared' AS measure, NULL AS station_verdict, NULL AS station_label,
        NULL AS verdict, NULL AS label, n, of_n
    FROM totals
    UNION ALL
    SELECT model_id, 2, 'not_judged', NULL, NULL, NULL, NULL, of_n - n, of_n FROM totals
    UNION ALL
    SELECT j.model_id, 3, 'flip', j.station_verdict, j.station_label, j.verdict, j.label, count(*), min(t.n)
    FROM judged j JOIN totals t ON t.model_id = j.model_id
    WHERE j.verdict <> j.station_verdict
    GROUP BY j.model_id, j.station_verdict, j.station_label, j.verdict, j.label
    UNION ALL
    SELECT model_id, 4, 'only_station', NULL, NULL, NULL, NULL, sum(only_station), count(*)
    FROM decided GROUP BY model_id
    UNION ALL
    SELECT model_id, 5, 'only_other', NULL, NULL, NULL, NULL, sum(only_other), count(*)
    FROM decided GROUP BY model_id
    UNION ALL
    SELECT model_id, 6, 'let_through', NULL, NULL, NULL, NULL, count(CASE WHEN verdict = 'PASS' THEN 1 END), count(*)
    FROM decided WHERE human_verdict = 'FAIL' AND station_verdict <> 'PASS' GROUP BY model_id
    UNION ALL
    SELECT model_id, 7, 'caught', NULL, NULL, NULL, NULL, count(CASE WHEN verdict <> 'PASS' THEN 1 END), count(*)
    FROM decided WHERE human_verdict = 'FAIL' AND station_verdict = 'PASS' AND sampled = 1 GROUP BY model_id
    UNION ALL
    SELECT model_id, 8, 'new_overkill', NULL, NULL, NULL, NULL, count(CASE WHEN verdict = 'FAIL' THEN 1 END), count(*)
    FROM decided WHERE human_verdict = 'PASS' AND station_verdict <> 'FAIL' GROUP BY model_id
    UNION ALL
    SELECT model_id, 9, 'less_overkill', NULL, NULL, NULL, NULL, count(CASE WHEN verdict <> 'FAIL' THEN 1 END), count(*)
    FROM decided WHERE human_verdict = 'PASS' AND station_verdict = 'FAIL' GROUP BY model_id
),
-- An end is the share p at which at most k of n cases are seen with the given chance; see escapes.sql. If most cases
-- count, the others are counted: their ends are 1 minus these.
rarer AS (
    SELECT model_id, position, of_n, CASE WHEN n > of_n - n THEN of_n - n ELSE n END AS n,
        CASE WHEN n > of_n - n THEN 1 ELSE 0 END AS mirrored
    FROM counted WHERE position > 5
),
wanted AS (
    SELECT model_id, position, 'high' AS side, of_n AS n, n AS k, CAST(0.025 AS DOUBLE PRECISION) AS chance FROM rarer
    UNION ALL
    SELECT model_id, position, 'low', of_n, n - 1, CAST(0.975 AS DOUBLE PRECISION) FROM rarer WHERE n > 0
),
halved AS (
    SELECT w.*, 0 AS round, CAST(0 AS DOUBLE PRECISION) AS low, CAST(1 AS DOUBLE PRECISION) AS high,
        CAST(0.5 AS DOUBLE PRECISION) AS p, 0 AS added, n * ln(CAST(0.5 AS DOUBLE PRECISION)) AS log_term,
        CAST(0 AS DOUBLE PRECISION) AS total
    FROM wanted w
    UNION ALL
    SELECT model_id, position, side, n, k, chance,
        CASE WHEN added <= k THEN round ELSE round + 1 END,
        CASE WHEN added > k AND total > chance THEN p ELSE low END,
        CASE WHEN added > k AND total <= chance THEN p ELSE high END,
        CASE WHEN added <= k THEN p WHEN total > chance THEN (p + high) / 2 ELSE (low + p) / 2 END,
        CASE WHEN added <= k THEN added + 1 ELSE 0 END,
        CASE
            WHEN added <= k THEN log_term + ln(CAST(n - added AS DOUBLE PRECISION) / (added + 1) * p / (1 - p))
            WHEN total > chance THEN n * ln(1 - (p + high) / 2)
            ELSE n * ln(1 - (low + p) / 2)
        END,
        CASE
            WHEN added > k THEN 0
            WHEN log_term > -700 THEN total + exp(log_term)
            ELSE total
        END
    FROM halved
    WHERE round < 40
),
ended AS (
    SELECT
        model_id,
        position,
        coalesce(max(CASE WHEN side = 'low' THEN floor(p * 1e9 + 0.5) / 1e9 END), 0.0) AS low,
        max(CASE WHEN side = 'high' THEN floor(p * 1e9 + 0.5) / 1e9 END) AS high
    FROM halved
    WHERE round = 40
    GROUP BY model_id, position
),
bounded AS (
    SELECT
        r.model_id,
        r.position,
        CASE WHEN r.mirrored = 1 THEN 1 - e.high ELSE e.low END AS low_share,
        CASE WHEN r.mirrored = 1 THEN 1 - e.low ELSE e.high END AS high_share
    FROM rarer r
    JOIN ended e ON e.model_id = r.model_id AND e.position = r.position
)
SELECT
    m.name AS model,
    m.version,
    substr(m.artifact_sha256, 1, 12) AS artifact,
    c.measure,
    c.station_verdict,
    c.station_label,
    c.verdict,
    c.label,
    c.n,
    c.of_n,
    CAST(c.n AS DOUBLE PRECISION) / c.of_n AS share,
    b.low_share,
    b.high_share,
    CASE
        WHEN c.position NOT IN (4, 5) THEN NULL
        WHEN t.log_p >= 0 THEN 1.0
        WHEN t.log_p < -700 THEN 0.0  -- smaller than a number can be
        ELSE exp(t.log_p)
    END AS p
FROM counted c
JOIN model m ON m.id = c.model_id
LEFT JOIN bounded b ON b.model_id = c.model_id AND b.position = c.position
LEFT JOIN tested t ON t.model_id = c.model_id
ORDER BY m.id, c.position, c.n DESC, c.station_verdict, c.station_label, c.verdict, c.label;
