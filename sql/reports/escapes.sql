-- How many defects escape by the audits, how many by the confidences, and do the two agree?
--
-- Each artifact has a row, because a confidence is its own. Two ways lead to the defects among its PASS images. They
-- share no figure, so each checks the other.
--
-- model                the artifact's name
-- version              its version
-- artifact             first 12 digits of the artifact file's SHA-256: two files may share name and version
-- calibrated           1 if its confidences were fitted on held-out frames; 0 if they are the network's own, which are
--                      often too high or too low; empty if its metadata does not say
-- passed               PASS images of the artifact in the period
-- audited              of passed, images of a random audit sample (weld-inspect review sample) that a person passed or
--                      failed; the latest verdict counts
-- escapes              of audited, images that the person failed
-- share                escapes / audited, 0 to 1; empty if none was audited
-- low_share            exact 95% interval of the share (Clopper and Pearson 1934), lower end. It holds for any number of
--                      audits. That of agreement is Wilson's, which is a little narrower. Without audits it is 0
-- high_share           its upper end: the largest share of escapes that the audits leave possible. Without audits it is 1
-- expected             escapes among passed if every confidence is right: the sum of 1 - p over the PASS images, where p
--                      is the sum of the probabilities of all classes that the shop accepts
-- expected_low         95% interval of that number, lower end: expected - 1.96 sigma, down to the next whole number and
--                      not below 0; sigma is the square root of the sum of p (1 - p), because each image is a defect or
--                      not by its own chance
-- expected_high        upper end: expected + 1.96 sigma, up to the next whole number
-- expected_share       expected / passed
-- expected_low_share   expected_low / passed
-- expected_high_share  expected_high / passed
-- alarm                more: the interval of the audits is above that of the confidences, so more defects escape than the
--                      confidences say. fewer: it is below. none: the intervals overlap. Empty if none was audited
--
-- The expectation holds only if the confidences are calibrated, and for images like those that calibrated them: light,
-- material or a camera that has changed makes it wrong. The audits hold without that. So an alarm speaks against the
-- confidences, and few audits speak against nothing: their interval is wide. Samples are pooled, so draw equal numbers
-- for equal times. Images of one weld are alike: the interval of the expectation takes them as independent, and is too
-- narrow if the confidences of a whole weld are wrong together. The report calibration shows the same by month.
--
-- Parameters, all required: since_us (inclusive) and until_us (exclusive), the time of judgement by the station's
-- clock in UTC epoch microseconds; station (or a site, for all stations below it) and part, each '' for all.
WITH RECURSIVE described AS (
    SELECT id AS model_id, 0 AS number, metadata -> 'classes' -> 0 AS class FROM model
    UNION ALL
    SELECT m.id, d.number + 1, m.metadata -> 'classes' -> (d.number + 1)
    FROM described d
    JOIN model m ON m.id = d.model_id
    WHERE d.class IS NOT NULL
),
accepted AS (
    SELECT model_id, class ->> 'name' AS name, count(*) OVER (PARTITION BY model_id) AS classes
    FROM described
    WHERE class ->> 'role' = 'accept'
),
-- Added as integers of 1e-9: a sum of integers does not depend on the order of adding. By class first, because
-- PostgreSQL shares out such a plain sum among its workers.
by_class AS MATERIALIZED (
    SELECT
        i.model_id,
        i.label,
        count(*) AS passed,
        min(i.inspected_us) AS first_us,
        max(i.inspected_us) AS last_us,
        sum(CAST(floor(CASE WHEN i.confidence < 1 THEN 1 - i.confidence ELSE 0 END * 1e9 + 0.5) AS BIGINT)) AS expected,
        sum(CAST(floor(CASE WHEN i.confidence < 1 THEN i.confidence * (1 - i.confidence) ELSE 0 END * 1e9 + 0.5)
            AS BIGINT)) AS variance
    FROM inspection i
    JOIN station s ON s.id = i.station_id
    WHERE i.verdict = 'PASS'
      AND i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
      AND (:part = '' OR i.part = :part)
    GROUP BY i.model_id, i.label
),
-- With one accepted class p is the recorded confidence. Rows of older versions may record another class's.
is_p AS MATERIALIZED (
    SELECT c.*, CASE WHEN own.classes = 1 THEN 1 ELSE 0 END AS is_p
    FROM by_class c
    LEFT JOIN accepted own ON own.model_id = c.model_id AND own.name = c.label
),
-- Without MATERIALIZED, here and in calibration, SQLite would compute p again at every use.
added AS MATERIALIZED (
    SELECT
        i.model_id,
        coalesce((
            SELECT sum(CAST(CAST(p.value AS TEXT) AS DOUBLE PRECISION))
            FROM json_each(i.probabilities) p
            JOIN accepted a ON a.model_id = i.model_id AND a.name = p.key
        ), i.confidence) AS p
    FROM is_p c
    CROSS JOIN inspection i
    JOIN station s ON s.id = i.station_id
    WHERE c.is_p = 0 AND i.model_id = c.model_id AND i.label = c.label
      AND i.inspected_us >= c.first_us AND i.inspected_us <= c.last_us
      AND i.verdict = 'PASS'
      AND i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
      AND (:part = '' OR i.part = :part)
),
expectation AS (
    SELECT
        model_id,
        CAST(sum(passed) AS BIGINT) AS passed,
        CAST(sum(expected) AS DOUBLE PRECISION) / 1e9 AS expected,
        sqrt(CAST(sum(variance) AS DOUBLE PRECISION) / 1e9) AS sigma
    FROM (
        SELECT model_id, passed, expected, variance FROM is_p WHERE is_p = 1
        UNION ALL
        SELECT
            model_id,
            1,
            CAST(floor(CASE WHEN p < 1 THEN 1 - p ELSE 0 END * 1e9 + 0.5) AS BIGINT),
            CAST(floor(CASE WHEN p < 1 THEN p * (1 - p) ELSE 0 END * 1e9 + 0.5) AS BIGINT)
        FROM added
    ) all_passed
    GROUP BY model_id
),
audit AS (
    SELECT i.model_id, count(*) AS audited, count(CASE WHEN d.verdict = 'FAIL' THEN 1 END) AS escapes
    FROM audit_sample a
    JOIN inspection i ON i.id = a.inspection_id
    JOIN station s ON s.id = i.station_id
    JOIN v_decision d ON d.inspection_id = i.id
    WHERE i.verdict = 'PASS'
      AND i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
      AND (:part = '' OR i.part = :part)
    GROUP BY i.model_id
),
-- An end is the share p at which at most k of n cases are seen with the given chance; the chance falls as p rises.
-- Each round halves the range of p. Within a round one row adds the chance of one more number of cases.
wanted AS (
    SELECT model_id, 'high' AS side, audited AS n, escapes AS k, CAST(0.025 AS DOUBLE PRECISION) AS chance
    FROM audit WHERE escapes < audited
    UNION ALL
    SELECT model_id, 'low', audited, escapes - 1, CAST(0.975 AS DOUBLE PRECISION) FROM audit WHERE escapes > 0
),
halved AS (
    SELECT w.*, 0 AS round, CAST(0 AS DOUBLE PRECISION) AS low, CAST(1 AS DOUBLE PRECISION) AS high,
        CAST(0.5 AS DOUBLE PRECISION) AS p, 0 AS counted, n * ln(CAST(0.5 AS DOUBLE PRECISION)) AS log_term,
        CAST(0 AS DOUBLE PRECISION) AS total
    FROM wanted w
    UNION ALL
    SELECT model_id, side, n, k, chance,
        CASE WHEN counted <= k THEN round ELSE round + 1 END,
        CASE WHEN counted > k AND total > chance THEN p ELSE low END,
        CASE WHEN counted > k AND total <= chance THEN p ELSE high END,
        CASE WHEN counted <= k THEN p WHEN total > chance THEN (p + high) / 2 ELSE (low + p) / 2 END,
        CASE WHEN counted <= k THEN counted + 1 ELSE 0 END,
        CASE
            WHEN counted <= k THEN log_term + ln(CAST(n - counted AS DOUBLE PRECISION) / (counted + 1) * p / (1 - p))
            WHEN total > chance THEN n * ln(1 - (p + high) / 2)
            ELSE n * ln(1 - (low + p) / 2)
        END,
        CASE
            WHEN counted > k THEN 0
            WHEN log_term > -700 THEN total + exp(log_term)
            ELSE total
        END
    FROM halved
    WHERE round < 40
),
bounded AS (
    SELECT
        model_id,
        max(CASE WHEN side = 'low' THEN floor(p * 1e9 + 0.5) / 1e9 END) AS low_share,
        max(CASE WHEN side = 'high' THEN floor(p * 1e9 + 0.5) / 1e9 END) AS high_share
    FROM halved
    WHERE round = 40
    GROUP BY model_id
),
compared AS (
    SELECT
        e.model_id,
        e.passed,
        coalesce(a.audited, 0) AS audited,
        coalesce(a.escapes, 0) AS escapes,
        CAST(a.escapes AS DOUBLE PRECISION) / a.audited AS share,
        coalesce(b.low_share, 0.0) AS low_share,
        coalesce(b.high_share, 1.0) AS high_share,
        e.expected,
        CASE WHEN e.expected < 1.96 * e.sigma THEN 0
            ELSE CAST(floor(e.expected - 1.96 * e.sigma) AS BIGINT) END AS expected_low,
        CASE WHEN e.expected + 1.96 * e.sigma > e.passed THEN e.passed
            ELSE CAST(ceil(e.expected + 1.96 * e.sigma) AS BIGINT) END AS expected_high
    FROM expectation e
    LEFT JOIN audit a ON a.model_id = e.model_id
    LEFT JOIN bounded b ON b.model_id = e.model_id
),
shared AS (
    SELECT
        compared.*,
        expected / passed AS expected_share,
        CAST(expected_low AS DOUBLE PRECISION) / passed AS expected_low_share,
        CAST(expected_high AS DOUBLE PRECISION) / passed AS expected_high_share
    FROM compared
)
SELECT
    m.name AS model,
    m.version,
    substr(m.artifact_sha256, 1, 12) AS artifact,
    CASE WHEN CAST(m.metadata ->> 'calibrated' AS TEXT) IN ('true', '1') THEN 1
        WHEN m.metadata ->> 'calibrated' IS NOT NULL THEN 0 END AS calibrated,
    c.passed,
    c.audited,
    c.escapes,
    c.share,
    c.low_share,
    c.high_share,
    c.expected,
    c.expected_low,
    c.expected_high,
    c.expected_share,
    c.expected_low_share,
    c.expected_high_share,
    CASE WHEN c.audited = 0 THEN NULL
        WHEN c.low_share > c.expected_high_share THEN 'more'
        WHEN c.high_share < c.expected_low_share THEN 'fewer'
        ELSE 'none' END AS alarm
FROM shared c
JOIN model m ON m.id = c.model_id
ORDER BY m.id;
