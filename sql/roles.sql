-- Roles on PostgreSQL for the quality database. All can only read and add rows.
--
--   weldnet_daemon    reads and adds rows: for the service, and for people who prune or requeue (which add rows too,
--                     and remove none)
--   weldnet_reviewer  adds human verdicts and audit samples, and reads what a reviewer needs: for people who review.
--                     A verdict carries the name of the database's user who adds it, and the time of the server
--   weldnet_console   reads what reports read, and adds human verdicts, notes on signals and requests for pictures: for
--                     the review console, which signs each verdict with the name of the person at the browser
--   weldnet_reporter  only reads: for reports, SQL clients, dashboards
--   weldnet_forwarder adds the rows of stations and small pictures to a central database, and reads what is there: for
--                     'weld-inspect forward'. It adds rows of any station and verdicts of any person, as they were at
--                     the station
--
-- Only the owner of the tables (the user who runs 'weld-inspect migrate') has the right to change or delete rows, and
-- triggers stop even the owner. Run this file as the owner, who needs CREATEROLE, after each migrate:
--
--   psql --dbname quality --set ON_ERROR_STOP=1 --file sql/roles.sql
--
-- Then create users, each with a role:
--
--   CREATE USER cell3 PASSWORD '...' IN ROLE weldnet_daemon;
--   CREATE USER anna PASSWORD '...' IN ROLE weldnet_reviewer, weldnet_reporter;    -- reviews, and runs reports
--   CREATE USER quality_manager PASSWORD '...' IN ROLE weldnet_reporter;
--   CREATE USER cell3_console PASSWORD '...' IN ROLE weldnet_console;
--   CREATE USER cell3_forward PASSWORD '...' IN ROLE weldnet_forwarder;            -- at the centre

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'weldnet_reporter') THEN
        CREATE ROLE weldnet_reporter NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'weldnet_daemon') THEN
        CREATE ROLE weldnet_daemon NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'weldnet_reviewer') THEN
        CREATE ROLE weldnet_reviewer NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'weldnet_console') THEN
        CREATE ROLE weldnet_console NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'weldnet_forwarder') THEN
        CREATE ROLE weldnet_forwarder NOLOGIN;
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
REVOKE CREATE ON SCHEMA public
    FROM PUBLIC, weldnet_reporter, weldnet_console, weldnet_reviewer, weldnet_daemon, weldnet_forwarder;

REVOKE ALL ON ALL TABLES IN SCHEMA public
    FROM PUBLIC, weldnet_reporter, weldnet_console, weldnet_reviewer, weldnet_daemon, weldnet_forwarder;
GRANT USAGE ON SCHEMA public
    TO weldnet_reporter, weldnet_console, weldnet_reviewer, weldnet_daemon, weldnet_forwarder;
GRANT SELECT ON ALL TABLES IN SCHEMA public
    TO weldnet_reporter, weldnet_console, weldnet_daemon, weldnet_forwarder;
GRANT INSERT ON station, model, settings, inspection, quarantine, arrival, review, seam_review, audit_sample,
    signal_note, event, hour_summary, hour_count, hour_latency, hour_work, hour_class, hour_batch, rejudgement, forwarded,
    thumbnail_request, thumbnail, summary_seal
    TO weldnet_daemon;
-- A forwarder takes the numbers of images and quarantined files before it adds them, for the rows that refer to them.
GRANT INSERT ON station, model, settings, inspection, quarantine, arrival, review, seam_review, audit_sample,
    signal_note, event, rejudgement, forwarded, thumbnail TO weldnet_forwarder;
GRANT USAGE ON SEQUENCE inspection_id_seq, quarantine_id_seq TO weldnet_forwarder;
GRANT SELECT ON alembic_version, station, model, settings, inspection, review, seam_review, audit_sample
    TO weldnet_reviewer;
-- Without the column id: the latest verdict is the one with the highest number, so nobody may choose a number.
GRANT INSERT (inspection_id, reviewer, label, verdict, note, reviewed_us, request_key, is_blind) ON review
    TO weldnet_reviewer, weldnet_console;
GRANT INSERT (inspection_id, reviewer, verdict, note, reviewed_us, request_key) ON seam_review
    TO weldnet_reviewer, weldnet_console;
GRANT INSERT (inspection_id, seed, population, drawn_us) ON audit_sample TO weldnet_reviewer;
GRANT INSERT (report, signal, person, cause, action, noted_us, request_key) ON signal_note TO weldnet_console;
GRANT INSERT (inspection_id, person, asked_us) ON thumbnail_request TO weldnet_console;

-- A user who may add whole rows (weldnet_daemon, the owner) records verdicts of others, as review import does. Any other
-- user signs with the own name, except the console, which knows the person; the time is that of the server for both.
-- session_user is the user who logged in: SET ROLE does not change it.
CREATE OR REPLACE FUNCTION sign_review() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF has_table_privilege(TG_RELID, 'INSERT') THEN
        RETURN NEW;
    END IF;
    IF NEW.reviewer <> session_user AND NOT EXISTS (  -- in a restored database the role may be missing
        SELECT FROM pg_roles WHERE rolname = 'weldnet_console' AND pg_has_role(session_user, oid, 'MEMBER')
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'with_check_option_violation',
            MESSAGE = concat('the reviewer is ', session_user, ', not ', NEW.reviewer);
    END IF;
    NEW.reviewed_us := floor(extract(epoch FROM clock_timestamp()) * 1000000);
    RETURN NEW;
END
$$;
DROP TRIGGER IF EXISTS review_signed ON review;
CREATE TRIGGER review_signed BEFORE INSERT ON review FOR EACH ROW EXECUTE FUNCTION sign_review();
DROP TRIGGER IF EXISTS seam_review_signed ON seam_review;
CREATE TRIGGER seam_review_signed BEFORE INSERT ON seam_review FOR EACH ROW EXECUTE FUNCTION sign_review();
