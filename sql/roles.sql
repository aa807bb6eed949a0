-- Roles on PostgreSQL for the quality database. Both can only read and add rows.
--
--   weldnet_daemon    reads and adds rows: for the service, and for people who review, prune or requeue (which add
--                     rows too, and remove none)
--   weldnet_reporter  only reads: for reports, SQL clients, dashboards
--
-- Only the owner of the tables (the user who runs 'weld-inspect migrate') has the right to change or delete rows, and
-- triggers stop even the owner. Run this file as the owner, who needs CREATEROLE, after each migrate:
--
--   psql --dbname quality --set ON_ERROR_STOP=1 --file sql/roles.sql
--
-- Then create users, each with a role:
--
--   CREATE USER cell3 PASSWORD '...' IN ROLE weldnet_daemon;
--   CREATE USER quality_engineer PASSWORD '...' IN ROLE weldnet_reporter;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'weldnet_reporter') THEN
        CREATE ROLE weldnet_reporter NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'weldnet_daemon') THEN
        CREATE ROLE weldnet_daemon NOLOGIN;
    END IF;
END
$$;

-- Up to PostgreSQL 14 everybody may create objects in the schema public, and so put a function or a table of their
-- own in the way of these tables' users. The owner of the tables keeps the right, for the next migrate.
DO $$
BEGIN
    EXECUTE 'GRANT CREATE ON SCHEMA public TO ' || (
        SELECT quote_ident(tableowner) FROM pg_tables WHERE schemaname = 'public' AND tablename = 'inspection'
    );
END
$$;
REVOKE CREATE ON SCHEMA public FROM PUBLIC, weldnet_reporter, weldnet_daemon;

REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, weldnet_reporter, weldnet_daemon;
GRANT USAGE ON SCHEMA public TO weldnet_reporter, weldnet_daemon;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO weldnet_reporter, weldnet_daemon;
GRANT INSERT ON station, model, settings, inspection, quarantine, arrival, review, seam_review, audit_sample, event
    TO weldnet_daemon;
