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
timed AS (
    SELECT 1 AS position, 'wait' AS step, wait_ms AS ms FROM chosen
    UNION ALL
    SELECT 2, 'decode', decode_ms FROM chosen
    UNION ALL
    SELECT 3, 'infer', infer_ms FROM chosen
    UNION ALL
    SELECT 4, 'total', total_ms FROM chosen
),
ranked AS (
    SELECT
        position,
        step,
        ms,
        row_number() OVER (PARTITION BY position ORDER BY ms) AS place,
        count(*) OVER (PARTITION BY position) AS n
    FROM timed
)
SELECT
    step,
    max(n) AS n,
    min(CASE WHEN place * 100 >= n * 50 THEN ms END) AS p50_ms,
    min(CASE WHEN place * 100 >= n * 95 THEN ms END) AS p95_ms,
    min(CASE WHEN place * 100 >= n * 99 THEN ms END) AS p99_ms,
    max(ms) AS max_ms
FROM ranked
GROUP BY position, step
ORDER BY position;
