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
-- clock in UTC epoch microseconds; station and part, each '' for all; seam_k, seam_n and seam_min_frames,
-- frames, as in the settings; verdicts, 'final' or 'station'.
WITH own AS MATERIALIZED (
    SELECT
        i.id, i.station_id, i.part, i.seam, i.pass_no, i.camera, i.verdict, i.taken_us,
        i.inspected_us, i.duplicate_of
    FROM inspection i
    JOIN station s ON s.id = i.station_id
    WHERE i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND i.part IS NOT NULL
      AND (:station = '' OR s.name = :station)
      AND (:part = '' OR i.part = :part)
),
touched AS (
    SELECT station_id, part, seam, pass_no, count(*) AS own_n
    FROM own
    GROUP BY station_id, part, seam, pass_no
),
-- Few passes have frames outside the period too. has_more is a number that is compared by '=', and the join below is
-- a CROSS JOIN, so that both planners look these few up by the index.
counted AS MATERIALIZED (
    SELECT
        t.*,
        CASE WHEN t.own_n < CASE
            WHEN t.seam IS NULL THEN (
                SELECT count(*) FROM inspection i
                WHERE i.station_id = t.station_id AND i.part = t.part AND i.seam IS NULL AND i.pass_no = t.pass_no)
            ELSE (
                SELECT count(*) FROM inspection i
                WHERE i.station_id = t.station_id AND i.part = t.part AND i.seam = t.seam AND i.pass_no = t.pass_no)
        END THEN 1 ELSE 0 END AS has_more
    FROM touched t
),
found AS MATERIALIZED (
    SELECT * FROM own
    UNION ALL
    SELECT
        i.id, i.station_id, i.part, i.seam, i.pass_no, i.camera, i.verdict, i.taken_us,
        i.inspected_us, i.duplicate_of
    FROM counted t
    CROSS JOIN inspection i
    WHERE t.has_more = 1 AND (i.inspected_us < :since_us OR i.inspected_us >= :until_us)
      AND i.station_id = t.station_id AND i.part = t.part AND i.seam = t.seam AND i.pass_no = t.pass_no
    UNION ALL
    SELECT
        i.id, i.station_id, i.part, i.seam, i.pass_no, i.camera, i.verdict, i.taken_us,
        i.inspected_us, i.duplicate_of
    FROM counted t
    CROSS JOIN inspection i
    WHERE t.has_more = 1 AND (i.inspected_us < :since_us OR i.inspected_us >= :until_us)
      AND t.seam IS NULL
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
pass AS (
    SELECT
        station_id,
        part,
        seam,
        pass_no,
        count(*) AS n,
        CAST(sum(fails) AS BIGINT) AS failed,
        count(CASE WHEN verdict = 'REVIEW' THEN 1 END) AS review,
        min(taken_us) AS first_us,
        max(taken_us) AS last_us,
        max(id) AS newest_id
    FROM once
    GROUP BY station_id, part, seam, pass_no
    HAVING min(inspected_us) >= :since_us
),
-- Only the frames of passes that can fail, because the windows take the most time.
frame AS (
    SELECT
        f.*,
        row_number() OVER (
            PARTITION BY f.station_id, f.part, f.seam, f.pass_no ORDER BY f.taken_us, f.id
        ) AS number
    FROM pass p
    JOIN once f
        ON f.station_id = p.station_id AND f.part = p.part AND coalesce(f.seam, '') = coalesce(p.seam, '')
        AND f.pass_no = p.pass_no
    WHERE p.failed >= :seam_k
),
-- For each frame, the failed frames of the window that ends with it, then the most in any window that includes it.
ending AS (
    SELECT
        f.*,
        sum(fails) OVER (
            PARTITION BY station_id, part, seam, pass_no, camera ORDER BY number
            ROWS BETWEEN :seam_n - 1 PRECEDING AND CURRENT ROW
        ) AS fails_to_here
    FROM frame f
),
holding AS (
    SELECT
        e.*,
        max(fails_to_here) OVER (
            PARTITION BY station_id, part, seam, pass_no, camera ORDER BY number
            ROWS BETWEEN CURRENT ROW AND :seam_n - 1 FOLLOWING
        ) AS fails_around
    FROM ending e
),
stretch AS (
    SELECT
        station_id,
        part,
        seam,
        pass_no,
        count(*) AS bad_n,
        min(number) AS from_frame,
        max(number) AS to_frame,
        min(taken_us) AS bad_from_us,
        max(taken_us) AS bad_to_us
    FROM holding
    WHERE fails = 1 AND fails_around >= :seam_k
    GROUP BY station_id, part, seam, pass_no
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
        b.bad_n,
        b.from_frame,
        b.to_frame,
        b.bad_from_us,
        b.bad_to_us,
        CASE WHEN r.verdict = 'FAIL' OR (r.verdict = 'PASS' AND p.newest_id <= r.newest_id) THEN r.verdict END
            AS human_verdict
    FROM pass p
    LEFT JOIN stretch b
        ON b.station_id = p.station_id AND b.part = p.part AND coalesce(b.seam, '') = coalesce(p.seam, '')
        AND b.pass_no = p.pass_no
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
    p.bad_n,
    p.from_frame,
    p.to_frame,
    p.bad_from_us,
    p.bad_to_us,
    p.first_us,
    p.last_us
FROM decided p
JOIN station s ON s.id = p.station_id
ORDER BY p.first_us, s.name, p.part, p.seam IS NULL, p.seam, p.pass_no;
