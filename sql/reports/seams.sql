-- Which seams passed, which failed, and at which frames?
--
-- station       the camera PC
-- part          from the file name by name_pattern; images without a part belong to no seam
-- seam          likewise; empty if the name has only a part
-- pass_no       1 for the first time that the seam was welded
-- verdict       a person's latest verdict on the pass itself, if it is PASS or FAIL. Such a PASS no longer counts if a
--               further frame of the pass came later, because the person has not seen that one. Else FAIL if at
--               least seam_k of any seam_n consecutive frames of one camera fail, or seam_k of all frames if there are
--               fewer than seam_n. Else REVIEW if a frame is REVIEW, or if there are fewer frames than
--               seam_min_frames. Else PASS, because a single failed frame may be spatter
-- reason        person if a person's verdict on the pass decided. Else the reason of a FAIL or REVIEW: stretch, review
--               (a frame is REVIEW) or too few (frames)
-- n             frames of the pass, from all its cameras
-- failed        of n, verdict FAIL
-- review        of n, verdict REVIEW
-- bad_n         failed frames in the windows that failed (the bad stretch); empty if none failed
-- from_frame    first frame of the bad stretch, counted from 1 in the order of time over all cameras
-- to_frame      its last frame; if bad_n is much less than to_frame - from_frame + 1, good frames are in between
-- bad_from_us   time of its first frame, UTC epoch microseconds: camera time if known, else the time when the file
--               was seen
-- bad_to_us     time of its last frame
-- first_us      time of the first frame of the pass
-- last_us       time of the last frame of the pass
--
-- A pass belongs to the period in which its first frame was judged, and counts as a whole: frames that came late or
-- after the period count too. The same bytes twice in a pass count once. Counts final verdicts: of each frame the
-- latest verdict of a person if it is PASS or FAIL, else the station's. With --verdicts station it counts the
-- station's alone, and no person's verdict on a pass.
--
-- Parameters, all required: since_us (inclusive) and until_us (exclusive), the time of judgement by the station's
-- clock in UTC epoch microseconds; station (or a site, for all stations below it) and part, each '' for all; seam_k,
-- seam_n and seam_min_frames, frames, as in the settings; verdicts, 'final' or 'station'.
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
-- An hour within the period is not read again if its row in hour_summary has as many images: images are only ever
-- added. Of a sealed hour the row of the most images has them all.
checked AS MATERIALIZED (
    SELECT h.station_id, h.hour_us, y.id AS summary_id
    FROM hours h
    LEFT JOIN hour_summary y
        ON y.station_id = h.station_id AND y.hour_us = h.hour_us AND y.n = h.n
        AND h.hour_us >= :since_us AND h.hour_us + 3600000000 <= :until_us
),
known AS MATERIALIZED (
    SELECT station_id, hour_us, summary_id FROM checked WHERE summary_id IS NOT NULL
    UNION ALL
    SELECT y.station_id, y.hour_us, y.id
    FROM hour_summary y
    JOIN station s ON s.id = y.station_id
    LEFT JOIN unsealed u ON u.station_id = y.station_id AND u.from_us = y.hour_us
    LEFT JOIN hour_summary o ON o.station_id = y.station_id AND o.hour_us = y.hour_us AND o.n > y.n
    WHERE y.hour_us >= :since_us AND y.hour_us < :until_us AND y.hour_us < (SELECT until_us FROM seal)
      AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
      AND u.station_id IS NULL
      AND o.id IS NULL
),
-- n sums up to numbers of images. One that a person decided otherwise counts -1 for the station and 1 for the person.
images AS (
    SELECT
        k.station_id, c.part, c.seam, c.pass_no, c.verdict, c.is_duplicate, c.n, c.first_us, c.first_taken_us,
        c.last_taken_us, c.newest_id
    FROM known k
    JOIN hour_count c ON c.summary_id = k.summary_id
    WHERE c.part IS NOT NULL AND (:part = '' OR c.part = :part)
    UNION ALL
    SELECT
        i.station_id, i.part, i.seam, i.pass_no, i.verdict, i.duplicate_of IS NOT NULL, 1, i.inspected_us, i.taken_us,
        i.taken_us, i.id
    FROM checked k
    CROSS JOIN inspection i
    WHERE k.summary_id IS NULL
      AND i.station_id = k.station_id
      AND i.inspected_us >= k.hour_us AND i.inspected_us < k.hour_us + 3600000000
      AND i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND i.part IS NOT NULL
      AND (:part = '' OR i.part = :part)
    UNION ALL
    SELECT
        i.station_id, i.part, i.seam, i.pass_no, CASE x.n WHEN 1 THEN d.verdict ELSE i.verdict END,
        i.duplicate_of IS NOT NULL, x.n, i.inspected_us, i.taken_us, i.taken_us, i.id
    FROM v_decision d
    JOIN inspection i ON i.id = d.inspection_id
    JOIN station s ON s.id = i.station_id
    CROSS JOIN (SELECT 1 AS n UNION ALL SELECT -1) x
    WHERE :verdicts = 'final'
      AND d.verdict <> i.verdict
      AND i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND i.part IS NOT NULL
      AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
      AND (:part = '' OR i.part = :part)
),
touched AS MATERIALIZED (
    SELECT
        station_id,
        part,
        seam,
        pass_no,
        CAST(sum(n) AS BIGINT) AS n,
        CAST(sum(CASE WHEN verdict = 'FAIL' THEN n ELSE 0 END) AS BIGINT) AS failed,
        CAST(sum(CASE WHEN verdict = 'REVIEW' THEN n ELSE 0 END) AS BIGINT) AS review,
        max(CASE WHEN is_duplicate THEN 1 ELSE 0 END) AS has_duplicate,
        min(first_us) AS inspected_us,
        min(first_taken_us) AS first_us,
        max(last_taken_us) AS last_us,
        max(newest_id) AS newest_id
    FROM images
    GROUP BY station_id, part, seam, pass_no
    -- limited by first_us DESC, station_id, part, seam, pass_no
),
-- Few passes have frames outside the period too. is_open is a number that is compared by '=', and the join below is
-- a CROSS JOIN, so that both planners look these few up by the index. The frames of a pass that cannot fail are not
-- read: its numbers are known.
counted AS MATERIALIZED (
    SELECT
        t.*,
        CASE
            WHEN t.failed >= :seam_k OR t.has_duplicate = 1 THEN 1
            WHEN NOT EXISTS (SELECT 1 FROM inspection i WHERE i.inspected_us < :since_us)
                AND NOT EXISTS (SELECT 1 FROM inspection i WHERE i.inspected_us >= :until_us) THEN 0
            WHEN t.n < CASE
                WHEN t.seam IS NULL THEN (
                    SELECT count(*) FROM inspection i
                    WHERE i.station_id = t.station_id AND i.part = t.part AND i.seam IS NULL AND i.pass_no = t.pass_no)
                ELSE (
                    SELECT count(*) FROM inspection i
                    WHERE i.station_id = t.station_id AND i.part = t.part AND i.seam = t.seam AND i.pass_no = t.pass_no)
            END THEN 1
            ELSE 0
        END AS is_open
    FROM touched t
),
found AS MATERIALIZED (
    SELECT
        i.id, i.station_id, i.part, i.seam, i.pass_no, i.camera, i.verdict, i.taken_us,
        i.inspected_us, i.duplicate_of
    FROM counted t
    CROSS JOIN inspection i
    WHERE t.is_open = 1
      AND i.station_id = t.station_id AND i.part = t.part AND i.seam = t.seam AND i.pass_no = t.pass_no
    UNION ALL
    SELECT
        i.id, i.station_id, i.part, i.seam, i.pass_no, i.camera, i.verdict, i.taken_us,
        i.inspected_us, i.duplicate_of
    FROM counted t
    CROSS JOIN inspection i
    WHERE t.is_open = 1 AND t.seam IS NULL
      AND i.station_id = t.station_id AND i.part = t.part AND i.seam IS NULL AND i.pass_no = t.pass_no
),
once AS MATERIALIZED (
    SELECT
        f.id, f.station_id, f.part, f.seam, f.pass_no, f.camera, f.taken_us, f.inspected_us,
        coalesce(d.verdict, f.verdict) AS verdict,
        CASE WHEN coalesce(d.verdict, f.verdict) = 'FAIL' THEN 1 ELSE 0 END AS fails
    FROM found f
    LEFT JOIN v_decision d ON d.inspection_id = f.id AND :verdicts = 'final'
    WHERE f.duplicate_of IS NULL OR NOT EXISTS (
        SELECT 1 FROM inspection o
        WHERE o.id = f.duplicate_of AND o.part = f.part AND coalesce(o.seam, '') = coalesce(f.seam, '')
          AND o.pass_no = f.pass_no
    )
    AND f.id IN (
        SELECT min(id) FROM found
        WHERE duplicate_of IS NOT NULL
        GROUP BY station_id, part, seam, pass_no, duplicate_of
    )
),
-- number counts the frames of the pass, place those of one camera.
numbered AS MATERIALIZED (
    SELECT
        f.*,
        row_number() OVER (PARTITION BY station_id, part, seam, pass_no ORDER BY taken_us, id) AS number,
        row_number() OVER (PARTITION BY station_id, part, seam, pass_no, camera ORDER BY taken_us, id) AS place
    FROM once f
),
-- seam_k of seam_n consecutive frames fail if a failed frame is less than seam_n places before the one that is
-- seam_k - 1 failed frames later.
beginning AS (
    SELECT
        f.*,
        CASE WHEN lead(place, :seam_k - 1) OVER (
            PARTITION BY station_id, part, seam, pass_no, camera ORDER BY place
        ) - place < :seam_n THEN 1 ELSE 0 END AS begins
    FROM numbered f
    WHERE fails = 1
),
holding AS (
    SELECT
        b.*,
        max(begins) OVER (
            PARTITION BY station_id, part, seam, pass_no, camera ORDER BY place
            ROWS BETWEEN :seam_k - 1 PRECEDING AND CURRENT ROW
        ) AS is_bad
    FROM beginning b
    UNION ALL
    SELECT n.*, 0, 0 FROM numbered n WHERE fails = 0
),
pass AS (
    SELECT
        station_id, part, seam, pass_no, n, failed, review, first_us, last_us, newest_id, 0 AS bad_n,
        CAST(NULL AS BIGINT) AS from_frame, CAST(NULL AS BIGINT) AS to_frame, CAST(NULL AS BIGINT) AS bad_from_us,
        CAST(NULL AS BIGINT) AS bad_to_us
    FROM counted
    WHERE is_open = 0
    UNION ALL
    SELECT
        station_id,
        part,
        seam,
        pass_no,
        count(*),
        CAST(sum(fails) AS BIGINT),
        count(CASE WHEN verdict = 'REVIEW' THEN 1 END),
        min(taken_us),
        max(taken_us),
        max(id),
        CAST(sum(is_bad) AS BIGINT),
        min(CASE WHEN is_bad = 1 THEN number END),
        max(CASE WHEN is_bad = 1 THEN number END),
        min(CASE WHEN is_bad = 1 THEN taken_us END),
        max(CASE WHEN is_bad = 1 THEN taken_us END)
    FROM holding
    GROUP BY station_id, part, seam, pass_no
    HAVING min(inspected_us) >= :since_us
),
-- The latest verdict of a person on each pass itself.
said AS (
    SELECT
        i.station_id,
        i.part,
        i.seam,
        i.pass_no,
        r.verdict,
        r.inspection_id AS newest_id,
        row_number() OVER (PARTITION BY i.station_id, i.part, i.seam, i.pass_no ORDER BY r.id DESC) AS place
    FROM seam_review r
    JOIN inspection i ON i.id = r.inspection_id
    WHERE :verdicts = 'final'
),
decided AS (
    SELECT
        p.*,
        CASE WHEN r.verdict = 'FAIL' OR (r.verdict = 'PASS' AND p.newest_id <= r.newest_id) THEN r.verdict END
            AS human_verdict
    FROM pass p
    LEFT JOIN said r
        ON r.station_id = p.station_id AND r.part = p.part AND coalesce(r.seam, '') = coalesce(p.seam, '')
        AND r.pass_no = p.pass_no AND r.place = 1
)
SELECT
    s.name AS station,
    p.part,
    p.seam,
    p.pass_no,
    CASE
        WHEN p.human_verdict IS NOT NULL THEN p.human_verdict
        WHEN p.bad_n > 0 THEN 'FAIL'
        WHEN p.review > 0 OR p.n < :seam_min_frames THEN 'REVIEW'
        ELSE 'PASS'
    END AS verdict,
    CASE
        WHEN p.human_verdict IS NOT NULL THEN 'person'
        WHEN p.bad_n > 0 THEN 'stretch'
        WHEN p.review > 0 THEN 'review'
        WHEN p.n < :seam_min_frames THEN 'too few'
    END AS reason,
    p.n,
    p.failed,
    p.review,
    NULLIF(p.bad_n, 0) AS bad_n,
    p.from_frame,
    p.to_frame,
    p.bad_from_us,
    p.bad_to_us,
    p.first_us,
    p.last_us
FROM decided p
JOIN station s ON s.id = p.station_id
ORDER BY p.first_us, s.name, p.part, p.seam IS NULL, p.seam, p.pass_no;
