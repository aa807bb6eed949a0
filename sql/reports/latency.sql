-- How long does an image take, step by step?
--
-- step    wait: from the file's close (else its first sight) to its reading
--         decode: reading, hash, decoding and resize
--         infer: its share of the batch, the batch's time over its size
--         total: from the file's close (else its first sight) to just before the commit
-- n       images judged
-- p50_ms  milliseconds that half of the images stayed within; p95, p99 alike (nearest rank: a time
--         that some image really took, never one in between)
-- max_ms  the slowest image
--
-- Parameters, always bound: since_us (inclusive) and until_us (exclusive) on the station's own clock at
-- judgement, UTC epoch microseconds; station and part, each '' for all.
WITH chosen AS (
    SELECT i.wait_ms, i.decode_ms, i.infer_ms, i.total_ms
    FROM inspection i
    JOIN station s ON s.id = i.station_id
    WHERE i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:station = '' OR s.name = :station)
      AND (:part = '' OR i.part = :part)
),
-- A sort of each step by itself takes half the time of one sort of them all.
counted AS (SELECT count(*) AS n FROM chosen),
ranked AS (
    SELECT 1 AS position, 'wait' AS step, wait_ms AS ms, row_number() OVER (ORDER BY wait_ms) AS place
    FROM chosen
    UNION ALL
    SELECT 2, 'decode', decode_ms, row_number() OVER (ORDER BY decode_ms)
    FROM chosen
    UNION ALL
    SELECT 3, 'infer', infer_ms, row_number() OVER (ORDER BY infer_ms)
    FROM chosen
    UNION ALL
    SELECT 4, 'total', total_ms, row_number() OVER (ORDER BY total_ms)
    FROM chosen
)
SELECT
    r.step,
    c.n,
    max(CASE WHEN r.place = (c.n * 50 + 99) / 100 THEN r.ms END) AS p50_ms,
    max(CASE WHEN r.place = (c.n * 95 + 99) / 100 THEN r.ms END) AS p95_ms,
    max(CASE WHEN r.place = (c.n * 99 + 99) / 100 THEN r.ms END) AS p99_ms,
    max(CASE WHEN r.place = c.n THEN r.ms END) AS max_ms
FROM ranked r
CROSS JOIN counted c
WHERE r.place IN ((c.n * 50 + 99) / 100, (c.n * 95 + 99) / 100, (c.n * 99 + 99) / 100, c.n)
GROUP BY r.position, r.step, c.n
ORDER BY r.position;
