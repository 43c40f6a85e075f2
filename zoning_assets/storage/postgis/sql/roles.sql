-- Roles and their rights. The owner is the user who created the schema. Each query has a name and one sentence. They run
-- again after each migration, so that new tables are covered.

-- name: create
-- Two roles of the server, without a login. Another database may create them at the same time.
DO $$ BEGIN
    BEGIN CREATE ROLE zoning_reader NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END;
    BEGIN CREATE ROLE zoning_writer NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END;
END $$;

-- name: exist
-- Whether the roles exist, and whether the connected user may change the schema.
SELECT to_regrole('zoning_reader') IS NOT NULL AND to_regrole('zoning_writer') IS NOT NULL,
    pg_has_role(current_user, (SELECT nspowner FROM pg_namespace WHERE nspname = 'zoning'), 'USAGE');

-- name: grant
-- A reader may read everything but the secrets of subscriptions. A writer may insert and change rows. It owns nothing: it cannot alter or truncate tables or
-- disable triggers, history is append-only, and only migrations write the version of the schema.
GRANT USAGE ON SCHEMA zoning TO zoning_reader, zoning_writer;
GRANT SELECT ON ALL TABLES IN SCHEMA zoning TO zoning_reader, zoning_writer;
GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA zoning TO zoning_writer;
REVOKE UPDATE, DELETE ON zoning.audit, zoning.parcel_version, zoning.district_version, zoning.parcel_zoning_version,
    zoning.amendment_version FROM zoning_writer;
REVOKE DELETE ON zoning.batch, zoning.rejection, zoning.release, zoning.change, zoning.hold, zoning.fix,
    zoning.survey, zoning.failure, zoning.received, zoning.change_log FROM zoning_writer;
REVOKE ALL ON zoning.subscription_secret FROM zoning_reader;
REVOKE INSERT, UPDATE, DELETE ON zoning.schema_version FROM zoning_writer;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA zoning TO zoning_writer;
ALTER DEFAULT PRIVILEGES IN SCHEMA zoning GRANT SELECT ON TABLES TO zoning_reader, zoning_writer;
ALTER DEFAULT PRIVILEGES IN SCHEMA zoning GRANT INSERT, UPDATE, DELETE ON TABLES TO zoning_writer;
ALTER DEFAULT PRIVILEGES IN SCHEMA zoning GRANT USAGE ON SEQUENCES TO zoning_writer;

-- name: join
-- The connected user becomes a member of the writer role; a superuser needs no membership. A writer may act as a reader.
DO $$ BEGIN
    IF NOT pg_has_role(current_user, 'zoning_writer', 'MEMBER') THEN GRANT zoning_writer TO CURRENT_USER; END IF;
    IF NOT pg_has_role('zoning_writer', 'zoning_reader', 'MEMBER') THEN
        BEGIN GRANT zoning_reader TO zoning_writer; EXCEPTION WHEN insufficient_privilege THEN NULL; END;
    END IF;
END $$;

-- name: who
-- The login and the role of this connection, and whether it owns the schema.
SELECT session_user::text, current_user::text, n.nspowner = to_regrole(current_user::text) OR r.rolsuper
FROM pg_namespace n, pg_roles r WHERE n.nspname = 'zoning' AND r.rolname = current_user;
