-- Is the share of defects under control, and if not, since when?
--
-- station       the camera PC; each has a chart of its own
-- hour_us       start of the hour, UTC epoch microseconds; empty if the subgroups are not hours
-- day           by day: the local day. By week: its Monday. By shift: the local day on which the shift began, so
--               that a night is one subgroup. By hour: empty
-- shift         name of the shift in the settings; empty if the subgroups are not shifts
-- n             images judged in the subgroup, one point of the chart
-- failed        of n, verdict FAIL
-- fail_share    failed / n, 0 to 1: the point
-- center_share  centre line: failed / n of the whole reference period; empty if that has no image
-- lower_share   lower limit, center - 3 * sigma, not below 0; sigma = sqrt(center * (1 - center) / n) for the n of the
--               subgroup, times sigma_z on a Laney chart. Both limits are empty if the reference has only one
--               subgroup, no FAIL, or only FAIL
-- upper_share   upper limit, center + 3 * sigma, not above 1
-- sigma_z       scatter of the reference's subgroups relative to chance: the mean moving range of their
--               z = (fail_share - center) / sqrt(center * (1 - center) / n), divided by 1.128 (Laney 2002)
-- chart         p, or laney (the p' chart) if sigma_z is above 1 + 1.5 / sqrt(subgroups - 1). Chance alone exceeds this
--               on one chart in twenty. Frames of one weld are alike, so shifts may differ by more than chance
-- test_1        1: the point is outside its limits; else 0. The four tests are those of Nelson (1984)
-- test_2        1: the ninth or a later point in a row on the same side of the centre line
-- test_3        1: the sixth or a later point in a row that each rise, or each fall
-- test_4        1: the fourteenth or a later point in a row that go up and down in turn
--
-- Limits from the same points hide a part of a change, because the change moves the centre line too. Give a reference
-- period in which the process was in control (phase I), and the points are judged by it (phase II). The reference may
-- be before the points or among them. Points are in the order of time. Tests 2 to 4 flag the point that completes a
-- run, not the one that begins it. If n * center is below about 5 the limits are rough: use larger subgroups. Counts
-- final verdicts: the latest verdict of a person if it is PASS or FAIL, else the station's.
-- With --verdicts station it counts the station's alone. Hour, day and shift are those in which the file was seen.
--
-- Parameters, all required: since_us (inclusive) and until_us (exclusive), the time of judgement by the station's
-- clock in UTC epoch microseconds; reference_since_us and reference_until_us, the period that the limits come from
-- (by default that of the points); station (or a site, for all stations below it) and part, each '' for all; by, one
-- of 'shift', 'day', 'hour', 'week'; verdicts, 'final' or 'station'.
WITH seal AS MATERIALIZED (
    SELECT inspection_id, until_us FROM summary_seal ORDER BY inspection_id DESC, until_us DESC LIMIT 1
),
-- The images of these times are counted: those after the seal, and the hours in which a period begins or ends, or a
-- later image is. Without a seal it is the whole period.
unsealed AS MATERIALIZED (
    SELECT
        id AS station_id,
        coalesce(
            (SELECT until_us FROM seal),
            CASE WHEN :since_us < :reference_since_us THEN :since_us ELSE :reference_since_us END
        ) AS from_us,
        CAST(CASE WHEN :until_us > :reference_until_us THEN :until_us ELSE :reference_until_us END AS BIGINT) AS to_us
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
        UNION ALL SELECT id, :reference_since_us FROM station
        UNION ALL SELECT id, :reference_until_us FROM station
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
      AND i.inspected_us >= CASE WHEN :since_us < :reference_since_us THEN :since_us ELSE :reference_since_us END
      AND i.inspected_us < CASE WHEN :until_us > :reference_until_us THEN :until_us ELSE :reference_until_us END
      AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
    GROUP BY 1, 2
),
-- An hour within or outside each of the two periods is not read again if its row in hour_summary has as many images:
-- images are only ever added. Of a sealed hour the row of the most images has them all.
checked AS MATERIALIZED (
    SELECT h.station_id, h.hour_us, y.id AS summary_id
    FROM hours h
    LEFT JOIN hour_summary y
        ON y.station_id = h.station_id AND y.hour_us = h.hour_us AND y.n = h.n
        AND (h.hour_us >= :since_us OR h.hour_us + 3600000000 <= :since_us)
        AND (h.hour_us >= :until_us OR h.hour_us + 3600000000 <= :until_us)
        AND (h.hour_us >= :reference_since_us OR h.hour_us + 3600000000 <= :reference_since_us)
        AND (h.hour_us >= :reference_until_us OR h.hour_us + 3600000000 <= :reference_until_us)
),
known AS MATERIALIZED (
    SELECT station_id, hour_us, summary_id FROM checked WHERE summary_id IS NOT NULL
    UNION ALL
    SELECT y.station_id, y.hour_us, y.id
    FROM hour_summary y
    JOIN station s ON s.id = y.station_id
    LEFT JOIN unsealed u ON u.station_id = y.station_id AND u.from_us = y.hour_us
    LEFT JOIN hour_summary o ON o.station_id = y.station_id AND o.hour_us = y.hour_us AND o.n > y.n
    WHERE y.hour_us >= CASE WHEN :since_us < :reference_since_us THEN :since_us ELSE :reference_since_us END
      AND y.hour_us < CASE WHEN :until_us > :reference_until_us THEN :until_us ELSE :reference_until_us END
      AND y.hour_us < (SELECT until_us FROM seal)
      AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
      AND u.station_id IS NULL
      AND o.id IS NULL
),
-- n sums up to numbers of images. One that a person decided otherwise counts -1 for the station and 1 for the person.
images AS (
    SELECT
        k.station_id, c.local_day, c.shift, c.shift_day, c.verdict, c.seen_hour_us, c.n, c.first_us, c.first_seen_us
    FROM known k
    JOIN hour_count c ON c.summary_id = k.summary_id
    WHERE :part = '' OR c.part = :part
    UNION ALL
    SELECT
        i.station_id, i.local_day, i.shift, i.shift_day, i.verdict,
        i.seen_us - ((i.seen_us % 3600000000) + 3600000000) % 3600000000, 1, i.inspected_us, i.seen_us
    FROM checked k
    CROSS JOIN inspection i
    WHERE k.summary_id IS NULL
      AND i.station_id = k.station_id
      AND i.inspected_us >= k.hour_us AND i.inspected_us < k.hour_us + 3600000000
      AND (:part = '' OR i.part = :part)
    UNION ALL
    SELECT
        i.station_id, i.local_day, i.shift, i.shift_day, CASE x.n WHEN 1 THEN d.verdict ELSE i.verdict END,
        i.seen_us - ((i.seen_us % 3600000000) + 3600000000) % 3600000000, x.n, i.inspected_us, i.seen_us
    FROM v_decision d
    JOIN inspection i ON i.id = d.inspection_id
    JOIN station s ON s.id = i.station_id
    CROSS JOIN (SELECT 1 AS n UNION ALL SELECT -1) x
    WHERE :verdicts = 'final'
      AND d.verdict <> i.verdict
      AND i.inspected_us >= CASE WHEN :since_us < :reference_since_us THEN :since_us ELSE :reference_since_us END
      AND i.inspected_us < CASE WHEN :until_us > :reference_until_us THEN :until_us ELSE :reference_until_us END
      AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
      AND (:part = '' OR i.part = :part)
),
counted AS (
    SELECT
        station_id,
        CASE WHEN :by = 'hour' THEN seen_hour_us END AS hour_us,
        CASE WHEN :by = 'shift' THEN coalesce(shift_day, local_day) WHEN :by <> 'hour' THEN local_day END AS day,
        CASE WHEN :by = 'shift' THEN shift END AS shift,
        first_us >= :since_us AND first_us < :until_us AS charted,
        first_us >= :reference_since_us AND first_us < :reference_until_us AS referred,
        min(first_seen_us) AS at_us,
        sum(n) AS n,
        sum(CASE WHEN verdict = 'FAIL' THEN n ELSE 0 END) AS failed
    FROM images
    GROUP BY 1, 2, 3, 4, 5, 6
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
subgroup AS (
    SELECT
        station_id,
        hour_us,
        CASE WHEN :by = 'week' THEN day_number - day_number % 7 ELSE day_number END AS begin_number,
        shift,
        min(at_us) AS at_us,
        CAST(sum(CASE WHEN charted THEN n ELSE 0 END) AS BIGINT) AS n,
        CAST(sum(CASE WHEN charted THEN failed ELSE 0 END) AS BIGINT) AS failed,
        CAST(sum(CASE WHEN referred THEN n ELSE 0 END) AS BIGINT) AS reference_n,
        CAST(sum(CASE WHEN referred THEN failed ELSE 0 END) AS BIGINT) AS reference_failed
    FROM numbered
    WHERE charted OR referred
    GROUP BY station_id, hour_us, begin_number, shift
),
reference AS (
    SELECT
        g.*,
        CAST(reference_failed AS DOUBLE PRECISION) / reference_n AS p,
        CAST(sum(reference_failed) OVER (PARTITION BY station_id) AS DOUBLE PRECISION)
            / CAST(sum(reference_n) OVER (PARTITION BY station_id) AS DOUBLE PRECISION) AS center
    FROM subgroup g
    WHERE reference_n > 0
),
scatter AS (
    SELECT
        station_id,
        center,
        z,
        abs(z - lag(z) OVER (PARTITION BY station_id ORDER BY at_us, begin_number, shift)) AS moving_range
    FROM (
        SELECT
            reference.*,
            CASE WHEN center > 0 AND center < 1 THEN (p - center) / sqrt(center * (1 - center) / reference_n) END AS z
        FROM reference
    ) r
),
-- Moving ranges are added as integers of 1e-9: a sum of integers does not depend on the order of adding.
spread AS (
    SELECT
        station_id,
        center,
        count(*) AS subgroups,
        CAST(sum(CASE WHEN moving_range IS NOT NULL THEN CAST(floor(moving_range * 1e9 + 0.5) AS BIGINT) END)
            AS DOUBLE PRECISION) / NULLIF(count(*) - 1, 0) / 1e9 / 1.128 AS sigma_z
    FROM scatter
    GROUP BY station_id, center
),
judged AS (
    SELECT
        spread.*,
        CASE WHEN sigma_z > 1 + 1.5 / sqrt(NULLIF(subgroups - 1, 0)) THEN 'laney' ELSE 'p' END AS chart
    FROM spread
),
point AS (
    SELECT
        g.*,
        j.center,
        j.sigma_z,
        j.chart,
        CAST(g.failed AS DOUBLE PRECISION) / g.n AS p,
        CASE WHEN j.sigma_z IS NOT NULL THEN 3 * sqrt(j.center * (1 - j.center) / g.n) END
            * CASE WHEN j.chart = 'laney' THEN j.sigma_z ELSE 1 END AS reach,
        row_number() OVER (PARTITION BY g.station_id ORDER BY g.at_us, g.begin_number, g.shift) AS place
    FROM subgroup g
    LEFT JOIN judged j ON j.station_id = g.station_id
    WHERE g.n > 0
),
compared AS (
    SELECT
        d.*,
        CASE WHEN p > lag(p) OVER line THEN 1 WHEN p < lag(p) OVER line THEN -1 ELSE 0 END AS step,
        CASE WHEN p > center THEN 1 WHEN p < center THEN -1 ELSE 0 END AS side
    FROM point d
    WINDOW line AS (PARTITION BY station_id ORDER BY place)
),
limited AS (
    SELECT
        m.*,
        CASE WHEN step * lag(step) OVER (PARTITION BY station_id ORDER BY place) = -1 THEN 1 ELSE 0 END AS turns
    FROM compared m
),
-- Back to the date (Richards 2013).
split AS (
    SELECT
        limited.*,
        4 * (begin_number + 1363 + (4 * begin_number + 274277) / 146097 * 3 / 4) + 3 AS e
    FROM limited
),
calendar AS (
    SELECT split.*, ((e % 1461 / 4 * 5 + 2) / 153 + 2) % 12 + 1 AS m, (e % 1461 / 4 * 5 + 2) % 153 / 5 + 1 AS d
    FROM split
),
tested AS (
    SELECT
        s.name AS station,
        l.at_us,
        l.place,
        l.hour_us,
        CAST(l.e / 1461 - 4716 + (14 - l.m) / 12 AS TEXT)
            || '-' || substr(CAST(100 + l.m AS TEXT), 2) || '-' || substr(CAST(100 + l.d AS TEXT), 2) AS day,
        l.shift,
        l.n,
        l.failed,
        l.p AS fail_share,
        l.center AS center_share,
        CASE WHEN l.center - l.reach < 0 THEN 0.0 ELSE l.center - l.reach END AS lower_share,
        CASE WHEN l.center + l.reach > 1 THEN 1.0 ELSE l.center + l.reach END AS upper_share,
        l.sigma_z,
        coalesce(l.chart, 'p') AS chart,
        CASE WHEN abs(l.p - l.center) > l.reach THEN 1 ELSE 0 END AS test_1,
        CASE WHEN abs(sum(l.side) OVER (last_points ROWS BETWEEN 8 PRECEDING AND CURRENT ROW)) = 9
            THEN 1 ELSE 0 END AS test_2,
        CASE WHEN abs(sum(l.step) OVER (last_points ROWS BETWEEN 4 PRECEDING AND CURRENT ROW)) = 5
            THEN 1 ELSE 0 END AS test_3,
        CASE WHEN sum(l.turns) OVER (last_points ROWS BETWEEN 11 PRECEDING AND CURRENT ROW) = 12
            THEN 1 ELSE 0 END AS test_4
    FROM calendar l
    JOIN station s ON s.id = l.station_id
    WINDOW last_points AS (PARTITION BY l.station_id ORDER BY l.place)
)
SELECT
    t.station,
    t.hour_us,
    t.day,
    t.shift,
    t.n,
    t.failed,
    t.fail_share,
    t.center_share,
    t.lower_share,
    t.upper_share,
    t.sigma_z,
    t.chart,
    t.test_1,
    t.test_2,
    t.test_3,
    t.test_4
FROM tested t
ORDER BY t.station, t.place;
