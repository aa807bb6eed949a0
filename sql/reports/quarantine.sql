-- Which files could not be inspected, and why?
--
-- station    the camera PC
-- reason     one word: truncated, not_an_image, too_large, decoder_crash and the like
-- n          files set aside for it
-- of_n       files that the station set aside in all: what share counts from
-- share      n / of_n, 0 to 1
-- requeued   of n, files that were put back into the drop folder since
-- first_us   the earliest, UTC epoch microseconds
-- last_us    the latest
-- last_file  the latest one's name in the drop folder
--
-- Parameters, always bound: since_us (inclusive) and until_us (exclusive) on the station's own clock when
-- the file was given up, UTC epoch microseconds; station, '' for all. There is no part: a file without an
-- image is of no known part.
WITH chosen AS (
    SELECT
        s.name AS station,
        q.reason,
        q.quarantined_us,
        q.source_name,
        CASE WHEN EXISTS (
            SELECT 1 FROM arrival back WHERE back.quarantine_id = q.id AND back.outcome = 'requeued'
        ) THEN 1 END AS requeued,
        row_number() OVER (
            PARTITION BY q.station_id, q.reason ORDER BY q.quarantined_us DESC, q.id DESC
        ) AS place,
        count(*) OVER (PARTITION BY q.station_id) AS of_n
    FROM quarantine q
    JOIN station s ON s.id = q.station_id
    WHERE q.quarantined_us >= :since_us AND q.quarantined_us < :until_us
      AND (:station = '' OR s.name = :station)
)
SELECT
    station,
    reason,
    count(*) AS n,
    of_n,
    CAST(count(*) AS DOUBLE PRECISION) / of_n AS share,
    count(requeued) AS requeued,
    min(quarantined_us) AS first_us,
    max(quarantined_us) AS last_us,
    max(CASE WHEN place = 1 THEN source_name END) AS last_file
FROM chosen
GROUP BY station, reason, of_n
ORDER BY station, n DESC, reason;
