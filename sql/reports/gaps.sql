-- When did no image come for 15 minutes or longer?
--
-- station   the camera PC
-- from_us   its last image before the gap, time of judgement, UTC epoch microseconds
-- until_us  its next image, in the period
-- hours     length of the gap
-- starts    starts of the program in the gap
-- stops     orderly stops of the program in the gap; if all four counts are 0, no file came
-- outages   database outages that ended in the gap
-- others    other events in the gap, such as a lost folder or an overflow of the watch
--
-- Parameters, all required: since_us (inclusive) and until_us (exclusive), the time of judgement by the station's
-- clock in UTC epoch microseconds; station (or a site, for all stations below it), '' for all. There is no part,
-- because a station stops for all parts.
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
      AND u.station_id IS NULL
      AND o.id IS NULL
),
judged AS (
    SELECT k.station_id, w.first_us, w.last_us
    FROM known k
    JOIN hour_work w ON w.id = k.work_id
    WHERE w.longest_pause_us < 900000000
    UNION ALL
    SELECT i.station_id, i.inspected_us, i.inspected_us
    FROM known k
    JOIN hour_work w ON w.id = k.work_id
    CROSS JOIN inspection i
    WHERE w.longest_pause_us >= 900000000
      AND i.station_id = k.station_id
      AND i.inspected_us >= k.hour_us AND i.inspected_us < k.hour_us + 3600000000
    UNION ALL
    SELECT i.station_id, i.inspected_us, i.inspected_us
    FROM checked k
    CROSS JOIN inspection i
    WHERE k.work_id IS NULL
      AND i.station_id = k.station_id
      AND i.inspected_us >= k.hour_us AND i.inspected_us < k.hour_us + 3600000000
      AND i.inspected_us >= :since_us AND i.inspected_us < :until_us
    UNION ALL
    SELECT station_id, before_us, before_us
    FROM (
        SELECT s.id AS station_id, (
            SELECT i.inspected_us FROM inspection i
            WHERE i.station_id = s.id AND i.inspected_us < :since_us
            ORDER BY i.inspected_us DESC LIMIT 1
        ) AS before_us
        FROM station s
    ) last
    WHERE before_us IS NOT NULL
),
following AS (
    SELECT
        station_id,
        lag(last_us) OVER (PARTITION BY station_id ORDER BY first_us) AS from_us,
        first_us AS until_us
    FROM judged
),
gap AS (
    SELECT station_id, from_us, until_us FROM following WHERE until_us - from_us >= 900000000
)
SELECT
    s.name AS station,
    g.from_us,
    g.until_us,
    CAST(g.until_us - g.from_us AS DOUBLE PRECISION) / 3600000000 AS hours,
    count(CASE WHEN e.kind = 'start' THEN 1 END) AS starts,
    count(CASE WHEN e.kind = 'stop' THEN 1 END) AS stops,
    count(CASE WHEN e.kind = 'outage' THEN 1 END) AS outages,
    count(CASE WHEN e.kind NOT IN ('start', 'stop', 'outage') THEN 1 END) AS others
FROM gap g
JOIN station s ON s.id = g.station_id
LEFT JOIN event e ON e.station_id = g.station_id AND e.at_us >= g.from_us AND e.at_us <= g.until_us
WHERE :station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0')
GROUP BY s.name, g.from_us, g.until_us
ORDER BY g.from_us, s.name;
