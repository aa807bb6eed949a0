-- What happened to every file that left the drop folder?
--
-- This report reads the ledger. The command 'weld-inspect reconcile' also reads the disk, and adds the files that
-- wait and those that are unaccounted for.
--
-- station      the camera PC
-- seen         inspected + duplicates + quarantined
-- inspected    files with a judgement of their own
-- duplicates   files delivered again with the same name and bytes; their first judgement remains valid
-- quarantined  files that could not be inspected. Files that were put back into the drop folder since then are left
--              out, because they are inspected again
-- requeued     files put back from quarantine
-- pruned       files removed from the archive or quarantine by retention; they still count in the columns above
--
-- Parameters, all required: since_us (inclusive) and until_us (exclusive), the time at which the row was made, by
-- the station's clock in UTC epoch microseconds; station (or a site, for all stations below it), '' for all. There
-- is no part, because the part of a file without an image is not known.
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
WHERE :station = '' OR s.name = :station OR (s.name >= :station || '/' AND s.name < :station || '0')
ORDER BY s.name;
