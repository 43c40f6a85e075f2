-- Zoning per parcel. Each query has a name and one sentence; sql_queries.py loads them.

-- name: lock
-- Only one such transaction at a time for a jurisdiction. Its feeds cannot be published meanwhile, so that parcels and map
-- belong together.
SELECT pg_advisory_xact_lock(hashtextextended(%(jurisdiction)s || '/' || feed, 0))
FROM unnest(ARRAY['parcel_zoning', 'parcels', 'zoning']) AS feed;

-- name: newest
-- The newest batch of each feed; rules and batches of the last published shares.
SELECT
    coalesce((SELECT max(id) FROM zoning.batch WHERE jurisdiction = %(jurisdiction)s AND feed = 'parcels'), 0),
    coalesce((SELECT max(id) FROM zoning.batch WHERE jurisdiction = %(jurisdiction)s AND feed = 'zoning'), 0),
    b.rules, (b.counts->>'parcels')::bigint, (b.counts->>'zoning')::bigint
FROM (SELECT 1) AS one LEFT JOIN LATERAL (
    SELECT rules, counts FROM zoning.batch
    WHERE jurisdiction = %(jurisdiction)s AND feed = 'parcel_zoning' ORDER BY id DESC LIMIT 1
) b ON true;

-- name: codes
-- Every code that was ever published, and its canonical spelling; NULL: it has none yet.
SELECT seen.local, c.code FROM (
    SELECT code_local AS local FROM zoning.district WHERE jurisdiction = %(jurisdiction)s
    UNION SELECT code_local FROM zoning.district_version WHERE jurisdiction = %(jurisdiction)s
    UNION SELECT zoning_code_local FROM zoning.parcel WHERE jurisdiction = %(jurisdiction)s
    UNION SELECT zoning_code_local FROM zoning.parcel_version WHERE jurisdiction = %(jurisdiction)s
) seen LEFT JOIN zoning.code c ON c.jurisdiction = %(jurisdiction)s AND c.local = seen.local
WHERE seen.local IS NOT NULL ORDER BY 1;

-- name: store_spellings
-- Canonical spellings and types of codes.
INSERT INTO zoning.code AS c (jurisdiction, local, code, zone_type, rules, since)
SELECT %(jurisdiction)s, s.local, s.code, s.zone_type, %(rules)s, clock_timestamp()
FROM jsonb_to_recordset(%(spellings)s) AS s (local text, code text, zone_type text)
ON CONFLICT (jurisdiction, local) DO UPDATE SET code = excluded.code, zone_type = excluded.zone_type,
    rules = excluded.rules, since = excluded.since
WHERE (c.code, c.zone_type) IS DISTINCT FROM (excluded.code, excluded.zone_type);

-- name: spell_districts
-- Write canonical codes into the map, and types that the portal does not state. Codes are looked up for each row, because a
-- join could read the whole jurisdiction once for each code.
UPDATE zoning.district d SET
    code = (SELECT c.code FROM zoning.code c WHERE c.jurisdiction = %(jurisdiction)s AND c.local = d.code_local),
    zone_type = coalesce(
        (SELECT c.zone_type FROM zoning.code c WHERE c.jurisdiction = %(jurisdiction)s AND c.local = d.code_local),
        d.zone_type
    )
WHERE d.jurisdiction = %(jurisdiction)s AND (
    SELECT (d.code, d.zone_type) IS DISTINCT FROM (c.code, coalesce(c.zone_type, d.zone_type))
    FROM zoning.code c WHERE c.jurisdiction = %(jurisdiction)s AND c.local = d.code_local
);

-- name: spell_parcels
-- The same for the codes of the parcel layer.
UPDATE zoning.parcel p SET
    zoning_code = (SELECT c.code FROM zoning.code c WHERE c.jurisdiction = %(jurisdiction)s AND c.local = p.zoning_code_local)
WHERE p.jurisdiction = %(jurisdiction)s AND p.zoning_code_local IS NOT NULL AND (
    SELECT p.zoning_code IS DISTINCT FROM c.code
    FROM zoning.code c WHERE c.jurisdiction = %(jurisdiction)s AND c.local = p.zoning_code_local
);

-- name: districts
-- The current map.
SELECT district_id, code, code_local, effective, ST_AsBinary(geom) FROM zoning.district
WHERE jurisdiction = %(jurisdiction)s ORDER BY district_id;

-- name: changed_ground
-- Old and new shapes of parcels and districts that were added, retired or changed since; at most `most`. A parcel with the
-- same shape as before has the same shares, so it is left out; OFFSET 0 looks up each one (see publish.sql).
SELECT ST_AsBinary(geom) FROM (
    SELECT geom FROM zoning.parcel p WHERE jurisdiction = %(jurisdiction)s AND batch_id > %(parcels)s AND NOT EXISTS (
        SELECT FROM zoning.parcel_version v WHERE v.jurisdiction = %(jurisdiction)s AND v.parcel_id = p.parcel_id
            AND v.batch_id <= %(parcels)s AND v.ended_by > %(parcels)s AND v.geom::bytea = p.geom::bytea OFFSET 0
    )
    UNION ALL
    SELECT geom FROM zoning.parcel_version v WHERE jurisdiction = %(jurisdiction)s AND ended_by > %(parcels)s AND NOT EXISTS (
        SELECT FROM zoning.parcel p WHERE p.jurisdiction = %(jurisdiction)s AND p.parcel_id = v.parcel_id
            AND p.geom::bytea = v.geom::bytea OFFSET 0
    )
    UNION ALL
    SELECT geom FROM zoning.district WHERE jurisdiction = %(jurisdiction)s AND batch_id > %(zoning)s
    UNION ALL
    SELECT geom FROM zoning.district_version WHERE jurisdiction = %(jurisdiction)s AND ended_by > %(zoning)s
) AS changed LIMIT %(most)s;

-- name: create_chosen
-- The parcels whose shares are computed, in the order in which they are read.
CREATE TEMPORARY TABLE chosen (parcel_id text NOT NULL) ON COMMIT DROP;

-- name: choose_all
-- Every parcel; neighbours are stored together.
INSERT INTO chosen SELECT parcel_id FROM zoning.parcel WHERE jurisdiction = %(jurisdiction)s ORDER BY tile, parcel_id;

-- name: choose_on
-- The parcels that intersect some shapes (WKB); neighbours are stored together. Here and below `jurisdiction || ''`
-- keeps the planner from an index on the jurisdiction, with which it would read the whole jurisdiction for each shape.
WITH ground AS MATERIALIZED (
    SELECT ST_GeomFromWKB(g, %(srid)s) AS shape FROM unnest(%(ground)s::bytea[]) AS g
)
INSERT INTO chosen SELECT parcel_id FROM (
    SELECT DISTINCT p.tile, p.parcel_id FROM ground, LATERAL (
        SELECT tile, parcel_id FROM zoning.parcel
        WHERE jurisdiction || '' = %(jurisdiction)s AND ST_Intersects(geom, ground.shape) OFFSET 0
    ) p
) AS touched ORDER BY tile, parcel_id;

-- name: choose_keys
-- Also the parcels with these ids.
INSERT INTO chosen SELECT p.parcel_id FROM unnest(%(keys)s::text[]) AS k(parcel_id), LATERAL (
    SELECT parcel_id FROM zoning.parcel WHERE jurisdiction = %(jurisdiction)s AND parcel_id = k.parcel_id OFFSET 0
) p
EXCEPT SELECT parcel_id FROM chosen;

-- name: chosen_parcels
-- The chosen parcels that exist.
SELECT c.parcel_id, ST_AsBinary(p.geom) FROM chosen c, LATERAL (
    SELECT geom FROM zoning.parcel WHERE jurisdiction = %(jurisdiction)s AND parcel_id = c.parcel_id OFFSET 0
) p;

-- name: parcels_of
-- The parcels with these ids.
SELECT k.parcel_id, ST_AsBinary(p.geom) FROM unnest(%(keys)s::text[]) AS k(parcel_id), LATERAL (
    SELECT geom FROM zoning.parcel WHERE jurisdiction = %(jurisdiction)s AND parcel_id = k.parcel_id OFFSET 0
) p;

-- name: parcels_in
-- The parcels that intersect some districts, without duplicates.
SELECT k.parcel_id, ST_AsBinary(p.geom) FROM (
    SELECT DISTINCT t.parcel_id FROM unnest(%(districts)s::text[]) AS n(district_id), LATERAL (
        SELECT geom FROM zoning.district WHERE jurisdiction = %(jurisdiction)s AND district_id = n.district_id OFFSET 0
    ) d, LATERAL (
        SELECT parcel_id FROM zoning.parcel
        WHERE jurisdiction || '' = %(jurisdiction)s AND ST_Intersects(geom, d.geom) OFFSET 0
    ) t
) k, LATERAL (
    SELECT geom FROM zoning.parcel WHERE jurisdiction = %(jurisdiction)s AND parcel_id = k.parcel_id OFFSET 0
) p;

-- name: best_lots
-- The parcel that holds most of each district, as last stored.
SELECT district_id, parcel_id FROM zoning.best_lot WHERE jurisdiction = %(jurisdiction)s;

-- name: put_best_lots
-- Replace them.
WITH ended AS (DELETE FROM zoning.best_lot WHERE jurisdiction = %(jurisdiction)s AND district_id <> ALL (%(districts)s))
INSERT INTO zoning.best_lot (jurisdiction, district_id, parcel_id)
SELECT %(jurisdiction)s, * FROM unnest(%(districts)s::text[], %(parcels)s::text[])
ON CONFLICT (jurisdiction, district_id) DO UPDATE SET parcel_id = excluded.parcel_id;

-- name: create_stage
-- The target of COPY: the shares of some parcels.
CREATE TEMPORARY TABLE stage (
    parcel_id text NOT NULL, facet text NOT NULL, code text NOT NULL, effective text,
    area_m2 double precision NOT NULL, fraction double precision NOT NULL, rank double precision NOT NULL,
    listed double precision NOT NULL
) ON COMMIT DROP;

-- name: create_stage_index
-- The index by which the staged shares of a parcel are found.
CREATE INDEX stage_key ON stage (parcel_id, facet);

-- name: clear_stage
-- Empty the stage for the next parcels.
TRUNCATE stage;

-- name: different
-- Those of some parcels whose staged shares differ from the published ones.
WITH new AS (
    SELECT parcel_id, facet, code, area_m2, fraction, rank::integer, listed = 1 AS listed, effective::date FROM stage
),
old AS (
    SELECT z.* FROM unnest(%(keys)s::text[]) AS k(parcel_id), LATERAL (
        SELECT parcel_id, facet, code, area_m2, fraction, rank, listed, effective
        FROM zoning.parcel_zoning WHERE jurisdiction = %(jurisdiction)s AND parcel_id = k.parcel_id OFFSET 0
    ) z
)
SELECT DISTINCT parcel_id FROM ((TABLE new EXCEPT TABLE old) UNION ALL (TABLE old EXCEPT TABLE new)) AS d;

-- name: retired
-- Parcels that ended since and no longer exist; without a map: all parcels that have shares.
SELECT v.parcel_id FROM (
    SELECT DISTINCT parcel_id FROM zoning.parcel_version
    WHERE jurisdiction = %(jurisdiction)s AND ended_by > %(parcels)s AND NOT %(no_map)s
) v WHERE NOT EXISTS (
    SELECT FROM zoning.parcel p WHERE p.jurisdiction = %(jurisdiction)s AND p.parcel_id = v.parcel_id OFFSET 0
)
UNION ALL
SELECT DISTINCT parcel_id FROM zoning.parcel_zoning WHERE jurisdiction = %(jurisdiction)s AND %(no_map)s;

-- name: supersede
-- The shares of some parcels become versions. Their legal end is the day from which the new shares of the facet apply.
-- Rows are deleted by ctid, because with keys the planner may read all shares of the jurisdiction.
WITH ended AS (
    DELETE FROM zoning.parcel_zoning WHERE ctid = ANY (ARRAY(
        SELECT z.row_place FROM unnest(%(keys)s::text[]) AS k(parcel_id), LATERAL (
            SELECT ctid AS row_place FROM zoning.parcel_zoning
            WHERE jurisdiction = %(jurisdiction)s AND parcel_id = k.parcel_id OFFSET 0
        ) z
    )) RETURNING *
)
INSERT INTO zoning.parcel_zoning_version
SELECT ended.*, ended.last_changed, %(now)s, ended.effective, begins.legal, %(batch)s
FROM ended LEFT JOIN LATERAL (
    SELECT max(s.effective::date) AS legal FROM stage s
    WHERE s.parcel_id = ended.parcel_id AND s.facet = ended.facet OFFSET 0
) begins ON true;

-- name: insert
-- Insert the staged shares of some parcels.
INSERT INTO zoning.parcel_zoning
SELECT %(jurisdiction)s, s.parcel_id, s.facet, s.code, s.area_m2, s.fraction, s.rank::integer, s.listed = 1,
    s.effective::date, %(batch)s, %(now)s
FROM stage s WHERE s.parcel_id = ANY (%(keys)s);

-- name: insert_all
-- Insert all staged shares; for a jurisdiction without published shares.
INSERT INTO zoning.parcel_zoning
SELECT %(jurisdiction)s, s.parcel_id, s.facet, s.code, s.area_m2, s.fraction, s.rank::integer, s.listed = 1,
    s.effective::date, %(batch)s, %(now)s
FROM stage s;

-- name: disagreements
-- Parcels whose layer states another code than the map, counted by both codes; the same rule as in the view zoned_parcel.
SELECT p.zoning_code, z.code, count(*), (array_agg(p.parcel_id ORDER BY p.parcel_id))[1:3]
FROM zoning.parcel p, LATERAL (
    SELECT code FROM zoning.parcel_zoning
    WHERE jurisdiction = %(jurisdiction)s AND parcel_id = p.parcel_id AND facet = 'base' AND rank = 1 OFFSET 0
) z
WHERE p.jurisdiction = %(jurisdiction)s AND p.zoning_code <> z.code
GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT 100;

-- name: split
-- How many parcels have a code, how many have several listed codes, and how many have none.
SELECT count(*), count(*) FILTER (WHERE codes > 1),
    (SELECT count(*) FROM zoning.parcel WHERE jurisdiction = %(jurisdiction)s) - count(*)
FROM (
    SELECT count(*) FILTER (WHERE listed) AS codes FROM zoning.parcel_zoning
    WHERE jurisdiction = %(jurisdiction)s AND facet = 'base' GROUP BY parcel_id
) each;
