-- Which signals of the p-chart has nobody acknowledged, and what was the cause of the others?
--
-- report        the report that shows the signal: p_chart
-- signal        key of the signal, by which a note refers to it: grouping, day or hour, shift and station; the part,
--               too, if one was asked for
-- station       the camera PC
-- hour_us       start of the hour, UTC epoch microseconds; empty if the subgroups are not hours
-- day           as in p_chart; empty by hour
-- shift         name of the shift in the settings; empty if the subgroups are not shifts
-- n             images judged in the subgroup, one point of the chart
-- failed        of n, verdict FAIL
-- fail_share    failed / n, 0 to 1
-- center_share  centre line, as in p_chart
-- lower_share   lower limit, as in p_chart
-- upper_share   upper limit, as in p_chart
-- test_1        1: the point is outside its limits; else 0. The tests are those of p_chart
-- test_2        1: nine points in a row on the same side of the centre line
-- test_3        1: six points in a row that each rise, or each fall
-- test_4        1: fourteen points in a row that go up and down in turn
-- noted_us      time of the latest note on the signal; empty: nobody has acknowledged it
-- person        name of the person who wrote the note
-- cause         the cause of the signal, as far as the person knew it
-- action        what was done about it
--
-- A signal is a point of p_chart on which a test has fired. Signals without a note come first, then the newest. A note
-- belongs to a point, whatever verdicts and reference the chart has. If later images move the limits, a point may no
-- longer be a signal; its notes stay in the table signal_note. To run this file in a SQL client, put the steps of
-- p_chart.sql (from hours to tested) in place of the line that names them.
--
-- Parameters, all required: those of p_chart.
WITH
-- steps of p_chart.sql
signal AS (
    SELECT
        t.*,
        CAST(:by AS TEXT) || '|' || coalesce(CAST(t.hour_us AS TEXT), t.day) || '|' || coalesce(t.shift, '')
            || '|' || t.station || CASE WHEN :part = '' THEN '' ELSE '|' || CAST(:part AS TEXT) END AS key
    FROM tested t
    WHERE t.test_1 + t.test_2 + t.test_3 + t.test_4 > 0
),
noted AS (
    SELECT
        g.*,
        (SELECT max(n.id) FROM signal_note n WHERE n.report = 'p_chart' AND n.signal = g.key) AS note_id
    FROM signal g
)
SELECT
    'p_chart' AS report,
    g.key AS signal,
    g.station,
    g.hour_us,
    g.day,
    g.shift,
    g.n,
    g.failed,
    g.fail_share,
    g.center_share,
    g.lower_share,
    g.upper_share,
    g.test_1,
    g.test_2,
    g.test_3,
    g.test_4,
    n.noted_us,
    n.person,
    n.cause,
    n.action
FROM noted g
LEFT JOIN signal_note n ON n.id = g.note_id
ORDER BY CASE WHEN n.id IS NULL THEN 0 ELSE 1 END, g.at_us DESC, g.station;
