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
WITH minutely AS (
    SELECT
        s.name AS station,
        i.inspected_us / 60000000 AS minute,
        count(*) AS n,
        sum(i.batch_size) AS frames,
        sum(i.infer_ms) AS infer_ms
    FROM inspection i
    JOIN station s ON s.id = i.station_id
    WHERE i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:station = '' OR s.name = :station)
      AND (:part = '' OR i.part = :part)
    GROUP BY s.name, i.inspected_us / 60000000
)
SELECT
    (minute / 60) * 3600000000 AS hour_us,
    station,
    CAST(sum(n) AS BIGINT) AS n,
    CAST(max(n) AS BIGINT) AS busiest_minute,
    CAST(sum(frames) AS DOUBLE PRECISION) / CAST(sum(n) AS DOUBLE PRECISION) AS batches_of,
    -- Rounded to a millionth, because the last digits of a sum depend on its order.
    round(sum(infer_ms) / 3600000 * 1000000) / 1000000 AS infer_share
FROM minutely
GROUP BY minute / 60, station
ORDER BY minute / 60, station;
