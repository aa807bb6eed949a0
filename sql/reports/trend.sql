-- How does the share of defects go, hour by hour, shift by shift, day by day or week by week?
--
-- hour_us       begin of the hour, UTC epoch microseconds; empty where the rows are not by hour
-- day           by day: the local day. By week: its Monday. By shift: the local day on which the shift began, so
--               that a night stays in one row: that of its first image, or the day before where it was seen
--               after midnight alone and the station's other images tell. By hour: empty
-- shift         the settings' name of the shift; empty where the rows are not by shift
-- n             images judged: what the shares count from
-- passed        of n, verdict PASS
-- failed        of n, verdict FAIL
-- review        of n, verdict REVIEW: for a person to decide
-- pass_share    passed / n, 0 to 1; REVIEW stays in the denominator
-- fail_share    failed / n
-- review_share  review / n
--
-- Hour, day and shift are those in which the file was seen. A shift ends where
-- none of its images is seen for twelve hours: a shop whose shifts last longer goes by day.
-- An hour, shift, day or week without an image has no row. Verdicts are the station's, human verdicts apart.
--
-- Parameters, always bound: since_us (inclusive) and until_us (exclusive) on the station's own clock at
-- judgement, UTC epoch microseconds; station and part, each '' for all; by, one of 'day', 'hour', 'shift',
-- 'week'.
WITH hourly AS (
    SELECT
        i.station_id,
        i.local_day,
        i.shift,
        i.seen_us - ((i.seen_us % 3600000000) + 3600000000) % 3600000000 AS hour_us,
        count(*) AS n,
        count(CASE WHEN i.verdict = 'PASS' THEN 1 END) AS passed,
        count(CASE WHEN i.verdict = 'FAIL' THEN 1 END) AS failed
    FROM inspection i
    JOIN station s ON s.id = i.station_id
    WHERE i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:station = '' OR s.name = :station)
      AND (:part = '' OR i.part = :part)
    GROUP BY i.station_id, i.local_day, i.shift, hour_us
),
-- Days as Julian day numbers (Fliegel and Van Flandern 1968): Mondays are the multiples of 7.
numbered AS (
    SELECT
        h.*,
        1461 * (y + 4800 + (m - 14) / 12) / 4 + 367 * (m - 2 - (m - 14) / 12 * 12) / 12
            - 3 * ((y + 4900 + (m - 14) / 12) / 100) / 4 + d - 32075 AS day_number
    FROM (
        SELECT
            hourly.*,
            CAST(substr(local_day, 1, 4) AS INTEGER) AS y,
            CAST(substr(local_day, 6, 2) AS INTEGER) AS m,
            CAST(substr(local_day, 9, 2) AS INTEGER) AS d
        FROM hourly
    ) h
),
-- A shift goes on over midnight; after twelve hours without an image of it, it is the next day's.
begun AS (
    SELECT
        n.*,
        CASE WHEN hour_us - lag(hour_us) OVER (PARTITION BY station_id, shift ORDER BY hour_us, local_day)
            <= 43200000000 THEN 0 ELSE 1 END AS begins
    FROM numbered n
),
turned AS (
    SELECT
        b.*,
        sum(begins) OVER (PARTITION BY station_id, shift ORDER BY hour_us, local_day) AS turn,
        min(hour_us) OVER (PARTITION BY station_id, day_number) AS day_from_us,
        max(hour_us) OVER (PARTITION BY station_id, day_number) AS day_to_us
    FROM begun b
),
-- What shows that a shift began the day before: it is the first of its day and not the last, and shifts of its
-- name do go on over midnight, or another one begins on this day.
turn AS (
    SELECT
        station_id,
        shift,
        turn,
        min(day_number) AS first_day,
        CASE WHEN min(day_number) = max(day_number) AND min(hour_us) = min(day_from_us)
            AND max(hour_us) < max(day_to_us) THEN 1 ELSE 0 END AS early,
        max(CASE WHEN min(day_number) < max(day_number) THEN 1 ELSE 0 END)
            OVER (PARTITION BY station_id, shift) AS wraps,
        count(*) OVER (PARTITION BY station_id, shift, min(day_number)) AS twins
    FROM turned
    GROUP BY station_id, shift, turn
),
dated AS (
    SELECT
        h.station_id,
        h.n,
        h.passed,
        h.failed,
        h.hour_us AS at_us,
        CASE WHEN :by = 'hour' THEN h.hour_us END AS hour_us,
        CASE WHEN :by = 'shift' THEN h.shift END AS shift,
        CASE
            WHEN :by = 'day' THEN h.day_number
            WHEN :by = 'week' THEN h.day_number - h.day_number % 7
            WHEN :by = 'shift' AND t.early = 1 AND (t.wraps = 1 OR t.twins > 1) THEN t.first_day - 1
            WHEN :by = 'shift' THEN t.first_day
        END AS day_number
    FROM turned h
    JOIN turn t ON t.station_id = h.station_id AND t.shift = h.shift AND t.turn = h.turn
),
summed AS (
    SELECT
        hour_us,
        day_number,
        shift,
        min(at_us) AS at_us,
        CAST(sum(n) AS BIGINT) AS n,
        CAST(sum(passed) AS BIGINT) AS passed,
        CAST(sum(failed) AS BIGINT) AS failed
    FROM dated
    GROUP BY hour_us, day_number, shift
),
-- Back to the date (Richards 2013).
split AS (
    SELECT
        summed.*,
        4 * (day_number + 1363 + (4 * day_number + 274277) / 146097 * 3 / 4) + 3 AS e
    FROM summed
),
calendar AS (
    SELECT split.*, ((e % 1461 / 4 * 5 + 2) / 153 + 2) % 12 + 1 AS m, (e % 1461 / 4 * 5 + 2) % 153 / 5 + 1 AS d
    FROM split
)
SELECT
    hour_us,
    CAST(e / 1461 - 4716 + (14 - m) / 12 AS TEXT)
        || '-' || substr(CAST(100 + m AS TEXT), 2) || '-' || substr(CAST(100 + d AS TEXT), 2) AS day,
    shift,
    n,
    passed,
    failed,
    n - passed - failed AS review,
    CAST(passed AS DOUBLE PRECISION) / n AS pass_share,
    CAST(failed AS DOUBLE PRECISION) / n AS fail_share,
    CAST(n - passed - failed AS DOUBLE PRECISION) / n AS review_share
FROM calendar
ORDER BY hour_us, day_number, at_us, shift;
