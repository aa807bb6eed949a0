-- How long does an image take, by hour?
--
-- hour_us  start of the hour of judgement, UTC epoch microseconds
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
chosen AS MATERIALIZED (
    SELECT
        i.inspected_us - ((i.inspected_us % 3600000000) + 3600000000) % 3600000000 AS hour_us,
        i.wait_ms, i.decode_ms, i.infer_ms, i.total_ms
    FROM stretch t
    CROSS JOIN inspection i
    JOIN station s ON s.id = i.station_id
    WHERE i.inspected_us >= t.from_us AND i.inspected_us < t.to_us
      AND i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
      AND (:part = '' OR i.part = :part)
),
-- Sorting each step by itself takes half the time of sorting all of them together.
counted AS (SELECT hour_us, count(*) AS n FROM chosen GROUP BY hour_us),
ranked AS (
    SELECT hour_us, 1 AS position, 'wait' AS step, wait_ms AS ms,
        row_number() OVER (PARTITION BY hour_us ORDER BY wait_ms) AS place
    FROM chosen
    UNION ALL
    SELECT hour_us, 2, 'decode', decode_ms, row_number() OVER (PARTITION BY hour_us ORDER BY decode_ms)
    FROM chosen
    UNION ALL
    SELECT hour_us, 3, 'infer', infer_ms, row_number() OVER (PARTITION BY hour_us ORDER BY infer_ms)
    FROM chosen
    UNION ALL
    SELECT hour_us, 4, 'total', total_ms, row_number() OVER (PARTITION BY hour_us ORDER BY total_ms)
    FROM chosen
),
listed AS (
    SELECT hour_us, 1 AS position, 'wait' AS step, n, wait_p50_ms AS p50_ms, wait_p95_ms AS p95_ms,
        wait_p99_ms AS p99_ms, wait_max_ms AS max_ms
    FROM known
    UNION ALL
    SELECT hour_us, 2, 'decode', n, decode_p50_ms, decode_p95_ms, decode_p99_ms, decode_max_ms FROM known
    UNION ALL
    SELECT hour_us, 3, 'infer', n, infer_p50_ms, infer_p95_ms, infer_p99_ms, infer_max_ms FROM known
    UNION ALL
    SELECT hour_us, 4, 'total', n, total_p50_ms, total_p95_ms, total_p99_ms, total_max_ms FROM known
    UNION ALL
    SELECT
        r.hour_us,
        r.position,
        r.step,
        c.n,
        max(CASE WHEN r.place = (c.n * 50 + 99) / 100 THEN r.ms END) AS p50_ms,
        max(CASE WHEN r.place = (c.n * 95 + 99) / 100 THEN r.ms END) AS p95_ms,
        max(CASE WHEN r.place = (c.n * 99 + 99) / 100 THEN r.ms END) AS p99_ms,
        max(CASE WHEN r.place = c.n THEN r.ms END) AS max_ms
    FROM ranked r
    JOIN counted c ON c.hour_us = r.hour_us
    WHERE r.place IN ((c.n * 50 + 99) / 100, (c.n * 95 + 99) / 100, (c.n * 99 + 99) / 100, c.n)
    GROUP BY r.hour_us, r.position, r.step, c.n
)
SELECT hour_us, step, n, p50_ms, p95_ms, p99_ms, max_ms
FROM listed
ORDER BY hour_us, position;
