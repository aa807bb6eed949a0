-- How long does an image take, hour by hour?
--
-- hour_us  the hour's beginning by judgement, UTC epoch microseconds
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
    SELECT (i.inspected_us / 3600000000) * 3600000000 AS hour_us, i.wait_ms, i.decode_ms, i.infer_ms, i.total_ms
    FROM inspection i
    JOIN station s ON s.id = i.station_id
    WHERE i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:station = '' OR s.name = :station)
      AND (:part = '' OR i.part = :part)
),
timed AS (
    SELECT hour_us, 1 AS position, wait_ms AS ms FROM chosen
    UNION ALL
    SELECT hour_us, 2, decode_ms FROM chosen
    UNION ALL
    SELECT hour_us, 3, infer_ms FROM chosen
    UNION ALL
    SELECT hour_us, 4, total_ms FROM chosen
),
ranked AS (
    SELECT
        hour_us,
        position,
        ms,
        row_number() OVER (PARTITION BY hour_us, position ORDER BY ms) AS place,
        count(*) OVER (PARTITION BY hour_us, position) AS n
    FROM timed
)
SELECT
    hour_us,
    CASE position WHEN 1 THEN 'wait' WHEN 2 THEN 'decode' WHEN 3 THEN 'infer' ELSE 'total' END AS step,
    max(n) AS n,
    min(CASE WHEN place * 100 >= n * 50 THEN ms END) AS p50_ms,
    min(CASE WHEN place * 100 >= n * 95 THEN ms END) AS p95_ms,
    min(CASE WHEN place * 100 >= n * 99 THEN ms END) AS p99_ms,
    max(ms) AS max_ms
FROM ranked
GROUP BY hour_us, position
ORDER BY hour_us, position;
