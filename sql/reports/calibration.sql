-- Are the confidences right: of the images at 90%, are nine of ten as the station said?
--
-- month              the local month in which the file was seen
-- model              the artifact's name
-- version            its version
-- artifact           first 12 digits of the artifact file's SHA-256: two files may share name and version
-- verdict            the station's. PASS counts only random audit samples (weld-inspect review sample), because PASS
--                    images that people choose are not a fair sample. FAIL and REVIEW count the images that were
--                    reviewed; they hold for all of them if all or a random part were reviewed
-- n                  images that a person passed or failed; the latest verdict counts. The shares are of these
-- confidence_share   mean probability that the station is right, 0 to 1: for PASS that of all classes that the shop
--                    accepts, for FAIL that of all defect classes, for REVIEW the larger of the two
-- right              of n, images with the same verdict by the person; for REVIEW, with that of the likelier side
-- right_share        right / n: equals confidence_share, but for chance, if the confidences are calibrated
-- low_share          right_share that chance alone leaves likely if every confidence is right, lower end: the sum of the
--                    confidences c - 1.96 sigma, down to the next whole number and not below 0, / n; sigma is the square
--                    root of the sum of c (1 - c)
-- high_share         upper end, in the same way
-- calibration_error  expected calibration error (Guo et al. 2017): the mean distance of right_share and confidence_share
--                    over the bins of the report confidence, weighted by their n, 0 to 1. Chance alone gives more than
--                    0, about 1 / sqrt(n) for few images
-- fit                too sure: right_share is below low_share. too unsure: it is above high_share. fits: neither. Of
--                    twenty calibrated rows, one is not 'fits' by chance
--
-- Most reviewed images are REVIEW, of which the station was unsure. They say nothing about the images that passed, so the
-- rows are apart: claims on PASS are proved by the audit samples alone. Images of one weld are alike, so low_share and
-- high_share are too narrow if the reviewed images are of few welds. Images whose network gave no number, and artifacts
-- that do not name their classes, are left out.
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
roles AS (
    SELECT model_id, class ->> 'name' AS name, class ->> 'role' AS role FROM described WHERE class IS NOT NULL
),
decided AS MATERIALIZED (
    SELECT
        i.model_id,
        substr(i.local_day, 1, 7) AS month,
        i.verdict,
        d.verdict AS human_verdict,
        (
            SELECT sum(CASE WHEN r.role = 'accept' THEN CAST(CAST(p.value AS TEXT) AS DOUBLE PRECISION) ELSE 0.0 END)
            FROM json_each(i.probabilities) p
            JOIN roles r ON r.model_id = i.model_id AND r.name = p.key
        ) AS p
    FROM v_decision d
    JOIN inspection i ON i.id = d.inspection_id
    JOIN station s ON s.id = i.station_id
    LEFT JOIN audit_sample a ON a.inspection_id = i.id
    WHERE (i.verdict <> 'PASS' OR a.inspection_id IS NOT NULL)
      AND i.confidence > 0
      AND i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
      AND (:part = '' OR i.part = :part)
),
claimed AS MATERIALIZED (
    SELECT
        model_id,
        month,
        verdict,
        CASE WHEN verdict = 'PASS' OR verdict = 'REVIEW' AND p >= 0.5 THEN p ELSE 1 - p END AS c,
        CASE WHEN human_verdict =
            CASE WHEN verdict = 'PASS' OR verdict = 'REVIEW' AND p >= 0.5 THEN 'PASS' ELSE 'FAIL' END
            THEN 1 ELSE 0 END AS is_right
    FROM decided
    WHERE p IS NOT NULL
),
-- Added as integers of 1e-9: a sum of integers does not depend on the order of adding.
counted AS (
    SELECT
        model_id,
        month,
        verdict,
        CASE
            WHEN c >= 0.99 THEN 0.99 WHEN c >= 0.95 THEN 0.95 WHEN c >= 0.9 THEN 0.9 WHEN c >= 0.8 THEN 0.8
            WHEN c >= 0.7 THEN 0.7 WHEN c >= 0.6 THEN 0.6 WHEN c >= 0.5 THEN 0.5 ELSE 0
        END AS bin,
        count(*) AS n,
        sum(is_right) AS is_right,
        CAST(sum(CAST(floor(c * 1e9 + 0.5) AS BIGINT)) AS BIGINT) AS c,
        CAST(sum(CAST(floor(CASE WHEN c < 1 THEN c * (1 - c) ELSE 0 END * 1e9 + 0.5) AS BIGINT)) AS BIGINT) AS variance
    FROM claimed
    GROUP BY model_id, month, verdict, bin
),
summed AS (
    SELECT
        model_id,
        month,
        verdict,
        CAST(sum(n) AS BIGINT) AS n,
        CAST(sum(is_right) AS BIGINT) AS is_right,
        CAST(sum(c) AS DOUBLE PRECISION) / 1e9 AS c,
        sqrt(CAST(sum(variance) AS DOUBLE PRECISION) / 1e9) AS sigma,
        CAST(sum(abs(c - is_right * 1000000000)) AS DOUBLE PRECISION) / 1e9 AS distance
    FROM counted
    GROUP BY model_id, month, verdict
),
bounded AS (
    SELECT
        summed.*,
        CASE WHEN c < 1.96 * sigma THEN 0 ELSE CAST(floor(c - 1.96 * sigma) AS BIGINT) END AS low,
        CASE WHEN c + 1.96 * sigma > n THEN n ELSE CAST(ceil(c + 1.96 * sigma) AS BIGINT) END AS high
    FROM summed
)
SELECT
    b.month,
    m.name AS model,
    m.version,
    substr(m.artifact_sha256, 1, 12) AS artifact,
    b.verdict,
    b.n,
    b.c / b.n AS confidence_share,
    b.is_right AS "right",
    CAST(b.is_right AS DOUBLE PRECISION) / b.n AS right_share,
    CAST(b.low AS DOUBLE PRECISION) / b.n AS low_share,
    CAST(b.high AS DOUBLE PRECISION) / b.n AS high_share,
    b.distance / b.n AS calibration_error,
    CASE WHEN b.is_right < b.low THEN 'too sure' WHEN b.is_right > b.high THEN 'too unsure' ELSE 'fits' END AS fit
FROM bounded b
JOIN model m ON m.id = b.model_id
ORDER BY b.month, m.id, b.verdict;
