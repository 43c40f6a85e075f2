-- What the map shows besides features and tiles. Each query has a name and one sentence; sql_queries.py loads them.

-- name: places
-- Each published jurisdiction: number of districts, bounds (west, south, east, north; EPSG:4326) of its map or, without a
-- map, of its parcels; number of its events, and the bounds of the newest thousand.
SELECT k.jurisdiction AS id, m.districts, zoning.corners(coalesce(m.box, p.box)) AS bounds, e.changes,
    zoning.corners(n.box) AS changed_bounds
FROM (SELECT DISTINCT jurisdiction FROM zoning.batch) k
LEFT JOIN LATERAL (
    SELECT count(*) AS districts, ST_Extent(geom) AS box FROM zoning.zoned_district WHERE jurisdiction = k.jurisdiction
) m ON true
LEFT JOIN LATERAL (
    SELECT ST_Extent(geom) AS box FROM zoning.zoned_parcel WHERE jurisdiction = k.jurisdiction AND m.box IS NULL
) p ON true
LEFT JOIN LATERAL (
    SELECT count(*) AS changes FROM zoning.change WHERE jurisdiction = k.jurisdiction AND state = 'event'
) e ON true
LEFT JOIN LATERAL (
    SELECT ST_Extent(geom) AS box FROM (
        SELECT geom FROM zoning.change_feature WHERE jurisdiction = k.jurisdiction AND state = 'event'
        ORDER BY detected DESC LIMIT 1000
    ) newest
) n ON true
ORDER BY 1;

-- name: search
-- Parcels whose id begins with a text, then those whose address begins with it, then those whose address contains it. The
-- later parts are read only if the earlier ones give too few.
SELECT s.jurisdiction, s.parcel_id, s.address, (
        SELECT min(z.code) FROM zoning.parcel_zoning z
        WHERE z.jurisdiction = s.jurisdiction AND z.parcel_id = s.parcel_id AND z.facet = 'base' AND z.rank = 1
    ) AS zoning_code, zoning.corners(Box2D(ST_Transform(s.geom, 4326))) AS bounds
FROM (
    SELECT p.* FROM unnest(%(jurisdictions)s::text[]) AS k (id), LATERAL (
        SELECT jurisdiction, parcel_id, address, geom FROM zoning.parcel
        WHERE jurisdiction = k.id AND parcel_id >= %(text)s::text AND parcel_id < %(text)s::text || U&'\+10FFFF'
            AND starts_with(parcel_id, %(text)s::text)
        ORDER BY parcel_id LIMIT %(limit)s
    ) p
    UNION ALL
    SELECT p.* FROM (
        SELECT jurisdiction, parcel_id, address, geom FROM zoning.parcel
        WHERE left(lower(address), 100) LIKE %(pattern)s::text || '%%' AND jurisdiction = ANY (%(jurisdictions)s)
        ORDER BY left(lower(address), 100) USING ~<~ LIMIT %(limit)s
    ) p
    UNION ALL
    SELECT p.* FROM (
        SELECT jurisdiction, parcel_id, address, geom FROM zoning.parcel
        WHERE lower(address) LIKE '%%_' || %(pattern)s::text || '%%' AND jurisdiction = ANY (%(jurisdictions)s)
            AND %(is_long)s
        LIMIT %(limit)s
    ) p
    LIMIT %(limit)s
) s;

-- name: change_shape
-- The shape of a change as GeoJSON, EPSG:4326.
SELECT ST_AsGeoJSON(geom)::json AS geometry FROM zoning.change_feature WHERE id = %(id)s;

-- name: parcel_shape
-- The last shape of a parcel as GeoJSON (EPSG:4326), its integer key, and whether it is current.
SELECT ST_AsGeoJSON(ST_Transform(geom, 4326))::json AS geometry, is_current FROM (
    SELECT geom, true AS is_current, 'infinity'::timestamptz AS until FROM zoning.parcel
    WHERE jurisdiction = %(jurisdiction)s AND parcel_id = %(parcel)s
    UNION ALL
    SELECT geom, false, system_to FROM zoning.parcel_version
    WHERE jurisdiction = %(jurisdiction)s AND parcel_id = %(parcel)s
) s ORDER BY until DESC LIMIT 1;

-- name: releases
-- The releases of a jurisdiction that were not refused, newest first, with the number of their events.
SELECT r.id, r.judged AS time, (
    SELECT count(*) FROM zoning.change c WHERE c.release_id = r.id AND c.state = 'event'
) AS changes
FROM zoning.release r
WHERE r.jurisdiction = %(jurisdiction)s AND (r.refused IS NULL OR r.accepted_by IS NOT NULL)
ORDER BY r.id DESC LIMIT %(limit)s;

-- name: codes
-- The codes that a jurisdiction has or had with their spelling, type, and the number of parcels of which they cover most.
SELECT n.code, c.code_local, c.zone_type, n.parcels FROM (
    SELECT code, sum(parcels)::bigint AS parcels FROM (
        SELECT code, count(*) AS parcels FROM zoning.parcel_zoning
        WHERE jurisdiction = %(jurisdiction)s AND facet = 'base' AND rank = 1 GROUP BY code
        UNION ALL
        SELECT DISTINCT code, 0 FROM zoning.district WHERE jurisdiction = %(jurisdiction)s AND code IS NOT NULL
        UNION ALL
        SELECT DISTINCT code, 0 FROM zoning.district_version WHERE jurisdiction = %(jurisdiction)s AND code IS NOT NULL
    ) counted GROUP BY code
) n LEFT JOIN LATERAL (
    SELECT min(local) AS code_local, max(zone_type) AS zone_type FROM zoning.code
    WHERE code = n.code AND jurisdiction = %(jurisdiction)s
) c ON true
ORDER BY n.parcels DESC, n.code;

-- name: state
-- A text that changes when something is published, judged, decided by a person, or learned from an amendment.
SELECT concat_ws('/',
    (SELECT concat(count(*), '-', max(id)) FROM zoning.batch WHERE committed IS NOT NULL),
    (SELECT max(id) FROM zoning.release), (SELECT max(id) FROM zoning.audit),
    (SELECT max(since) FROM zoning.code), (SELECT max(last_changed) FROM zoning.amendment)
);
