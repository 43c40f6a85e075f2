-- Zoning per parcel. Each query has a name and one sentence; stores/queries.py loads them.

-- name: lock
-- One at a time for a jurisdiction, and no feed of it is published meanwhile: what is read belongs together.
SELECT pg_advisory_xact_lock(hashtextextended(%(jurisdiction)s || '/' || feed, 0))
FROM unnest(ARRAY['parcel_zoning', 'parcels', 'zoning']) AS feed;

-- name: newest
-- The newest batch of each feed, and what the shares were made of last.
SELECT
    coalesce((SELECT max(id) FROM zoning.batch WHERE jurisdiction = %(jurisdiction)s AND feed = 'parcels'), 0),
    coalesce((SELECT max(id) FROM zoning.batch WHERE jurisdiction = %(jurisdiction)s AND feed = 'zoning'), 0),
    b.rules, (b.counts->>'parcels')::bigint, (b.counts->>'zoning')::bigint
FROM (SELECT 1) AS one LEFT JOIN LATERAL (
    SELECT rules, counts FROM zoning.batch
    WHERE jurisdiction = %(jurisdiction)s AND feed = 'parcel_zoning' ORDER BY id DESC LIMIT 1
) b ON true;

-- name: codes
-- Every code that was ever seen, and how it is spelled here; NULL where that is not settled yet.
SELECT seen.local, c.code FROM (
    SELECT code_local AS local FROM zoning.district WHERE jurisdiction = %(jurisdiction)s
    UNION SELECT code_local FROM zoning.district_version WHERE jurisdiction = %(jurisdiction)s
    UNION SELECT zoning_code_local FROM zoning.parcel WHERE jurisdiction = %(jurisdiction)s
    UNION SELECT zoning_code_local FROM zoning.parcel_version WHERE jurisdiction = %(jurisdiction)s
) seen LEFT JOIN zoning.code c ON c.jurisdiction = %(jurisdiction)s AND c.local = seen.local
WHERE seen.local IS NOT NULL ORDER BY 1;

-- name: settle
-- How codes are spelled, and their types.
INSERT INTO zoning.code AS c (jurisdiction, local, code, zone_type, rules, since)
SELECT %(jurisdiction)s, s.local, s.code, s.zone_type, %(rules)s, clock_timestamp()
FROM jsonb_to_recordset(%(spellings)s) AS s (local text, code text, zone_type text)
ON CONFLICT (jurisdiction, local) DO UPDATE SET code = excluded.code, zone_type = excluded.zone_type,
    rules = excluded.rules, since = excluded.since
WHERE (c.code, c.zone_type) IS DISTINCT FROM (excluded.code, excluded.zone_type);

-- name: spell_districts
-- Canonical codes into the map, and types where the portal gives none. Here and below codes are looked up row by row: a
-- join by estimates may read the county once for each code.
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
-- The same for what the parcel layer says.
UPDATE zoning.parcel p SET
    zoning_code = (SELECT c.code FROM zoning.code c WHERE c.jurisdiction = %(jurisdiction)s AND c.local = p.zoning_code_local)
WHERE p.jurisdiction = %(jurisdiction)s AND p.zoning_code_local IS NOT NULL AND (
    SELECT p.zoning_code IS DISTINCT FROM c.code
    FROM zoning.code c WHERE c.jurisdiction = %(jurisdiction)s AND c.local = p.zoning_code_local
);

-- name: districts
-- The map now.
SELECT district_id, code, code_local, effective, ST_AsBinary(geom) FROM zoning.district
WHERE jurisdiction = %(jurisdiction)s ORDER BY district_id;

-- name: all_parcels
-- Every parcel now.
SELECT parcel_id, ST_AsBinary(geom) FROM zoning.parcel WHERE jurisdiction = %(jurisdiction)s ORDER BY parcel_id;

-- name: changed_ground
-- The ground of parcels and districts that came, went or changed since, as it is and as it was.
SELECT ST_AsBinary(geom) FROM zoning.parcel WHERE jurisdiction = %(jurisdiction)s AND batch_id > %(parcels)s
UNION ALL
SELECT ST_AsBinary(geom) FROM zoning.parcel_version
WHERE jurisdiction = %(jurisdiction)s AND ended_by > %(parcels)s
UNION ALL
SELECT ST_AsBinary(geom) FROM zoning.district WHERE jurisdiction = %(jurisdiction)s AND batch_id > %(zoning)s
UNION ALL
SELECT ST_AsBinary(geom) FROM zoning.district_version
WHERE jurisdiction = %(jurisdiction)s AND ended_by > %(zoning)s;

-- name: parcels_on
-- The parcels that touch some ground (WKB), and those of some ids. The jurisdiction is no part of what the index is asked
-- for: a planner that does not know it yet would read the whole county for each shape.
SELECT p.parcel_id, ST_AsBinary(p.geom) FROM (
    SELECT p.parcel_id FROM (
        SELECT ST_GeomFromWKB(g, %(srid)s) AS shape FROM unnest(%(ground)s::bytea[]) AS g OFFSET 0
    ) AS ground, LATERAL (
        SELECT parcel_id FROM zoning.parcel
        WHERE jurisdiction || '' = %(jurisdiction)s AND ST_Intersects(geom, ground.shape) OFFSET 0
    ) p
    UNION SELECT unnest(%(keys)s::text[])
) AS wanted, LATERAL (
    SELECT parcel_id, geom FROM zoning.parcel
    WHERE jurisdiction = %(jurisdiction)s AND parcel_id = wanted.parcel_id OFFSET 0
) p ORDER BY 1;

-- name: best_lots
-- The parcel that holds most of each district, as it was found last.
SELECT district_id, parcel_id FROM zoning.best_lot WHERE jurisdiction = %(jurisdiction)s;

-- name: put_best_lots
-- The same as it is now.
WITH gone AS (DELETE FROM zoning.best_lot WHERE jurisdiction = %(jurisdiction)s AND district_id <> ALL (%(districts)s))
INSERT INTO zoning.best_lot (jurisdiction, district_id, parcel_id)
SELECT %(jurisdiction)s, * FROM unnest(%(districts)s::text[], %(parcels)s::text[])
ON CONFLICT (jurisdiction, district_id) DO UPDATE SET parcel_id = excluded.parcel_id;

-- name: stage
-- Where COPY puts the shares before they are compared.
CREATE TEMPORARY TABLE stage (
    parcel_id text NOT NULL, facet text NOT NULL, code text NOT NULL, effective text,
    area_m2 double precision NOT NULL, fraction double precision NOT NULL, rank double precision NOT NULL,
    listed double precision NOT NULL
) ON COMMIT DROP;

-- name: different
-- The parcels of which any share is another, or that are gone; %(judged)s: those that were looked at.
CREATE TEMPORARY TABLE different ON COMMIT DROP AS
WITH new AS (
    SELECT parcel_id, facet, code, area_m2, fraction, rank::integer, listed = 1 AS listed, effective::date FROM stage
),
old AS (
    SELECT z.* FROM unnest(%(judged)s::text[]) AS k(parcel_id), LATERAL (
        SELECT parcel_id, facet, code, area_m2, fraction, rank, listed, effective
        FROM zoning.parcel_zoning WHERE jurisdiction = %(jurisdiction)s AND parcel_id = k.parcel_id OFFSET 0
    ) z
)
SELECT parcel_id FROM ((TABLE new EXCEPT TABLE old) UNION ALL (TABLE old EXCEPT TABLE new)) AS d
UNION
SELECT z.parcel_id FROM zoning.parcel_zoning z WHERE z.jurisdiction = %(jurisdiction)s AND NOT EXISTS (
    SELECT FROM zoning.parcel p WHERE p.jurisdiction = %(jurisdiction)s AND p.parcel_id = z.parcel_id OFFSET 0
);

-- name: supersede
-- What the shares of those parcels were becomes a version; its legal end is the day from which the new ones of its facet
-- apply.
WITH begins AS MATERIALIZED (
    SELECT jsonb_object_agg(parcel_id || chr(10) || facet, legal) AS days FROM (
        SELECT parcel_id, facet, max(effective) AS legal FROM stage GROUP BY parcel_id, facet
    ) each WHERE legal IS NOT NULL
),
gone AS (
    DELETE FROM zoning.parcel_zoning WHERE ctid = ANY (ARRAY(
        SELECT z.at FROM different d, LATERAL (
            SELECT ctid AS at FROM zoning.parcel_zoning
            WHERE jurisdiction = %(jurisdiction)s AND parcel_id = d.parcel_id OFFSET 0
        ) z
    )) RETURNING *
)
INSERT INTO zoning.parcel_zoning_version
SELECT gone.*, gone.last_changed, %(now)s, gone.effective,
    ((SELECT days FROM begins)->>(gone.parcel_id || chr(10) || gone.facet))::date, %(batch)s FROM gone;

-- name: insert
-- What they are now.
INSERT INTO zoning.parcel_zoning
SELECT %(jurisdiction)s, s.parcel_id, s.facet, s.code, s.area_m2, s.fraction, s.rank::integer, s.listed = 1,
    s.effective::date, %(batch)s, %(now)s
FROM stage s JOIN different USING (parcel_id);

-- name: disagreements
-- Parcels whose layer says another code than the map, by both codes; as the view zoned_parcel says of each.
SELECT p.zoning_code, z.code, count(*), (array_agg(p.parcel_id ORDER BY p.parcel_id))[1:3]
FROM zoning.parcel p, LATERAL (
    SELECT code FROM zoning.parcel_zoning
    WHERE jurisdiction = %(jurisdiction)s AND parcel_id = p.parcel_id AND facet = 'base' AND rank = 1 OFFSET 0
) z
WHERE p.jurisdiction = %(jurisdiction)s AND p.zoning_code <> z.code
GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT 100;

-- name: split
-- How many parcels have a code, several listed ones, and none.
SELECT count(*), count(*) FILTER (WHERE codes > 1),
    (SELECT count(*) FROM zoning.parcel WHERE jurisdiction = %(jurisdiction)s) - count(*)
FROM (
    SELECT count(*) FILTER (WHERE listed) AS codes FROM zoning.parcel_zoning
    WHERE jurisdiction = %(jurisdiction)s AND facet = 'base' GROUP BY parcel_id
) each;
