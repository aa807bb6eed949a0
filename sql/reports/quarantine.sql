-- Which files could not be inspected, and why?
--
-- station    the camera PC
-- reason     one word, such as truncated, not_an_image, too_large or decoder_crash
-- n          files in quarantine for this reason
-- of_n       all files that the station put into quarantine, the denominator of share
-- share      n / of_n, 0 to 1
-- requeued   of n, files that were put back into the drop folder since then
-- first_us   time of the first one, UTC epoch microseconds
-- last_us    time of the last one
-- last_file  name of the last one in the drop folder
--
-- Parameters, all required: since_us (inclusive) and until_us (exclusive), the time at which the station gave the
-- file up, by its clock in UTC epoch microseconds; station (or a site, for all stations below it), '' for all. There
-- is no part, because the part of such a file is not known.
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
      AND (:station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0'))
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
