-- The published states that a certificate names. Each query has a name and one sentence; sql_queries.py loads them.
-- A state that a rollback restored is traced back to the batch that published it first.

-- name: parcels
-- Some parcels as published with a batch, each with the batch whose harvest it comes from.
SELECT p.parcel_id, p.zoning_code, p.zoning_code_local, p.area_m2, p.content_hash, o.batch, o.tile, o.harvest, o.rules,
    o.published
FROM unnest(%(parcel_ids)s::text[]) AS k (key), LATERAL (
    SELECT jurisdiction, parcel_id, zoning_code, zoning_code_local, area_m2, content_hash, batch_id FROM zoning.parcel
    WHERE jurisdiction = %(jurisdiction)s AND parcel_id = k.key AND batch_id <= %(batch)s
    UNION ALL
    SELECT jurisdiction, parcel_id, zoning_code, zoning_code_local, area_m2, content_hash, batch_id
    FROM zoning.parcel_version
    WHERE jurisdiction = %(jurisdiction)s AND parcel_id = k.key AND batch_id <= %(batch)s AND ended_by > %(batch)s
    OFFSET 0
) p LEFT JOIN LATERAL (
    SELECT b.id AS batch, b.tile, b.harvest, b.rules, b.started AS published FROM (
        SELECT p.batch_id
        UNION
        SELECT v.batch_id FROM zoning.parcel_version v
        WHERE v.jurisdiction = p.jurisdiction AND v.parcel_id = p.parcel_id AND v.content_hash = p.content_hash
    ) same JOIN zoning.batch b ON b.id = same.batch_id
    WHERE b.undoes IS NULL AND b.id <= p.batch_id ORDER BY b.id DESC LIMIT 1
) o ON true
ORDER BY p.parcel_id;

-- name: districts
-- The districts that cover at least a hundredth of the ground of a change (`covers`: the share, 0 to 1) as published with
-- a batch, each with the batch whose harvest it comes from.
SELECT d.district_id, d.code, d.code_local, d.effective, d.area_m2, d.content_hash, round(share.covers::numeric, 4)::float8
    AS covers, o.batch, o.tile, o.harvest, o.rules, o.published
FROM zoning.change c, LATERAL (
    SELECT jurisdiction, district_id, code, code_local, effective, area_m2, content_hash, batch_id, geom
    FROM zoning.district WHERE jurisdiction = c.jurisdiction AND batch_id <= %(batch)s AND geom && c.geom
    UNION ALL
    SELECT jurisdiction, district_id, code, code_local, effective, area_m2, content_hash, batch_id, geom
    FROM zoning.district_version
    WHERE jurisdiction = c.jurisdiction AND batch_id <= %(batch)s AND ended_by > %(batch)s AND geom && c.geom
    OFFSET 0
) d CROSS JOIN LATERAL (
    SELECT ST_Area(ST_Intersection(d.geom, c.geom)) / nullif(ST_Area(c.geom), 0) AS covers
) share LEFT JOIN LATERAL (
    SELECT b.id AS batch, b.tile, b.harvest, b.rules, b.started AS published FROM (
        SELECT d.batch_id
        UNION
        SELECT v.batch_id FROM zoning.district_version v
        WHERE v.jurisdiction = d.jurisdiction AND v.district_id = d.district_id AND v.content_hash = d.content_hash
    ) same JOIN zoning.batch b ON b.id = same.batch_id
    WHERE b.undoes IS NULL AND b.id <= d.batch_id ORDER BY b.id DESC LIMIT 1
) o ON true
WHERE c.id = %(change)s AND share.covers >= 0.01
ORDER BY d.district_id;
