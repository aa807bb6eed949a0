-- How many images does each station judge per hour?
--
-- hour_us         start of the hour of judgement, UTC epoch microseconds
-- station         the camera PC
-- n               images judged
-- busiest_minute  largest number of images in one minute of that hour
-- batches_of      mean batch size over the images, frames
-- infer_share     time that the network worked, summed over all threads, divided by one hour: 1 is one thread at work
--                 all the time
--
-- Parameters, all required: since_us (inclusive) and until_us (exclusive), the time of judgement by the station's
-- clock in UTC epoch microseconds; station and part, each '' for all.
WITH hours AS MATERIALIZED (
    SELECT
        i.station_id,
        i.inspected_us - ((i.inspected_us % 3600000000) + 3600000000) % 3600000000 AS hour_us,
        count(*) AS n
    FROM station s
    CROSS JOIN inspection i
    WHERE i.station_id = s.id
      AND i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:station = '' OR s.name = :station)
      AND :part = ''
    GROUP BY 1, 2
),
-- An hour within the period is not read again if it has no more images than its row in hour_work, because images are
-- only ever added.
known AS MATERIALIZED (
    SELECT h.station_id, h.hour_us, w.id AS work_id
    FROM hours h
    LEFT JOIN hour_work w
        ON w.station_id = h.station_id AND w.hour_us = h.hour_us AND w.n = h.n
        AND h.hour_us >= :since_us AND h.hour_us + 3600000000 <= :until_us
),
-- The images of these times are read.
stretch AS MATERIALIZED (
    SELECT station_id, hour_us AS from_us, hour_us + 3600000000 AS to_us FROM known WHERE work_id IS NULL
    UNION ALL
    SELECT id, CAST(:since_us AS BIGINT), CAST(:until_us AS BIGINT)
    FROM station
    WHERE :part <> '' AND (:station = '' OR name = :station)
),
minutely AS (
    SELECT
        i.station_id,
        i.inspected_us - ((i.inspected_us % 3600000000) + 3600000000) % 3600000000 AS hour_us,
        ((i.inspected_us % 3600000000) + 3600000000) % 3600000000 / 60000000 AS minute,
        count(*) AS n,
        sum(i.batch_size) AS frames,
        sum(i.infer_ms) AS infer_ms
    FROM stretch t
    CROSS JOIN inspection i
    WHERE i.station_id = t.station_id
      AND i.inspected_us >= t.from_us AND i.inspected_us < t.to_us
      AND i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:part = '' OR i.part = :part)
    GROUP BY 1, 2, 3
),
hourly AS (
    SELECT k.station_id, k.hour_us, w.n, w.busiest_minute, w.frames, w.infer_ms
    FROM known k
    JOIN hour_work w ON w.id = k.work_id
    UNION ALL
    SELECT
        station_id,
        hour_us,
        CAST(sum(n) AS BIGINT),
        CAST(max(n) AS BIGINT),
        CAST(sum(frames) AS BIGINT),
        sum(infer_ms)
    FROM minutely
    GROUP BY station_id, hour_us
)
SELECT
    h.hour_us,
    s.name AS station,
    h.n,
    h.busiest_minute,
    CAST(h.frames AS DOUBLE PRECISION) / h.n AS batches_of,
    -- Rounded to a millionth, because the last digits of a sum depend on its order.
    round(h.infer_ms / 3600000 * 1000000) / 1000000 AS infer_share
FROM hourly h
JOIN station s ON s.id = h.station_id
ORDER BY h.hour_us, s.name;
