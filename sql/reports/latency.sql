-- How long does each step of an image take?
--
-- step    wait: from the close of the file (or its first sight) to reading
--         decode: reading, hash, decoding and resize
--         infer: time of the batch divided by its size
--         total: from the close of the file (or its first sight) to just before the commit
-- n       images judged
-- p50_ms  half of the images took at most this time; p95_ms and p99_ms: 95% and 99% of them (nearest rank: the
--         time of a real image, not interpolated). Of more than 50,000 images, 20,000 to 50,000 that are spread
--         evenly over them count: then p99_ms is the time that between 98.8% and 99.2% of all images took at most
-- max_ms  the slowest of all images
--
-- Parameters, all required: since_us (inclusive) and until_us (exclusive), the time of judgement by the station's
-- clock in UTC epoch microseconds; station (or a site, for all stations below it) and part, each '' for all.
WITH seal AS MATERIALIZED (
    SELECT inspection_id, until_us FROM summary_seal ORDER BY inspection_id DESC, until_us DESC LIMIT 1
),
-- The images of these times are counted: those after the seal, and the hours in which the period begins or ends, or a
-- later image is. Without a seal it is the whole period.
unsealed AS MATERIALIZED (
    SELECT coalesce((SELECT until_us FROM seal), :since_us) AS from_us, CAST(:until_us AS BIGINT) AS to_us
    UNION
    SELECT
        a.at_us - ((a.at_us % 3600000000) + 3600000000) % 3600000000,
        a.at_us - ((a.at_us % 3600000000) + 3600000000) % 3600000000 + 3600000000
    FROM (
        SELECT inspected_us AS at_us
        FROM inspection
        WHERE id > (SELECT inspection_id FROM seal) AND id <= (SELECT max(id) FROM inspection)
        UNION ALL SELECT :since_us
        UNION ALL SELECT :until_us
    ) a
    WHERE a.at_us < (SELECT until_us FROM seal)
),
-- The station whose hours are summarized. Of a site with several stations all images are read: no percentile
-- follows from those of its stations.
summarized AS MATERIALIZED (
    SELECT CASE WHEN count(*) = 1 THEN min(s.id) END AS station_id
    FROM station s
    WHERE :station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0')
),
hours AS MATERIALIZED (
    SELECT
        i.inspected_us - ((i.inspected_us % 3600000000) + 3600000000) % 3600000000 AS hour_us,
        count(*) AS n
    FROM unsealed u
    CROSS JOIN station s
    CROSS JOIN inspection i
    WHERE i.station_id = s.id
      AND i.inspected_us >= u.from_us AND i.inspected_us < u.to_us
      AND i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
      AND :part = ''
      AND (:station = '' OR (SELECT station_id FROM summarized) IS NOT NULL)
    GROUP BY 1
),
-- An hour within the period is not read again if its row in hour_latency has as many images: images are only ever
-- added. Of a sealed hour the row of the most images has them all.
known AS MATERIALIZED (
    SELECT l.*
    FROM hours h
    JOIN hour_latency l ON l.hour_us = h.hour_us AND l.n = h.n
    WHERE l.of_station = CASE WHEN :station = '' THEN 0 ELSE (SELECT station_id FROM summarized) END
      AND h.hour_us >= :since_us AND h.hour_us + 3600000000 <= :until_us
    UNION ALL
    SELECT l.*
    FROM hour_latency l
    LEFT JOIN unsealed u ON u.from_us = l.hour_us
    LEFT JOIN hour_latency o ON o.of_station = l.of_station AND o.hour_us = l.hour_us AND o.n > l.n
    WHERE l.of_station = CASE WHEN :station = '' THEN 0 ELSE (SELECT station_id FROM summarized) END
      AND l.hour_us >= :since_us AND l.hour_us < :until_us AND l.hour_us < (SELECT until_us FROM seal)
      AND :part = ''
      AND u.from_us IS NULL
      AND o.id IS NULL
),
-- The images of these times are read.
stretch AS (
    SELECT h.hour_us AS from_us, h.hour_us + 3600000000 AS to_us
    FROM hours h
    WHERE h.hour_us NOT IN (SELECT hour_us FROM known)
    UNION ALL
    SELECT CAST(:since_us AS BIGINT), CAST(:until_us AS BIGINT)
    WHERE :part <> '' OR (:station <> '' AND (SELECT station_id FROM summarized) IS NULL)
),
counted AS MATERIALIZED (
    SELECT
        CAST(sum(n) AS BIGINT) AS n,
        max(wait_ms) AS wait_ms,
        max(decode_ms) AS decode_ms,
        max(infer_ms) AS infer_ms,
        max(total_ms) AS total_ms
    FROM (
        SELECT n, wait_max_ms AS wait_ms, decode_max_ms AS decode_ms, infer_max_ms AS infer_ms,
            total_max_ms AS total_ms
        FROM known
        UNION ALL
        SELECT count(*), max(i.wait_ms), max(i.decode_ms), max(i.infer_ms), max(i.total_ms)
        FROM stretch t
        CROSS JOIN inspection i
        JOIN station s ON s.id = i.station_id
        WHERE i.inspected_us >= t.from_us AND i.inspected_us < t.to_us
          AND i.inspected_us >= :since_us AND i.inspected_us < :until_us
          AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
          AND (:part = '' OR i.part = :part)
    ) hourly
),
-- Fibonacci hashing spreads consecutive numbers evenly, so that every place in a batch and every hour is in the choice.
-- From 320,000 images on, it is made from those that ix_inspection_sixteenth holds.
chosen AS MATERIALIZED (
    SELECT i.wait_ms, i.decode_ms, i.infer_ms, i.total_ms
    FROM counted c
    CROSS JOIN inspection i
    JOIN station s ON s.id = i.station_id
    WHERE c.n < 320000
      AND i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
      AND (:part = '' OR i.part = :part)
      AND i.id * 2654435761 % 4294967296 * c.n < CAST(4294967296 AS BIGINT) * 50000
    UNION ALL
    SELECT i.wait_ms, i.decode_ms, i.infer_ms, i.total_ms
    FROM counted c
    CROSS JOIN inspection i
    JOIN station s ON s.id = i.station_id
    WHERE c.n >= 320000
      AND i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
      AND (:part = '' OR i.part = :part)
      AND i.id * 2654435761 % 4294967296 < 268435456
      AND i.id * 2654435761 % 4294967296 * c.n < CAST(4294967296 AS BIGINT) * 50000
),
size AS (SELECT count(*) AS m FROM chosen),
-- Sorting each step by itself takes half the time of sorting all of them together.
ranked AS (
    SELECT 1 AS position, wait_ms AS ms, row_number() OVER (ORDER BY wait_ms) AS place FROM chosen
    UNION ALL
    SELECT 2, decode_ms, row_number() OVER (ORDER BY decode_ms) FROM chosen
    UNION ALL
    SELECT 3, infer_ms, row_number() OVER (ORDER BY infer_ms) FROM chosen
    UNION ALL
    SELECT 4, total_ms, row_number() OVER (ORDER BY total_ms) FROM chosen
)
SELECT
    CASE r.position WHEN 1 THEN 'wait' WHEN 2 THEN 'decode' WHEN 3 THEN 'infer' ELSE 'total' END AS step,
    c.n,
    max(CASE WHEN r.place = (z.m * 50 + 99) / 100 THEN r.ms END) AS p50_ms,
    max(CASE WHEN r.place = (z.m * 95 + 99) / 100 THEN r.ms END) AS p95_ms,
    max(CASE WHEN r.place = (z.m * 99 + 99) / 100 THEN r.ms END) AS p99_ms,
    CASE r.position WHEN 1 THEN c.wait_ms WHEN 2 THEN c.decode_ms WHEN 3 THEN c.infer_ms ELSE c.total_ms END AS max_ms
FROM ranked r
CROSS JOIN size z
CROSS JOIN counted c
WHERE r.place IN ((z.m * 50 + 99) / 100, (z.m * 95 + 99) / 100, (z.m * 99 + 99) / 100)
GROUP BY r.position, c.n, c.wait_ms, c.decode_ms, c.infer_ms, c.total_ms
ORDER BY r.position;
