-- How long does an image take, by the size of its batch?
--
-- batch_size  frames judged together
-- step    wait: from the close of the file (or its first sight) to reading
--         decode: reading, hash, decoding and resize
--         infer: time of the batch divided by its size
--         total: from the close of the file (or its first sight) to just before the commit
-- n       images judged
-- p50_ms  half of the images took at most this time; p95_ms and p99_ms: 95% and 99% of them (nearest rank: the
--         time of a real image, not interpolated)
-- max_ms  the slowest image
--
-- Parameters, all required: since_us (inclusive) and until_us (exclusive), the time of judgement by the station's
-- clock in UTC epoch microseconds; station and part, each '' for all.
WITH chosen AS (
    SELECT i.batch_size, i.wait_ms, i.decode_ms, i.infer_ms, i.total_ms
    FROM inspection i
    JOIN station s ON s.id = i.station_id
    WHERE i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:station = '' OR s.name = :station)
      AND (:part = '' OR i.part = :part)
),
-- Sorting each step by itself takes half the time of sorting all of them together.
counted AS (SELECT batch_size, count(*) AS n FROM chosen GROUP BY batch_size),
ranked AS (
    SELECT batch_size, 1 AS position, 'wait' AS step, wait_ms AS ms,
        row_number() OVER (PARTITION BY batch_size ORDER BY wait_ms) AS place
    FROM chosen
    UNION ALL
    SELECT batch_size, 2, 'decode', decode_ms, row_number() OVER (PARTITION BY batch_size ORDER BY decode_ms)
    FROM chosen
    UNION ALL
    SELECT batch_size, 3, 'infer', infer_ms, row_number() OVER (PARTITION BY batch_size ORDER BY infer_ms)
    FROM chosen
    UNION ALL
    SELECT batch_size, 4, 'total', total_ms, row_number() OVER (PARTITION BY batch_size ORDER BY total_ms)
    FROM chosen
)
SELECT
    r.batch_size,
    r.step,
    c.n,
    max(CASE WHEN r.place = (c.n * 50 + 99) / 100 THEN r.ms END) AS p50_ms,
    max(CASE WHEN r.place = (c.n * 95 + 99) / 100 THEN r.ms END) AS p95_ms,
    max(CASE WHEN r.place = (c.n * 99 + 99) / 100 THEN r.ms END) AS p99_ms,
    max(CASE WHEN r.place = c.n THEN r.ms END) AS max_ms
FROM ranked r
JOIN counted c ON c.batch_size = r.batch_size
WHERE r.place IN ((c.n * 50 + 99) / 100, (c.n * 95 + 99) / 100, (c.n * 99 + 99) / 100, c.n)
GROUP BY r.batch_size, r.position, r.step, c.n
ORDER BY r.batch_size, r.position;
