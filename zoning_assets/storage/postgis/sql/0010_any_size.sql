-- What is published of one jurisdiction must cost the same whatever else the database holds.

-- A look-up by key may take the primary key alone: no other index of these tables begins with the jurisdiction. A tile is
-- asked for with `jurisdiction || ''`, which no index but this one knows (see publish.sql).
DROP INDEX zoning.parcel_tile;
CREATE INDEX parcel_tile ON zoning.parcel (tile, (jurisdiction || ''));
ALTER INDEX zoning.parcel_tile ALTER COLUMN 2 SET STATISTICS 0;
CREATE INDEX parcel_version_geom ON zoning.parcel_version USING gist (geom);

-- The newest batch of a place, of a feed, and the newest rollback are each one look-up.
DROP INDEX zoning.batch_place;
CREATE INDEX batch_place ON zoning.batch (jurisdiction, feed, coalesce(tile, ''), id);
CREATE INDEX batch_feed ON zoning.batch (jurisdiction, feed, id);
CREATE INDEX batch_undo ON zoning.batch (jurisdiction, feed, id) WHERE undoes IS NOT NULL;
DROP INDEX zoning.rejection_place;
CREATE INDEX rejection_place ON zoning.rejection (jurisdiction, feed, coalesce(tile, '')) WHERE state <> 'superseded';

-- The changes of a parcel (without a list of pending entries, which each look-up would read, whoever's they are), those of
-- a release, those with an id made of another, and the matches of a change.
DROP INDEX zoning.change_parcels;
CREATE INDEX change_parcels ON zoning.change USING gin (parcel_ids) WITH (fastupdate = off);
CREATE INDEX change_release ON zoning.change (release_id);
CREATE INDEX change_again ON zoning.change ((evidence->>'again')) WHERE evidence->>'again' IS NOT NULL;
CREATE INDEX amendment_match_change ON zoning.amendment_match (change_id);

-- Statistics of jurisdictions (and of releases) are never of the one that comes next: without them the planner takes each
-- for a 200th of the table as large as it is now. Where there are some already they stay in use, as nobody but a superuser
-- could take them away; no look-up by key relies on either.
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

-- The same answers as before; asked for one parcel they look up one parcel. Nothing is joined, so that there is nothing
-- to be joined badly: a county's states are sorted once.
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
