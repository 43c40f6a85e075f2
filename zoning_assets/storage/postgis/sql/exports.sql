-- The rows of an exported layer, with native types. Each query has a name and one sentence; sql_queries.py loads them.
-- exports/row_reader.py selects from them, in an order and with a filter. Shapes are MultiPolygons or NULL.
-- `row_hash`: text that differs if a column differs that is too large to be hashed here.

-- name: parcels
-- Parcels as they are now.
SELECT jurisdiction, parcel_id, tile, zoning_code, zoning_code_local, land_use, address, area_m2, attributes,
    content_hash, first_seen, last_changed, geom, content_hash AS row_hash
FROM zoning.parcel WHERE jurisdiction = %(jurisdiction)s

-- name: parcels_as_of
-- Parcels as they were.
SELECT jurisdiction, parcel_id, tile, zoning_code, zoning_code_local, land_use, address, area_m2, attributes,
    content_hash, first_seen, last_changed, geom, content_hash AS row_hash
FROM zoning.parcel_as_of(%(jurisdiction)s, %(legal)s::date, %(system)s::timestamptz)

-- name: districts
-- Districts of the zoning map as they are now.
SELECT jurisdiction, district_id, code, code_local, zone_type, effective, area_m2, attributes, content_hash, first_seen,
    last_changed, geom, content_hash AS row_hash
FROM zoning.district WHERE jurisdiction = %(jurisdiction)s

-- name: districts_as_of
-- Districts of the zoning map as they were, by the rule of zoning.parcel_as_of.
SELECT DISTINCT ON (district_id) jurisdiction, district_id, code, code_local, zone_type, effective, area_m2, attributes,
    content_hash, first_seen, last_changed, geom, content_hash AS row_hash
FROM (
    SELECT * FROM zoning.district_version WHERE jurisdiction = %(jurisdiction)s
    UNION ALL
    SELECT d.*, d.last_changed, 'infinity'::timestamptz, d.effective, NULL, 0
    FROM zoning.district d WHERE jurisdiction = %(jurisdiction)s
) known
WHERE system_from <= coalesce(%(system)s::timestamptz, 'infinity')
    AND (%(legal)s::date IS NULL OR coalesce(legal_from, (system_from AT TIME ZONE 'UTC')::date) <= %(legal)s)
    AND NOT (system_to <= coalesce(%(system)s::timestamptz, 'infinity')
        AND (%(legal)s::date IS NULL OR coalesce(legal_to, (system_to AT TIME ZONE 'UTC')::date) <= %(legal)s)
        AND system_to <> 'infinity')
ORDER BY district_id, system_from DESC

-- name: zoned_parcels
-- Parcels with their zoning in one row, as zoning.zoned_parcel has them.
SELECT p.jurisdiction, p.parcel_id, p.tile, z.code AS zoning_code, to_jsonb(z.codes) AS zoning_codes,
    (SELECT max(c.zone_type) FROM zoning.code c WHERE c.jurisdiction = p.jurisdiction AND c.code = z.code) AS zone_type,
    z.split_zoned, z.fraction AS zoned_fraction, to_jsonb(z.overlays) AS overlays,
    to_jsonb(z.conditions) AS conditions, to_jsonb(z.puds) AS puds, p.zoning_code AS parcel_layer_code,
    p.zoning_code = z.code AS agrees, p.address, p.land_use, p.area_m2, p.last_changed, p.geom,
    p.content_hash AS row_hash
FROM zoning.parcel p LEFT JOIN LATERAL (
    SELECT min(s.code) FILTER (WHERE s.facet = 'base' AND s.rank = 1) AS code,
        array_agg(s.code ORDER BY s.rank) FILTER (WHERE s.facet = 'base' AND s.listed) AS codes,
        count(*) FILTER (WHERE s.facet = 'base' AND s.listed) > 1 AS split_zoned,
        least(sum(s.fraction) FILTER (WHERE s.facet = 'base'), 1) AS fraction,
        array_agg(s.code ORDER BY s.rank) FILTER (WHERE s.facet = 'overlay') AS overlays,
        array_agg(s.code ORDER BY s.rank) FILTER (WHERE s.facet = 'condition') AS conditions,
        array_agg(s.code ORDER BY s.rank) FILTER (WHERE s.facet = 'pud') AS puds
    FROM zoning.parcel_zoning s WHERE s.jurisdiction = p.jurisdiction AND s.parcel_id = p.parcel_id
) z ON true
WHERE p.jurisdiction = %(jurisdiction)s

-- name: zoned_parcels_as_of
-- The same, as parcels and their zoning were.
SELECT p.jurisdiction, p.parcel_id, p.tile, z.code AS zoning_code, to_jsonb(z.codes) AS zoning_codes,
    (SELECT max(c.zone_type) FROM zoning.code c WHERE c.jurisdiction = p.jurisdiction AND c.code = z.code) AS zone_type,
    coalesce(z.split_zoned, false) AS split_zoned, z.fraction AS zoned_fraction, to_jsonb(z.overlays) AS overlays,
    to_jsonb(z.conditions) AS conditions, to_jsonb(z.puds) AS puds, p.zoning_code AS parcel_layer_code,
    p.zoning_code = z.code AS agrees, p.address, p.land_use, p.area_m2, p.last_changed, p.geom,
    p.content_hash AS row_hash
FROM zoning.parcel_as_of(%(jurisdiction)s, %(legal)s::date, %(system)s::timestamptz) p LEFT JOIN (
    SELECT s.parcel_id, min(s.code) FILTER (WHERE s.facet = 'base' AND s.rank = 1) AS code,
        array_agg(s.code ORDER BY s.rank) FILTER (WHERE s.facet = 'base' AND s.listed) AS codes,
        count(*) FILTER (WHERE s.facet = 'base' AND s.listed) > 1 AS split_zoned,
        least(sum(s.fraction) FILTER (WHERE s.facet = 'base'), 1) AS fraction,
        array_agg(s.code ORDER BY s.rank) FILTER (WHERE s.facet = 'overlay') AS overlays,
        array_agg(s.code ORDER BY s.rank) FILTER (WHERE s.facet = 'condition') AS conditions,
        array_agg(s.code ORDER BY s.rank) FILTER (WHERE s.facet = 'pud') AS puds
    FROM zoning.zoning_as_of(%(jurisdiction)s, %(legal)s::date, %(system)s::timestamptz) s GROUP BY s.parcel_id
) z ON z.parcel_id = p.parcel_id

-- name: changes
-- Changes that are events, with the numbers of the ordinances that are matched with them.
SELECT c.jurisdiction, c.id, c.kind, c.facet, to_jsonb(c.parcel_ids) AS parcel_ids, c.old, c.new, c.area_m2, c.share,
    c.confidence, c.effective, c.detected, (
        SELECT to_jsonb(array_agg(DISTINCT number ORDER BY number))
        FROM zoning.amendment_match m JOIN zoning.amendment a ON a.id = m.amendment_id, unnest(a.ordinance_numbers) AS number
        WHERE m.change_id = c.id
    ) AS ordinances, c.evidence, ST_Multi(ST_CollectionExtract(c.geom, 3)) AS geom, c.id AS row_hash
FROM zoning.change c WHERE c.jurisdiction = %(jurisdiction)s AND c.state = 'event'

-- name: changes_as_of
-- The same, only changes that were noticed by then.
SELECT c.jurisdiction, c.id, c.kind, c.facet, to_jsonb(c.parcel_ids) AS parcel_ids, c.old, c.new, c.area_m2, c.share,
    c.confidence, c.effective, c.detected, (
        SELECT to_jsonb(array_agg(DISTINCT number ORDER BY number))
        FROM zoning.amendment_match m JOIN zoning.amendment a ON a.id = m.amendment_id, unnest(a.ordinance_numbers) AS number
        WHERE m.change_id = c.id
    ) AS ordinances, c.evidence, ST_Multi(ST_CollectionExtract(c.geom, 3)) AS geom, c.id AS row_hash
FROM zoning.change c WHERE c.jurisdiction = %(jurisdiction)s AND c.state = 'event'
    AND (%(system)s::timestamptz IS NULL OR c.detected <= %(system)s)
    AND (%(legal)s::date IS NULL OR coalesce(c.effective, (c.detected AT TIME ZONE 'UTC')::date) <= %(legal)s)
