-- How long does an image take, by the size of its batch?
--
-- batch_size  frames judged together
-- step    wait: from the close of the file (or its first sight) to reading
--         decode: reading, hash, decoding and resize
--         infer: time of the batch divided by its size
--         total: from the close of the file (or its first sight) to just before the commit
-- n       images judged
-- p50_ms  half of the images took at most this time; p95_ms and p99_ms: 95% and 99% of them (nearest rank: the
--         time of a real image, not interpolated). Of more than 20,000 images of a size, about 20,000
--         that are spread evenly over them count: then p99_ms is the time that between 98.8% and 99.2% of all images
--         took at most. Of more than 320,000 images of all sizes, at most one in 16 counts, so the percentiles of a
--         size with few images are rough
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
        batch_size,
        CAST(sum(n) AS BIGINT) AS n,
        max(wait_ms) AS wait_ms,
        max(decode_ms) AS decode_ms,
        max(infer_ms) AS infer_ms,
        max(total_ms) AS total_ms
    FROM (
        SELECT b.batch_size, b.n, b.wait_max_ms AS wait_ms, b.decode_max_ms AS decode_ms,
            b.infer_max_ms AS infer_ms, b.total_max_ms AS total_ms
        FROM known k
        JOIN hour_batch b ON b.work_id = k.work_id
        UNION ALL
        SELECT i.batch_size, 1, i.wait_ms, i.decode_ms, i.infer_ms, i.total_ms
        FROM stretch t
        CROSS JOIN inspection i
        WHERE i.station_id = t.station_id
          AND i.inspected_us >= t.from_us AND i.inspected_us < t.to_us
          AND i.inspected_us >= :since_us AND i.inspected_us < :until_us
          AND (:part = '' OR i.part = :part)
    ) hourly
    GROUP BY batch_size
),
total AS MATERIALIZED (SELECT sum(n) AS n FROM counted),
-- Fibonacci hashing spreads consecutive numbers evenly, so that every place in a batch and every hour is in the choice.
-- From 320,000 images on, it is made from those that ix_inspection_sixteenth holds.
chosen AS MATERIALIZED (
    SELECT i.batch_size, i.wait_ms, i.decode_ms, i.infer_ms, i.total_ms
    FROM total t
    CROSS JOIN inspection i
    JOIN station s ON s.id = i.station_id
    JOIN counted c ON c.batch_size = i.batch_size
    WHERE t.n < 320000
      AND i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
      AND (:part = '' OR i.part = :part)
      AND i.id * 2654435761 % 4294967296 * c.n < CAST(4294967296 AS BIGINT) * 20000
    UNION ALL
    SELECT i.batch_size, i.wait_ms, i.decode_ms, i.infer_ms, i.total_ms
    FROM total t
    CROSS JOIN inspection i
    JOIN station s ON s.id = i.station_id
    JOIN counted c ON c.batch_size = i.batch_size
    WHERE t.n >= 320000
      AND i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
      AND (:part = '' OR i.part = :part)
      AND i.id * 2654435761 % 4294967296 < 268435456
      AND i.id * 2654435761 % 4294967296 * c.n < CAST(4294967296 AS BIGINT) * 20000
),
size AS (SELECT batch_size, count(*) AS m FROM chosen GROUP BY batch_size),
-- Sorting each step by itself takes half the time of sorting all of them together.
ranked AS (
    SELECT batch_size, 1 AS position, wait_ms AS ms,
        row_number() OVER (PARTITION BY batch_size ORDER BY wait_ms) AS place
    FROM chosen
    UNION ALL
    SELECT batch_size, 2, decode_ms, row_number() OVER (PARTITION BY batch_size ORDER BY decode_ms) FROM chosen
    UNION ALL
    SELECT batch_size, 3, infer_ms, row_number() OVER (PARTITION BY batch_size ORDER BY infer_ms) FROM chosen
    UNION ALL
    SELECT batch_size, 4, total_ms, row_number() OVER (PARTITION BY batch_size ORDER BY total_ms) FROM chosen
)
SELECT
    r.batch_size,
    CASE r.position WHEN 1 THEN 'wait' WHEN 2 THEN 'decode' WHEN 3 THEN 'infer' ELSE 'total' END AS step,
    c.n,
    max(CASE WHEN r.place = (z.m * 50 + 99) / 100 THEN r.ms END) AS p50_ms,
    max(CASE WHEN r.place = (z.m * 95 + 99) / 100 THEN r.ms END) AS p95_ms,
    max(CASE WHEN r.place = (z.m * 99 + 99) / 100 THEN r.ms END) AS p99_ms,
    CASE r.position WHEN 1 THEN c.wait_ms WHEN 2 THEN c.decode_ms WHEN 3 THEN c.infer_ms ELSE c.total_ms END AS max_ms
FROM ranked r
JOIN size z ON z.batch_size = r.batch_size
JOIN counted c ON c.batch_size = r.batch_size
WHERE r.place IN ((z.m * 50 + 99) / 100, (z.m * 95 + 99) / 100, (z.m * 99 + 99) / 100)
GROUP BY r.batch_size, r.position, c.n, c.wait_ms, c.decode_ms, c.infer_ms, c.total_ms
ORDER BY r.batch_size, r.position;
