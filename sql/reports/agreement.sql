-- How often do people and the station agree, and how many defects are let through?
--
-- The latest human verdict of an image counts. Images that a person could not decide are left out. A measure
-- without any review is empty, not zero.
--
-- measure         escape: a person failed an image that the station had passed. Counts only random audit samples
--                 of PASS images (weld-inspect review sample), because images that people choose are not a fair
--                 sample. Samples are pooled, so draw equal numbers for equal times
--                 overkill: a person passed an image that the station had failed. Counts the FAIL images that were
--                 reviewed; it holds for all FAIL images if all of them or a random part were reviewed
--                 verdict: both said PASS, or both said FAIL; images with REVIEW are left out
--                 class: the person named the same class as the station
--                 readers: two people said the same of an image of an audit sample, and neither had seen the station's
--                 verdict. The latest blind verdict of each person, of the first two who could decide. There is no row
--                 if no image had two blind readers
--                 readers_kappa: kappa of these two, with its interval in estimated_low and estimated_high; no row if
--                 kappa is empty
-- n               reviewed images for which the measure is true
-- of_n            reviewed images that the measure counts
-- share           n / of_n, 0 to 1
-- low_share       Wilson's 95% interval of the share (Wilson 1927, without continuity correction), lower end
-- high_share      its upper end
-- population      images of the period to which the share applies: all PASS for escape, all FAIL for overkill
-- estimated       population * share; for readers_kappa, kappa
-- estimated_low   population * low_share; for readers_kappa, the lower end of its 95% interval: (low_share - c) /
--                 (1 - c), c = agreement by chance. That is Cohen's own interval (1960), which takes c as known, with
--                 Wilson's in place of the normal one, because it stays wide if few images are defects
-- estimated_high  population * high_share; for readers_kappa, its upper end
-- kappa           Cohen's kappa of the reviewed images: 1 is perfect agreement, 0 is chance; empty if all of them
--                 are of one kind. It depends on the choice of reviewed images; the share of escape does not
--
-- Parameters, all required: since_us (inclusive) and until_us (exclusive), the time of judgement by the station's
-- clock in UTC epoch microseconds; station (or a site, for all stations below it) and part, each '' for all.
WITH latest AS (
    SELECT inspection_id, max(id) AS review_id FROM review GROUP BY inspection_id
),
decided AS (
    SELECT
        i.verdict,
        i.label,
        r.verdict AS human_verdict,
        r.label AS human_label,
        CASE WHEN a.inspection_id IS NULL THEN 0 ELSE 1 END AS sampled
    FROM latest l
    JOIN review r ON r.id = l.review_id
    JOIN inspection i ON i.id = l.inspection_id
    JOIN station s ON s.id = i.station_id
    LEFT JOIN audit_sample a ON a.inspection_id = i.id
    WHERE r.verdict <> 'REVIEW'
      AND i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
      AND (:part = '' OR i.part = :part)
),
seal AS MATERIALIZED (
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
    GROUP BY 1, 2
),
-- An hour within the period is not read again if its row in hour_summary has as many images: images are only ever
-- added. Of a sealed hour the row of the most images has them all.
checked AS MATERIALIZED (
    SELECT h.station_id, h.hour_us, y.id AS summary_id
    FROM hours h
    LEFT JOIN hour_summary y
        ON y.station_id = h.station_id AND y.hour_us = h.hour_us AND y.n = h.n
        AND h.hour_us >= :since_us AND h.hour_us + 3600000000 <= :until_us
),
known AS MATERIALIZED (
    SELECT station_id, hour_us, summary_id FROM checked WHERE summary_id IS NOT NULL
    UNION ALL
    SELECT y.station_id, y.hour_us, y.id
    FROM hour_summary y
    JOIN station s ON s.id = y.station_id
    LEFT JOIN unsealed u ON u.station_id = y.station_id AND u.from_us = y.hour_us
    LEFT JOIN hour_summary o ON o.station_id = y.station_id AND o.hour_us = y.hour_us AND o.n > y.n
    WHERE y.hour_us >= :since_us AND y.hour_us < :until_us AND y.hour_us < (SELECT until_us FROM seal)
      AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
      AND u.station_id IS NULL
      AND o.id IS NULL
),
images AS (
    SELECT c.verdict, c.n
    FROM known k
    JOIN hour_count c ON c.summary_id = k.summary_id
    WHERE :part = '' OR c.part = :part
    UNION ALL
    SELECT i.verdict, 1
    FROM checked k
    CROSS JOIN inspection i
    WHERE k.summary_id IS NULL
      AND i.station_id = k.station_id
      AND i.inspected_us >= k.hour_us AND i.inspected_us < k.hour_us + 3600000000
      AND i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:part = '' OR i.part = :part)
),
judged AS (
    SELECT
        CAST(sum(n) AS BIGINT) AS n,
        CAST(sum(CASE WHEN verdict = 'PASS' THEN n ELSE 0 END) AS BIGINT) AS passed,
        CAST(sum(CASE WHEN verdict = 'FAIL' THEN n ELSE 0 END) AS BIGINT) AS failed
    FROM images
),
blind AS (
    SELECT r.inspection_id, r.reviewer, max(r.id) AS review_id
    FROM audit_sample a
    JOIN review r ON r.inspection_id = a.inspection_id
    JOIN inspection i ON i.id = a.inspection_id
    JOIN station s ON s.id = i.station_id
    WHERE r.is_blind
      AND i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
      AND (:part = '' OR i.part = :part)
    GROUP BY r.inspection_id, r.reviewer
),
reading AS (
    SELECT r.inspection_id, r.verdict, row_number() OVER (PARTITION BY r.inspection_id ORDER BY r.id) AS place
    FROM blind b JOIN review r ON r.id = b.review_id
    WHERE r.verdict <> 'REVIEW'
),
pairs AS (
    SELECT 'verdict' AS measure, verdict AS said, human_verdict AS human_said
    FROM decided WHERE verdict <> 'REVIEW'
    UNION ALL
    SELECT 'class', label, human_label FROM decided WHERE human_label IS NOT NULL
    UNION ALL
    SELECT 'readers', one.verdict, two.verdict
    FROM reading one JOIN reading two ON two.inspection_id = one.inspection_id
    WHERE one.place = 1 AND two.place = 2
),
said AS (SELECT measure, said AS word, count(*) AS n FROM pairs GROUP BY measure, said),
human_said AS (SELECT measure, human_said AS word, count(*) AS n FROM pairs GROUP BY measure, human_said),
by_chance AS (
    SELECT said.measure, sum(said.n * human_said.n) AS products
    FROM said JOIN human_said ON human_said.measure = said.measure AND human_said.word = said.word
    GROUP BY said.measure
),
counted AS (
    SELECT 1 AS position, 'escape' AS measure, (SELECT passed FROM judged) AS population,
        count(CASE WHEN human_verdict = 'FAIL' THEN 1 END) AS n, count(*) AS of_n
    FROM decided WHERE sampled = 1 AND verdict = 'PASS'
    UNION ALL
    SELECT 2, 'overkill', (SELECT failed FROM judged),
        count(CASE WHEN human_verdict = 'PASS' THEN 1 END), count(*)
    FROM decided WHERE verdict = 'FAIL'
    UNION ALL
    SELECT 3, 'verdict', NULL, count(CASE WHEN said = human_said THEN 1 END), count(*)
    FROM pairs WHERE measure = 'verdict'
    UNION ALL
    SELECT 4, 'class', NULL, count(CASE WHEN said = human_said THEN 1 END), count(*)
    FROM pairs WHERE measure = 'class'
    UNION ALL
    SELECT 5, 'readers', NULL, count(CASE WHEN said = human_said THEN 1 END), count(*)
    FROM pairs WHERE measure = 'readers' GROUP BY measure
),
shared AS (
    SELECT position, measure, population, n, of_n,
        CAST(n AS DOUBLE PRECISION) / NULLIF(of_n, 0) AS share,
        CAST(1.959963984540054 AS DOUBLE PRECISION) AS z
    FROM counted
),
bounded AS (
    SELECT position, measure, population, n, of_n, share,
        (share + z * z / (2 * of_n)) / (1 + z * z / of_n) AS centre,
        z * sqrt(share * (1 - share) / of_n + z * z / (4 * CAST(of_n AS DOUBLE PRECISION) * of_n))
            / (1 + z * z / of_n) AS half
    FROM shared
    WHERE of_n > 0
    UNION ALL
    SELECT position, measure, population, NULL, of_n, NULL, NULL, NULL FROM shared WHERE of_n = 0
),
ended AS (
    SELECT position, measure, n, of_n, share, population,
        CASE WHEN n = 0 THEN 0.0 ELSE centre - half END AS low_share,
        CASE WHEN n = of_n THEN 1.0 ELSE centre + half END AS high_share
    FROM bounded
),
measured AS (
    SELECT e.*, e.population * e.share AS estimated, e.population * e.low_share AS estimated_low,
        e.population * e.high_share AS estimated_high,
        CASE WHEN e.measure IN ('verdict', 'class', 'readers') THEN
            CAST(e.of_n * e.n - coalesce(b.products, 0) AS DOUBLE PRECISION)
                / NULLIF(CAST(e.of_n * e.of_n - coalesce(b.products, 0) AS DOUBLE PRECISION), 0)
        END AS kappa,
        CAST(coalesce(b.products, 0) AS DOUBLE PRECISION)
            / NULLIF(CAST(e.of_n AS DOUBLE PRECISION) * e.of_n, 0) AS chance
    FROM ended e
    LEFT JOIN by_chance b ON b.measure = e.measure
),
listed AS (
    SELECT position, measure, n, of_n, share, low_share, high_share, population, estimated, estimated_low,
        estimated_high, kappa
    FROM measured
    UNION ALL
    SELECT 6, 'readers_kappa', n, of_n, NULL, NULL, NULL, NULL, kappa,
        CASE WHEN low_share < 2 * chance - 1 THEN -1.0 ELSE (low_share - chance) / (1 - chance) END,
        (high_share - chance) / (1 - chance), kappa
    FROM measured
    WHERE measure = 'readers' AND kappa IS NOT NULL
)
SELECT measure, n, of_n, share, low_share, high_share, population, estimated, estimated_low, estimated_high, kappa
FROM listed
WHERE (SELECT n FROM judged) > 0
ORDER BY position;
