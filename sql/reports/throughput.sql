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
