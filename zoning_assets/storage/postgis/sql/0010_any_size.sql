-- The cost of publishing a jurisdiction must not depend on other jurisdictions in the database.

-- Look-ups by key can use only the primary key, because no other index of these tables begins with the jurisdiction. Rows of
-- a tile are selected with `jurisdiction || ''`, an expression that only this index has (see publish.sql).
DROP INDEX zoning.parcel_tile;
CREATE INDEX parcel_tile ON zoning.parcel (tile, (jurisdiction || ''));
ALTER INDEX zoning.parcel_tile ALTER COLUMN 2 SET STATISTICS 0;
CREATE INDEX parcel_version_geom ON zoning.parcel_version USING gist (geom);

-- The newest batch of a place, the newest batch of a feed, and the newest rollback are one index look-up each.
DROP INDEX zoning.batch_place;
CREATE INDEX batch_place ON zoning.batch (jurisdiction, feed, coalesce(tile, ''), id);
CREATE INDEX batch_feed ON zoning.batch (jurisdiction, feed, id);
CREATE INDEX batch_undo ON zoning.batch (jurisdiction, feed, id) WHERE undoes IS NOT NULL;
DROP INDEX zoning.rejection_place;
CREATE INDEX rejection_place ON zoning.rejection (jurisdiction, feed, coalesce(tile, '')) WHERE state <> 'superseded';

-- Indexes for the changes of a parcel (without a pending list, which every look-up would read), of a release, with an id
-- derived from another, and for the matches of a change.
DROP INDEX zoning.change_parcels;
CREATE INDEX change_parcels ON zoning.change USING gin (parcel_ids) WITH (fastupdate = off);
CREATE INDEX change_release ON zoning.change (release_id);
CREATE INDEX change_again ON zoning.change ((evidence->>'again')) WHERE evidence->>'again' IS NOT NULL;
CREATE INDEX amendment_match_change ON zoning.amendment_match (change_id);

-- Statistics of existing jurisdictions (and releases) are wrong for a new one. Without statistics the planner assumes that
-- each is a 200th of the table. Existing statistics stay, because only a superuser could delete them; no look-up by key
-- depends on them.
DO $$
DECLARE each record;
BEGIN
    FOR each IN
        SELECT a.attrelid::regclass AS table_name, a.attname AS column_name
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE c.relnamespace = 'zoning'::regnamespace AND c.relkind = 'r' AND a.attname IN ('jurisdiction', 'release_id')
            AND NOT EXISTS (
                SELECT FROM pg_stats s
                WHERE s.schemaname = 'zoning' AND s.tablename = c.relname AND s.attname = a.attname
            )
    LOOP
        EXECUTE 'ALTER TABLE ' || each.table_name || ' ALTER COLUMN ' || each.column_name || ' SET STATISTICS 0';
    END LOOP;
END $$;

-- The same result as before. A condition on one parcel looks up one parcel. There is no join, which a planner could choose
-- badly: the states of a jurisdiction are sorted once.
CREATE OR REPLACE FUNCTION zoning.zoning_as_of(jurisdiction text, legal_time date, system_time timestamptz)
RETURNS SETOF zoning.parcel_zoning_version LANGUAGE sql STABLE AS $$
    SELECT jurisdiction, parcel_id, facet, code, area_m2, fraction, rank, listed, effective, batch_id, last_changed,
        system_from, system_to, legal_from, legal_to, ended_by
    FROM (
        SELECT *, first_value(system_from) OVER (
            PARTITION BY parcel_id, facet ORDER BY ($2 IS NULL OR begun <= $2) DESC, system_from DESC
        ) AS chosen
        FROM (
            SELECT *, max(system_to) OVER state AS ends, max(legal_to) OVER state AS legal_ends,
                coalesce(min(legal_from) OVER state, (system_from AT TIME ZONE 'UTC')::date) AS begins,
                coalesce(max(legal_from) OVER state, (system_from AT TIME ZONE 'UTC')::date) AS begun
            FROM (
                SELECT v.* FROM zoning.parcel_zoning_version v WHERE v.jurisdiction = $1
                UNION ALL
                SELECT z.*, z.last_changed, 'infinity'::timestamptz, z.effective, NULL, 0
                FROM zoning.parcel_zoning z WHERE z.jurisdiction = $1
            ) known
            WHERE system_from <= coalesce($3, 'infinity')
            WINDOW state AS (PARTITION BY parcel_id, facet, system_from)
        ) known
        WHERE ($2 IS NULL OR begins <= $2)
            AND NOT (ends <= coalesce($3, 'infinity') AND ends <> 'infinity'
                AND ($2 IS NULL OR coalesce(legal_ends, (ends AT TIME ZONE 'UTC')::date) <= $2))
    ) known
    WHERE system_from = chosen AND ($2 IS NULL OR legal_from IS NULL OR legal_from <= $2)
$$;
