-- The API and the map read everything in EPSG:4326. Only a jurisdiction whose target CRS is EPSG:3857 has shapes to
-- transform: its rows have partial indexes, which stay empty for all others. Each view reads both kinds with UNION ALL, so
-- that a condition on `geom` uses an index of either kind.
CREATE INDEX parcel_web_geom ON zoning.parcel
    USING gist ((ST_Transform(geom, 4326)::geometry(MultiPolygon))) WHERE ST_SRID(geom) <> 4326;
CREATE INDEX parcel_web_key ON zoning.parcel (jurisdiction, parcel_id) WHERE ST_SRID(geom) <> 4326;
CREATE INDEX district_web_geom ON zoning.district
    USING gist ((ST_Transform(geom, 4326)::geometry(MultiPolygon))) WHERE ST_SRID(geom) <> 4326;

-- The API finds a parcel by the integer key of zoned_parcel, and by the beginning of its address. The address is cut,
-- because an index entry has a maximum size.
CREATE INDEX parcel_feature_id ON zoning.parcel ((hashtextextended(jurisdiction || '/' || parcel_id, 0) >> 11));
CREATE INDEX parcel_address ON zoning.parcel (left(lower(address), 100) text_pattern_ops);

-- The change feed is read in pages, newest first: of everything, and of one jurisdiction.
CREATE INDEX change_newest ON zoning.change (detected DESC, kind, id);
DROP INDEX zoning.change_place;
CREATE INDEX change_place ON zoning.change (jurisdiction, detected DESC, kind, id);
CREATE INDEX change_geom ON zoning.change USING gist ((ST_Transform(geom, 4326))) WHERE geom IS NOT NULL;

-- `id` has 53 bits, so that programs that read numbers of JSON as doubles, and CQL2, have it exactly.
DROP VIEW zoning.zoned_parcel;
CREATE VIEW zoning.zoned_parcel AS
SELECT hashtextextended(p.jurisdiction || '/' || p.parcel_id, 0) >> 11 AS id, p.jurisdiction, p.parcel_id,
    z.code AS zoning_code, z.codes AS zoning_codes, k.zone_type,
    z.split_zoned, z.fraction AS zoned_fraction, z.overlays, z.conditions, z.puds,
    p.zoning_code AS parcel_layer_code, p.zoning_code = z.code AS agrees,
    p.address, p.land_use, p.area_m2, p.last_changed, p.geom, k.local AS zoning_code_local,
    z.share AS zoning_share
FROM (
    SELECT jurisdiction, parcel_id, zoning_code, address, land_use, area_m2, last_changed, geom
    FROM zoning.parcel WHERE ST_SRID(geom) = 4326
    UNION ALL
    SELECT jurisdiction, parcel_id, zoning_code, address, land_use, area_m2, last_changed,
        ST_Transform(geom, 4326)::geometry(MultiPolygon)
    FROM zoning.parcel WHERE ST_SRID(geom) <> 4326
) p LEFT JOIN LATERAL (
    SELECT min(s.code) FILTER (WHERE s.facet = 'base' AND s.rank = 1) AS code,
        max(s.fraction) FILTER (WHERE s.facet = 'base' AND s.rank = 1) AS share,
        array_agg(s.code ORDER BY s.rank) FILTER (WHERE s.facet = 'base' AND s.listed) AS codes,
        count(*) FILTER (WHERE s.facet = 'base' AND s.listed) > 1 AS split_zoned,
        least(sum(s.fraction) FILTER (WHERE s.facet = 'base'), 1) AS fraction,
        array_agg(s.code ORDER BY s.rank) FILTER (WHERE s.facet = 'overlay') AS overlays,
        array_agg(s.code ORDER BY s.rank) FILTER (WHERE s.facet = 'condition') AS conditions,
        array_agg(s.code ORDER BY s.rank) FILTER (WHERE s.facet = 'pud') AS puds
    FROM zoning.parcel_zoning s WHERE s.jurisdiction = p.jurisdiction AND s.parcel_id = p.parcel_id
) z ON true LEFT JOIN LATERAL (
    SELECT max(c.zone_type) AS zone_type, min(c.local) AS local
    FROM zoning.code c WHERE c.jurisdiction = p.jurisdiction AND c.code = z.code
) k ON true;

CREATE VIEW zoning.zoned_district AS
SELECT hashtextextended(d.jurisdiction || '/' || d.district_id, 0) >> 11 AS id, d.jurisdiction, d.district_id, d.code,
    d.code_local, d.zone_type, d.effective, d.area_m2, d.last_changed, d.geom
FROM (
    SELECT jurisdiction, district_id, code, code_local, zone_type, effective, area_m2, last_changed, geom
    FROM zoning.district WHERE ST_SRID(geom) = 4326
    UNION ALL
    SELECT jurisdiction, district_id, code, code_local, zone_type, effective, area_m2, last_changed,
        ST_Transform(geom, 4326)::geometry(MultiPolygon)
    FROM zoning.district WHERE ST_SRID(geom) <> 4326
) d;

-- Changes without a place of their own (recoded, redrawn) are not on the map.
CREATE VIEW zoning.change_feature AS
SELECT id, jurisdiction, kind, state, facet, parcel_ids, old, new, area_m2, share, confidence, effective, detected,
    ST_Transform(geom, 4326) AS geom
FROM zoning.change WHERE geom IS NOT NULL;

-- The SRID of the shapes of a jurisdiction; 4326 if it has none.
CREATE FUNCTION zoning.srid_of(jurisdiction text) RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        (SELECT ST_SRID(p.geom) FROM zoning.parcel p WHERE p.jurisdiction = $1 LIMIT 1),
        (SELECT ST_SRID(v.geom) FROM zoning.parcel_version v WHERE v.jurisdiction = $1 LIMIT 1),
        4326
    )
$$;

-- The ids of the parcels that lie, or lay, within bounds (EPSG:4326).
CREATE FUNCTION zoning.parcels_within(jurisdiction text, bounds geometry) RETURNS SETOF text
LANGUAGE sql STABLE ROWS 1000 AS $$
    WITH box AS MATERIALIZED (
        SELECT ST_Transform(ST_ClipByBox2D($2, ST_MakeEnvelope(-180, -85, 180, 85, 4326)), zoning.srid_of($1)) AS shape
    )
    SELECT p.parcel_id FROM box, LATERAL (
        SELECT jurisdiction, parcel_id FROM zoning.parcel WHERE geom && shape OFFSET 0
    ) p WHERE p.jurisdiction = $1
    UNION
    SELECT v.parcel_id FROM box, LATERAL (
        SELECT jurisdiction, parcel_id FROM zoning.parcel_version WHERE geom && shape OFFSET 0
    ) v WHERE v.jurisdiction = $1
$$;

-- What the map shows of a day in the past: parcel_as_of and zoning_as_of with shapes in EPSG:4326, within bounds. A time
-- of `infinity` means any day, or as known now. Parcels are looked up one by one, so that a map tile reads only its own.
CREATE FUNCTION zoning.parcel_map_as_of(
    jurisdiction text, legal_time date DEFAULT 'infinity', system_time timestamptz DEFAULT 'infinity',
    bounds geometry DEFAULT 'SRID=4326;POLYGON((-180 -85,-180 85,180 85,180 -85,-180 -85))'
) RETURNS TABLE (
    id bigint, parcel_id text, zoning_code text, zone_type text, zoning_share double precision, address text,
    land_use text, area_m2 double precision, system_from timestamptz, system_to timestamptz, geom geometry
) LANGUAGE sql STABLE AS $$
    SELECT hashtextextended($1 || '/' || near.parcel_id, 0) >> 11, near.parcel_id, z.code, (
            SELECT max(c.zone_type) FROM zoning.code c WHERE c.jurisdiction = $1 AND c.code = z.code
        ), z.fraction, p.address, p.land_use, p.area_m2, p.system_from, p.system_to, ST_Transform(p.geom, 4326)
    FROM zoning.parcels_within($1, $4) AS near (parcel_id), LATERAL (
        SELECT * FROM zoning.parcel_as_of($1, $2, $3) a WHERE a.parcel_id = near.parcel_id OFFSET 0
    ) p LEFT JOIN LATERAL (
        SELECT a.code, a.fraction FROM zoning.zoning_as_of($1, $2, $3) a
        WHERE a.parcel_id = near.parcel_id AND a.facet = 'base' ORDER BY a.rank, a.code LIMIT 1
    ) z ON true
$$;

CREATE FUNCTION zoning.zoning_map_as_of(
    jurisdiction text, legal_time date DEFAULT 'infinity', system_time timestamptz DEFAULT 'infinity',
    bounds geometry DEFAULT 'SRID=4326;POLYGON((-180 -85,-180 85,180 85,180 -85,-180 -85))'
) RETURNS TABLE (
    id bigint, parcel_id text, facet text, code text, area_m2 double precision, fraction double precision, rank integer,
    listed boolean, legal_from date, system_from timestamptz, geom geometry
) LANGUAGE sql STABLE AS $$
    SELECT hashtextextended($1 || '/' || near.parcel_id || '/' || z.facet || '/' || z.code, 0) >> 11, near.parcel_id,
        z.facet, z.code, z.area_m2, z.fraction, z.rank, z.listed, z.legal_from, z.system_from, ST_Transform(p.geom, 4326)
    FROM zoning.parcels_within($1, $4) AS near (parcel_id), LATERAL (
        SELECT a.geom FROM zoning.parcel_as_of($1, $2, $3) a WHERE a.parcel_id = near.parcel_id OFFSET 0
    ) p, LATERAL (
        SELECT * FROM zoning.zoning_as_of($1, $2, $3) a WHERE a.parcel_id = near.parcel_id OFFSET 0
    ) z
$$;

-- A box as [west, south, east, north]; NULL: there is none.
CREATE FUNCTION zoning.corners(box box2d) RETURNS double precision[] LANGUAGE sql IMMUTABLE AS $$
    SELECT ARRAY[ST_XMin($1), ST_YMin($1), ST_XMax($1), ST_YMax($1)] WHERE $1 IS NOT NULL
$$;
