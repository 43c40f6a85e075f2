-- What Python programs read as GeoDataFrames (geodataframes.py). Shapes are WKB in EPSG:4326, x = longitude. Each query has
-- a name and one sentence.

-- name: jurisdictions
-- Each jurisdiction with its number of parcels and districts, and the time of its last publication.
SELECT b.jurisdiction, max(b.committed) AS last_published,
    (SELECT count(*) FROM zoning.parcel p WHERE p.jurisdiction = b.jurisdiction) AS parcels,
    (SELECT count(*) FROM zoning.district d WHERE d.jurisdiction = b.jurisdiction) AS districts
FROM zoning.batch b GROUP BY b.jurisdiction ORDER BY b.jurisdiction;

-- name: parcels
-- The parcels as they are now, with their zoning.
SELECT jurisdiction, parcel_id, zoning_code, zoning_codes, zone_type, split_zoned, zoned_fraction, overlays, conditions,
    puds, parcel_layer_code, agrees, address, land_use, area_m2, last_changed,
    ST_AsBinary(ST_Transform(geom, 4326)) AS geometry
FROM zoning.zoned_parcel WHERE jurisdiction = %(jurisdiction)s ORDER BY parcel_id;

-- name: districts
-- The zoning map as it is now.
SELECT jurisdiction, district_id, code, code_local, zone_type, effective, area_m2, last_changed, attributes,
    ST_AsBinary(ST_Transform(geom, 4326)) AS geometry
FROM zoning.district WHERE jurisdiction = %(jurisdiction)s ORDER BY district_id;

-- name: change_shapes
-- The shapes of some changes.
SELECT id, ST_AsBinary(ST_Transform(geom, 4326)) FROM zoning.change WHERE id = ANY (%(ids)s) AND geom IS NOT NULL;

-- name: as_of
-- The parcels with their zoning on a legal day (NULL: any), as known at a time (NULL: now).
SELECT p.jurisdiction, p.parcel_id, z.zoning_code, z.zoning_codes, p.zoning_code AS parcel_layer_code, p.address,
    p.land_use, p.area_m2, p.system_from AS since, ST_AsBinary(ST_Transform(p.geom, 4326)) AS geometry
FROM zoning.parcel_as_of(%(jurisdiction)s, %(legal)s, %(known)s) p LEFT JOIN (
    SELECT parcel_id, min(code) FILTER (WHERE facet = 'base' AND rank = 1) AS zoning_code,
        array_agg(code ORDER BY rank) FILTER (WHERE facet = 'base' AND listed) AS zoning_codes
    FROM zoning.zoning_as_of(%(jurisdiction)s, %(legal)s, %(known)s) GROUP BY parcel_id
) z USING (parcel_id)
ORDER BY p.parcel_id;

-- name: history
-- The states of one parcel, oldest first: a new one begins when its row or its largest base code changed.
WITH lots AS (
    SELECT parcel_id, zoning_code, address, land_use, area_m2, geom, system_from, system_to FROM zoning.parcel_version
    WHERE jurisdiction = %(jurisdiction)s AND parcel_id = %(parcel)s
    UNION ALL
    SELECT parcel_id, zoning_code, address, land_use, area_m2, geom, last_changed, 'infinity' FROM zoning.parcel
    WHERE jurisdiction = %(jurisdiction)s AND parcel_id = %(parcel)s
), zones AS (
    SELECT code, system_from, system_to, legal_from FROM zoning.parcel_zoning_version
    WHERE jurisdiction = %(jurisdiction)s AND parcel_id = %(parcel)s AND facet = 'base' AND rank = 1
    UNION ALL
    SELECT code, last_changed, 'infinity', effective FROM zoning.parcel_zoning
    WHERE jurisdiction = %(jurisdiction)s AND parcel_id = %(parcel)s AND facet = 'base' AND rank = 1
), moments AS (
    SELECT at, lead(at) OVER (ORDER BY at) AS next FROM (
        SELECT system_from AS at FROM lots UNION SELECT system_from FROM zones
    ) begins
)
SELECT %(jurisdiction)s AS jurisdiction, l.parcel_id, z.code AS zoning_code, l.zoning_code AS parcel_layer_code, l.address,
    l.land_use, l.area_m2, m.at AS since, least(m.next, nullif(l.system_to, 'infinity')) AS until, z.legal_from,
    ST_AsBinary(ST_Transform(l.geom, 4326)) AS geometry
FROM moments m JOIN LATERAL (
    SELECT * FROM lots WHERE system_from <= m.at AND m.at < system_to ORDER BY system_from DESC LIMIT 1
) l ON true LEFT JOIN LATERAL (
    SELECT * FROM zones WHERE system_from <= m.at AND m.at < system_to ORDER BY system_from DESC LIMIT 1
) z ON true
ORDER BY m.at;
