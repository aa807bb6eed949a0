-- Which defects are the most frequent?
--
-- place             1 for the most frequent defect; equal ones are in the order of their names
-- class             the defect that the person named, else the one that decided at the station. Empty if a person
--                   failed an image that the station had not failed, and named no defect. Rows of older versions
--                   name the most probable class instead: if the shop accepts that one, the most probable of the
--                   defect classes counts
-- n                 FAIL images of this defect
-- of_n              FAIL images in all, the denominator of the shares
-- share             n / of_n, 0 to 1
-- cumulative_n      FAIL images of this defect and of those above it
-- cumulative_share  cumulative_n / of_n, 0 to 1
--
-- Counts images of all passes by their final verdicts: the latest verdict of a person if it is PASS or FAIL, else the
-- station's. With --verdicts station it counts the station's alone.
--
-- Parameters, all required: since_us (inclusive) and until_us (exclusive), the time of judgement by the station's
-- clock in UTC epoch microseconds; station (or a site, for all stations below it) and part, each '' for all;
-- verdicts, 'final' or 'station'.
WITH RECURSIVE failed AS (
    SELECT i.id, i.model_id, i.label, d.label AS human_label
    FROM inspection i
    JOIN station s ON s.id = i.station_id
    LEFT JOIN v_decision d ON d.inspection_id = i.id AND :verdicts = 'final'
    WHERE i.verdict = 'FAIL' AND coalesce(d.verdict, 'FAIL') = 'FAIL'
      AND i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
      AND (:part = '' OR i.part = :part)
    UNION ALL
    SELECT i.id, i.model_id, NULL, d.label
    FROM v_decision d
    JOIN inspection i ON i.id = d.inspection_id
    JOIN station s ON s.id = i.station_id
    WHERE :verdicts = 'final'
      AND d.verdict = 'FAIL' AND i.verdict <> 'FAIL'
      AND i.inspected_us >= :since_us AND i.inspected_us < :until_us
      AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
      AND (:part = '' OR i.part = :part)
),
described AS (
    SELECT id AS model_id, 0 AS number, metadata -> 'classes' -> 0 AS class FROM model
    UNION ALL
    SELECT m.id, d.number + 1, m.metadata -> 'classes' -> (d.number + 1)
    FROM described d
    JOIN model m ON m.id = d.model_id
    WHERE d.class IS NOT NULL
),
roles AS (
    SELECT model_id, class ->> 'name' AS name, class ->> 'role' AS role FROM described WHERE class IS NOT NULL
),
told_apart AS (
    SELECT
        f.id,
        d.name AS label,
        row_number() OVER (
            PARTITION BY f.id ORDER BY CAST(CAST(p.value AS TEXT) AS DOUBLE PRECISION) DESC, d.name
        ) AS place
    FROM failed f
    JOIN roles a ON a.model_id = f.model_id AND a.name = f.label AND a.role = 'accept'
    JOIN inspection i ON i.id = f.id
    CROSS JOIN json_each(i.probabilities) p
    JOIN roles d ON d.model_id = f.model_id AND d.name = p.key AND d.role = 'defect'
    WHERE f.human_label IS NULL
),
counted AS (
    SELECT coalesce(f.human_label, t.label, f.label) AS class, count(*) AS n
    FROM failed f
    LEFT JOIN told_apart t ON t.id = f.id AND t.place = 1
    GROUP BY coalesce(f.human_label, t.label, f.label)
),
ranked AS (
    SELECT
        class,
        n,
        row_number() OVER (ORDER BY n DESC, class IS NULL, class) AS place,
        CAST(sum(n) OVER () AS BIGINT) AS of_n,
        CAST(sum(n) OVER (ORDER BY n DESC, class IS NULL, class ROWS UNBOUNDED PRECEDING) AS BIGINT) AS cumulative_n
    FROM counted
)
SELECT
    place,
    class,
    n,
    of_n,
    CAST(n AS DOUBLE PRECISION) / of_n AS share,
    cumulative_n,
    CAST(cumulative_n AS DOUBLE PRECISION) / of_n AS cumulative_share
FROM ranked
ORDER BY place;
