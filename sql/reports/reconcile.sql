-- What became of every file that left the drop folder?
--
-- This is the ledger's half; the command 'weld-inspect reconcile' adds the disk's: what waits, and what is
-- unaccounted for.
--
-- station      the camera PC
-- seen         inspected + duplicates + quarantined
-- inspected    files with a judgement of their own
-- duplicates   files delivered again, same name and same bytes: their first judgement stands
-- quarantined  files that could not be inspected, less those that were put back into the drop folder
--              since: they are seen anew
-- requeued     files put back from quarantine
-- pruned       files removed from the archive or quarantine by retention; they stay in the columns above
--
-- Parameters, always bound: since_us (inclusive) and until_us (exclusive) on the station's own clock when
-- the row was made, UTC epoch microseconds; station, '' for all. There is no part: a file without an image
-- is of no known part.
WITH counted AS (
    SELECT
        a.station_id,
        count(CASE WHEN a.outcome = 'inspected' THEN 1 END) AS inspected,
        count(CASE WHEN a.outcome = 'duplicate' THEN 1 END) AS duplicates,
        count(CASE WHEN a.outcome = 'quarantined' AND NOT EXISTS (
            SELECT 1 FROM arrival back
            WHERE back.quarantine_id = a.quarantine_id AND back.outcome = 'requeued'
        ) THEN 1 END) AS quarantined,
        count(CASE WHEN a.outcome = 'requeued' THEN 1 END) AS requeued,
        count(CASE WHEN a.outcome = 'pruned' THEN 1 END) AS pruned
    FROM arrival a
    WHERE a.recorded_us >= :since_us AND a.recorded_us < :until_us
    GROUP BY a.station_id
)
SELECT
    s.name AS station,
    c.inspected + c.duplicates + c.quarantined AS seen,
    c.inspected,
    c.duplicates,
    c.quarantined,
    c.requeued,
    c.pruned
FROM counted c
JOIN station s ON s.id = c.station_id
WHERE :station = '' OR s.name = :station
ORDER BY s.name;
