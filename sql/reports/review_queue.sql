-- Which images wait for a person, and why?
--
-- Lists the oldest 200 images of each kind, and counts all of them. An image leaves the queue when a person says
-- PASS or FAIL.
--
-- why           review: the station could not decide
--               audit: a PASS image of a random audit sample (weld-inspect review sample)
--               fail: the station failed it, and it has no review yet
--               undecided: a person looked and could not decide
-- waiting       images of this kind in all
-- id            number of the inspection, for weld-inspect review set
-- station       the camera PC
-- source_name   its name in the drop folder
-- part          from the file name by name_pattern; empty if the name has none
-- seam          likewise
-- inspected_us  when the station judged it, UTC epoch microseconds
-- verdict       the station's
-- label         the station's class
-- confidence    the class's probability, 0 to 1
-- reason        reason of a REVIEW
-- archive_path  path of its file in the archive folder
--
-- Parameters, all required: since_us (inclusive) and until_us (exclusive), the time of judgement by the station's
-- clock in UTC epoch microseconds; station (or a site, for all stations below it) and part, each '' for all.
WITH said AS (
    SELECT r.inspection_id, r.verdict
    FROM review r
    JOIN (SELECT max(id) AS id FROM review GROUP BY inspection_id) latest ON latest.id = r.id
),
waiting AS (
    SELECT i.id, i.station_id, i.inspected_us, CASE i.verdict WHEN 'REVIEW' THEN 1 ELSE 3 END AS position
    FROM inspection i
    LEFT JOIN said ON said.inspection_id = i.id
    WHERE i.verdict <> 'PASS' AND said.verdict IS NULL
      AND i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:part = '' OR i.part = :part)
    UNION ALL
    SELECT i.id, i.station_id, i.inspected_us, 2
    FROM audit_sample a
    JOIN inspection i ON i.id = a.inspection_id
    LEFT JOIN said ON said.inspection_id = i.id
    WHERE i.verdict = 'PASS' AND said.verdict IS NULL
      AND i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:part = '' OR i.part = :part)
    UNION ALL
    SELECT i.id, i.station_id, i.inspected_us, 4
    FROM said
    JOIN inspection i ON i.id = said.inspection_id
    WHERE said.verdict = 'REVIEW'
      AND i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:part = '' OR i.part = :part)
),
placed AS (
    SELECT
        w.position,
        w.id,
        row_number() OVER (PARTITION BY w.position ORDER BY w.inspected_us, w.id) AS place,
        count(*) OVER (PARTITION BY w.position) AS waiting
    FROM waiting w
    JOIN station s ON s.id = w.station_id
    WHERE :station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0')
)
SELECT
    CASE p.position WHEN 1 THEN 'review' WHEN 2 THEN 'audit' WHEN 3 THEN 'fail' ELSE 'undecided' END AS why,
    p.waiting,
    i.id,
    s.name AS station,
    i.source_name,
    i.part,
    i.seam,
    i.inspected_us,
    i.verdict,
    i.label,
    i.confidence,
    i.reason,
    i.archive_path
FROM placed p
JOIN inspection i ON i.id = p.id
JOIN station s ON s.id = i.station_id
WHERE p.place <= 200
ORDER BY p.position, p.place;
