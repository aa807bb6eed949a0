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
-- clock in UTC epoch microseconds; station, '' for all. There is no part, because a station stops for all parts.
WITH judged AS (
    SELECT i.station_id, i.inspected_us
    FROM inspection i
    WHERE i.inspected_us >= :since_us AND i.inspected_us < :until_us
    UNION ALL
    SELECT s.id, (
        SELECT i.inspected_us FROM inspection i
        WHERE i.station_id = s.id AND i.inspected_us < :since_us
        ORDER BY i.inspected_us DESC LIMIT 1
    )
    FROM station s
),
following AS (
    SELECT
        station_id,
        lag(inspected_us) OVER (PARTITION BY station_id ORDER BY inspected_us) AS from_us,
        inspected_us AS until_us
    FROM judged
    WHERE inspected_us IS NOT NULL
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
WHERE :station = '' OR s.name = :station
GROUP BY s.name, g.from_us, g.until_us
ORDER BY g.from_us, s.name;
