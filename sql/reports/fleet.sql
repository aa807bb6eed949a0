-- Which stations are behind or silent, which artifact does each use, and whose images are unlike the others'?
--
-- station              the camera PC
-- model                artifact that judged its latest image: its name
-- version              its version
-- artifact             first 12 digits of its SHA-256
-- last_image_us        time of the latest judgement, in this or any period, UTC epoch microseconds
-- last_batch_us        time of the latest batch of rows that the station forwarded to this database, or by which it
--                      said that there are none; empty if it does not forward
-- silent_s             seconds from its last sign (image or batch) to the last sign of any station here: above 600 a
--                      station that forwards, and works, is cut off or stopped
-- behind               rows that it still had to forward at its latest batch
-- n                    images judged in the period; the shares below are of these
-- fail_share           the station's verdict FAIL, 0 to 1
-- review_share         the station's verdict REVIEW
-- others_review_share  REVIEW at all other stations together
-- review_z             difference of the two REVIEW shares in standard errors; beyond 3 either way it stands out, and
--                      chance alone would show that once in 370 stations
-- reference_n          images of the reference period
-- novelty_shift        mean novelty of the period less that of the reference period, in standard deviations of the
--                      reference: 0.2 is small, 0.5 medium, 0.8 large (Cohen). 'drift --station' shows more. Of a
--                      station with 320,000 images or more, a sixteenth that is spread evenly over them counts
-- confidence_shift     the same for the confidence
--
-- In the database of one station the report shows that station. It counts the station's verdicts: they show camera and
-- network, whatever people say later.
--
-- Parameters, all required: since_us (inclusive) and until_us (exclusive), the time of judgement by the station's
-- clock in UTC epoch microseconds; reference_since_us and reference_until_us, the period to compare with; station
-- (or a site, for all stations below it), '' for all.
WITH signs AS MATERIALIZED (
    SELECT
        s.id AS station_id,
        s.name AS station,
        (SELECT max(i.inspected_us) FROM inspection i WHERE i.station_id = s.id) AS last_image_us,
        (SELECT max(f.id) FROM forwarded f WHERE f.station_id = s.id) AS forwarded_id
    FROM station s
),
latest AS MATERIALIZED (
    SELECT
        g.station_id,
        g.station,
        g.last_image_us,
        f.at_us AS last_batch_us,
        f.behind,
        CASE WHEN f.at_us > coalesce(g.last_image_us, f.at_us - 1) THEN f.at_us ELSE g.last_image_us END AS sign_us,
        (SELECT max(i.id) FROM inspection i
         WHERE i.station_id = g.station_id AND i.inspected_us = g.last_image_us) AS image_id
    FROM signs g
    LEFT JOIN forwarded f ON f.id = g.forwarded_id
),
counted AS MATERIALIZED (
    SELECT
        i.station_id,
        CASE WHEN i.inspected_us >= :since_us AND i.inspected_us < :until_us THEN 1 ELSE 0 END AS now,
        CASE WHEN i.inspected_us >= :reference_since_us AND i.inspected_us < :reference_until_us
            THEN 1 ELSE 0 END AS before,
        count(*) AS n
    FROM station s
    CROSS JOIN inspection i
    WHERE i.station_id = s.id
      AND (i.inspected_us >= :since_us AND i.inspected_us < :until_us
           OR i.inspected_us >= :reference_since_us AND i.inspected_us < :reference_until_us)
    GROUP BY 1, 2, 3
),
-- The few images that did not pass are all in ix_inspection_sixteenth.
rejected AS MATERIALIZED (
    SELECT
        i.station_id,
        count(CASE WHEN i.verdict = 'FAIL' THEN 1 END) AS failed,
        count(CASE WHEN i.verdict = 'REVIEW' THEN 1 END) AS review
    FROM inspection i
    WHERE i.verdict <> 'PASS'
      AND i.inspected_us >= :since_us AND i.inspected_us < :until_us
    GROUP BY i.station_id
),
size AS MATERIALIZED (SELECT station_id, sum(n) AS n FROM counted GROUP BY station_id),
-- Novelty and confidence of a station with 320,000 images or more are those of the sixteenth that the index holds:
-- Fibonacci hashing spreads consecutive numbers evenly, so that every hour is in the choice.
measured AS MATERIALIZED (
    SELECT
        i.station_id,
        CASE WHEN i.inspected_us >= :since_us AND i.inspected_us < :until_us THEN 1 ELSE 0 END AS now,
        CASE WHEN i.inspected_us >= :reference_since_us AND i.inspected_us < :reference_until_us
            THEN 1 ELSE 0 END AS before,
        i.novelty,
        i.confidence
    FROM size z
    CROSS JOIN inspection i
    WHERE z.n < 320000
      AND i.station_id = z.station_id
      AND (i.inspected_us >= :since_us AND i.inspected_us < :until_us
           OR i.inspected_us >= :reference_since_us AND i.inspected_us < :reference_until_us)
    UNION ALL
    SELECT
        i.station_id,
        CASE WHEN i.inspected_us >= :since_us AND i.inspected_us < :until_us THEN 1 ELSE 0 END,
        CASE WHEN i.inspected_us >= :reference_since_us AND i.inspected_us < :reference_until_us
            THEN 1 ELSE 0 END,
        i.novelty,
        i.confidence
    FROM inspection i
    JOIN size z ON z.station_id = i.station_id
    WHERE z.n >= 320000
      AND i.id * 2654435761 % 4294967296 < 268435456
      AND (i.inspected_us >= :since_us AND i.inspected_us < :until_us
           OR i.inspected_us >= :reference_since_us AND i.inspected_us < :reference_until_us)
),
-- The period and its reference may overlap, so an image may count in both.
present AS MATERIALIZED (
    SELECT
        c.station_id,
        CAST(c.n AS DOUBLE PRECISION) AS n,
        CAST(coalesce(r.failed, 0) AS DOUBLE PRECISION) AS failed,
        CAST(coalesce(r.review, 0) AS DOUBLE PRECISION) AS review,
        m.novelty,
        m.confidence
    FROM (SELECT station_id, sum(n) AS n FROM counted WHERE now = 1 GROUP BY station_id) c
    LEFT JOIN rejected r ON r.station_id = c.station_id
    LEFT JOIN (
        SELECT station_id, avg(novelty) AS novelty, avg(confidence) AS confidence
        FROM measured
        WHERE now = 1
        GROUP BY station_id
    ) m ON m.station_id = c.station_id
),
reference AS (
    SELECT c.station_id, CAST(c.n AS BIGINT) AS n, m.novelty, m.novelty_2, m.confidence, m.confidence_2
    FROM (SELECT station_id, sum(n) AS n FROM counted WHERE before = 1 GROUP BY station_id) c
    LEFT JOIN (
        SELECT
            station_id,
            avg(novelty) AS novelty,
            avg(novelty * novelty) AS novelty_2,
            avg(confidence) AS confidence,
            avg(confidence * confidence) AS confidence_2
        FROM measured
        WHERE before = 1
        GROUP BY station_id
    ) m ON m.station_id = c.station_id
),
-- A variance below the rounding of its sums is none: all values are the same.
spread AS (
    SELECT
        r.*,
        CASE WHEN r.novelty_2 - r.novelty * r.novelty > 1e-12
            THEN sqrt(r.novelty_2 - r.novelty * r.novelty) END AS novelty_sd,
        CASE WHEN r.confidence_2 - r.confidence * r.confidence > 1e-12
            THEN sqrt(r.confidence_2 - r.confidence * r.confidence) END AS confidence_sd
    FROM reference r
),
compared AS (
    SELECT
        p.*,
        (SELECT sum(o.n) FROM present o WHERE o.station_id <> p.station_id) AS others_n,
        (SELECT sum(o.review) FROM present o WHERE o.station_id <> p.station_id) AS others_review,
        (SELECT sum(o.review) / sum(o.n) FROM present o) AS all_share
    FROM present p
)
SELECT
    l.station,
    m.name AS model,
    m.version,
    substr(m.artifact_sha256, 1, 12) AS artifact,
    l.last_image_us,
    l.last_batch_us,
    ((SELECT max(a.sign_us) FROM latest a) - l.sign_us) / 1000000 AS silent_s,
    l.behind,
    CAST(coalesce(c.n, 0) AS BIGINT) AS n,
    c.failed / c.n AS fail_share,
    c.review / c.n AS review_share,
    c.others_review / c.others_n AS others_review_share,
    round((c.review / c.n - c.others_review / c.others_n)
        / sqrt(NULLIF(c.all_share * (1 - c.all_share), 0) * (1 / c.n + 1 / c.others_n)) * 1000000) / 1000000
        AS review_z,
    coalesce(r.n, 0) AS reference_n,
    -- Rounded to a millionth, because the last digits of a sum depend on its order.
    round((c.novelty - r.novelty) / r.novelty_sd * 1000000) / 1000000 AS novelty_shift,
    round((c.confidence - r.confidence) / r.confidence_sd * 1000000) / 1000000 AS confidence_shift
FROM latest l
LEFT JOIN inspection i ON i.id = l.image_id
LEFT JOIN model m ON m.id = i.model_id
LEFT JOIN compared c ON c.station_id = l.station_id
LEFT JOIN spread r ON r.station_id = l.station_id
WHERE :station = '' OR l.station = :station OR (l.station >= :station || '/' AND l.station < :station || '0')
ORDER BY l.station;
