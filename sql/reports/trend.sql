-- How does the share of defects change by day, hour, shift or week?
--
-- hour_us       start of the hour, UTC epoch microseconds; empty if the rows are not by hour
-- day           by day: the local day. By week: its Monday. By shift: the local day on which the shift began, so
--               that a night is one row. By hour: empty
-- shift         name of the shift in the settings; empty if the rows are not by shift
-- n             images judged, the denominator of the shares
-- passed        of n, verdict PASS
-- failed        of n, verdict FAIL
-- review        of n, verdict REVIEW: a person must decide
-- pass_share    passed / n, 0 to 1; REVIEW counts in the denominator
-- fail_share    failed / n
-- review_share  review / n
--
-- Hour, day and shift are those in which the file was seen. An hour, shift, day or week without an image has no row.
-- Counts final verdicts: the latest verdict of a person if it is PASS or FAIL, else the station's. With
-- --verdicts station it counts the station's alone.
--
-- Parameters, all required: since_us (inclusive) and until_us (exclusive), the time of judgement by the station's
-- clock in UTC epoch microseconds; station and part, each '' for all; by, one of 'day', 'hour', 'shift',
-- 'week'; verdicts, 'final' or 'station'.
WITH counted AS (
    SELECT
        CASE WHEN :by = 'hour' THEN i.seen_us - ((i.seen_us % 3600000000) + 3600000000) % 3600000000 END AS hour_us,
        CASE WHEN :by = 'shift' THEN coalesce(i.shift_day, i.local_day) WHEN :by <> 'hour' THEN i.local_day END AS day,
        CASE WHEN :by = 'shift' THEN i.shift END AS shift,
        min(i.seen_us) AS at_us,
        count(*) AS n,
        count(CASE WHEN coalesce(d.verdict, i.verdict) = 'PASS' THEN 1 END) AS passed,
        count(CASE WHEN coalesce(d.verdict, i.verdict) = 'FAIL' THEN 1 END) AS failed
    FROM inspection i
    JOIN station s ON s.id = i.station_id
    LEFT JOIN v_decision d ON d.inspection_id = i.id AND :verdicts = 'final'
    WHERE i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:station = '' OR s.name = :station)
      AND (:part = '' OR i.part = :part)
    GROUP BY 1, 2, 3
),
-- Days as Julian day numbers (Fliegel and Van Flandern 1968): Mondays are the multiples of 7.
numbered AS (
    SELECT c.*, 1461 * (y + 4800 + (m - 14) / 12) / 4 + 367 * (m - 2 - (m - 14) / 12 * 12) / 12
        - 3 * ((y + 4900 + (m - 14) / 12) / 100) / 4 + d - 32075 AS day_number
    FROM (
        SELECT counted.*, CAST(substr(day, 1, 4) AS INTEGER) AS y, CAST(substr(day, 6, 2) AS INTEGER) AS m,
            CAST(substr(day, 9, 2) AS INTEGER) AS d
        FROM counted
    ) c
),
summed AS (
    SELECT
        hour_us,
        CASE WHEN :by = 'week' THEN day_number - day_number % 7 ELSE day_number END AS begin_number,
        shift,
        min(at_us) AS at_us,
        CAST(sum(n) AS BIGINT) AS n,
        CAST(sum(passed) AS BIGINT) AS passed,
        CAST(sum(failed) AS BIGINT) AS failed
    FROM numbered
    GROUP BY hour_us, begin_number, shift
),
-- Back to the date (Richards 2013).
split AS (
    SELECT
        summed.*,
        4 * (begin_number + 1363 + (4 * begin_number + 274277) / 146097 * 3 / 4) + 3 AS e
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
ORDER BY hour_us, begin_number, at_us, shift;
