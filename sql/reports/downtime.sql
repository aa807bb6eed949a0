-- How long was each station down, and how long does it run between stops?
--
-- station         the camera PC
-- first_us        its first image in the period, by judgement, UTC epoch microseconds
-- last_us         its last one
-- hours           hours from the first to the last image
-- gaps            number of times without an image for 15 minutes or longer; the report 'gaps' lists them
-- gap_hours       their sum. It includes breaks and nights, because the station cannot distinguish them from faults
-- longest_hours   length of the longest gap
-- starts          starts of the program
-- stops           orderly stops
-- crashes         runs that ended without a stop: their next event is another start
-- outages         database outages that the daemon waited for
-- others          other events, such as a lost folder or an overflow of the watch
-- run_hours       mean length of the runs that ended in the period, by a stop or a crash; a crashed run ends with its
--                 last image. Empty if no run ended
--
-- Parameters, all required: since_us (inclusive) and until_us (exclusive), times by the station's clock in UTC epoch
-- microseconds; station (or a site, for all stations below it), '' for all. There is no part, because a station
-- stops for all parts.
WITH judged AS (
    SELECT
        station_id,
        inspected_us,
        inspected_us - lag(inspected_us) OVER (PARTITION BY station_id ORDER BY inspected_us) AS pause_us
    FROM inspection
    WHERE inspected_us >= :since_us AND inspected_us < :until_us
),
span AS (
    SELECT
        station_id,
        min(inspected_us) AS first_us,
        max(inspected_us) AS last_us,
        count(CASE WHEN pause_us >= 900000000 THEN 1 END) AS gaps,
        sum(CASE WHEN pause_us >= 900000000 THEN pause_us ELSE 0 END) AS gap_us,
        max(CASE WHEN pause_us >= 900000000 THEN pause_us END) AS longest_us
    FROM judged
    GROUP BY station_id
),
happened AS (
    SELECT
        station_id,
        count(CASE WHEN kind = 'start' THEN 1 END) AS starts,
        count(CASE WHEN kind = 'stop' THEN 1 END) AS stops,
        count(CASE WHEN kind = 'outage' THEN 1 END) AS outages,
        count(CASE WHEN kind NOT IN ('start', 'stop', 'outage') THEN 1 END) AS others
    FROM event
    WHERE at_us >= :since_us AND at_us < :until_us
    GROUP BY station_id
),
turn AS (
    SELECT
        station_id,
        kind,
        at_us,
        lead(kind) OVER (PARTITION BY station_id ORDER BY at_us, id) AS next_kind,
        lead(at_us) OVER (PARTITION BY station_id ORDER BY at_us, id) AS next_us
    FROM event
    WHERE kind IN ('start', 'stop')
),
ended AS (
    SELECT
        t.station_id,
        t.at_us,
        t.next_kind,
        CASE WHEN t.next_kind = 'stop' THEN t.next_us ELSE coalesce((
            SELECT i.inspected_us FROM inspection i
            WHERE i.station_id = t.station_id AND i.inspected_us >= t.at_us AND i.inspected_us < t.next_us
            ORDER BY i.inspected_us DESC LIMIT 1
        ), t.at_us) END AS ended_us
    FROM turn t
    WHERE t.kind = 'start' AND t.next_us IS NOT NULL
),
run AS (
    SELECT
        station_id,
        count(CASE WHEN next_kind = 'start' THEN 1 END) AS crashes,
        CAST(sum(ended_us - at_us) AS DOUBLE PRECISION) / count(*) AS run_us
    FROM ended
    WHERE ended_us >= :since_us AND ended_us < :until_us
    GROUP BY station_id
)
SELECT
    s.name AS station,
    p.first_us,
    p.last_us,
    CAST(p.last_us - p.first_us AS DOUBLE PRECISION) / 3600000000 AS hours,
    p.gaps,
    CAST(p.gap_us AS DOUBLE PRECISION) / 3600000000 AS gap_hours,
    CAST(p.longest_us AS DOUBLE PRECISION) / 3600000000 AS longest_hours,
    coalesce(h.starts, 0) AS starts,
    coalesce(h.stops, 0) AS stops,
    coalesce(r.crashes, 0) AS crashes,
    coalesce(h.outages, 0) AS outages,
    coalesce(h.others, 0) AS others,
    r.run_us / 3600000000 AS run_hours
FROM station s
LEFT JOIN span p ON p.station_id = s.id
LEFT JOIN happened h ON h.station_id = s.id
LEFT JOIN run r ON r.station_id = s.id
WHERE (p.station_id IS NOT NULL OR h.station_id IS NOT NULL OR r.station_id IS NOT NULL)
  AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
ORDER BY s.name;
