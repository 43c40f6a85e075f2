-- The rows that a table in the database of a consumer must change. Each query has a name and one sentence.

-- name: head
-- The last position of the log that has one.
SELECT coalesce(max(position), 0) FROM zoning.change_log;

-- name: rows
-- The parcels whose row may have changed between two positions (`after` NULL: all), as they are now; no shape: the consumer
-- must not have the parcel.
COPY (
    WITH entry AS (
        SELECT l.jurisdiction, l.batch_id, l.action FROM zoning.change_log l, zoning.subscription s
        WHERE s.id = %(subscription)s AND l.position > %(after)s AND l.position <= %(to)s
            AND (s.jurisdiction IS NULL OR l.jurisdiction = s.jurisdiction)
    ), batch AS (SELECT jurisdiction, batch_id FROM entry WHERE batch_id IS NOT NULL),
    whole AS (
        SELECT DISTINCT jurisdiction FROM entry WHERE action = 'codes'
        UNION
        SELECT DISTINCT b.jurisdiction FROM zoning.batch b, zoning.subscription s
        WHERE %(after)s::bigint IS NULL AND s.id = %(subscription)s
            AND (s.jurisdiction IS NULL OR b.jurisdiction = s.jurisdiction)
    ), lot AS (
        SELECT p.jurisdiction, p.parcel_id FROM zoning.parcel p JOIN batch USING (jurisdiction, batch_id)
        UNION
        SELECT p.jurisdiction, p.parcel_id FROM zoning.parcel_zoning p JOIN batch USING (jurisdiction, batch_id)
        UNION
        SELECT v.jurisdiction, v.parcel_id FROM zoning.parcel_version v
        JOIN batch b ON b.jurisdiction = v.jurisdiction AND b.batch_id = v.ended_by
        UNION
        SELECT v.jurisdiction, v.parcel_id FROM zoning.parcel_zoning_version v
        JOIN batch b ON b.jurisdiction = v.jurisdiction AND b.batch_id = v.ended_by
        UNION
        SELECT p.jurisdiction, p.parcel_id FROM zoning.parcel p JOIN whole USING (jurisdiction)
        UNION
        SELECT s.jurisdiction, p.parcel_id FROM zoning.subscription_parcel p
        JOIN zoning.subscription s ON s.id = p.subscription
        WHERE s.id = %(subscription)s AND p.position > %(after)s
    )
    SELECT lot.jurisdiction, lot.parcel_id, z.zoning_code, z.zoning_codes, z.zone_type, z.split_zoned, z.zoned_fraction,
        z.overlays, z.conditions, z.puds, z.parcel_layer_code, z.agrees, z.address, z.land_use, z.area_m2, z.last_changed,
        ST_Transform(z.geom, 4326)
    FROM zoning.subscription s CROSS JOIN lot LEFT JOIN LATERAL (
        SELECT * FROM zoning.zoned_parcel z
        WHERE z.jurisdiction = lot.jurisdiction AND z.parcel_id = lot.parcel_id
            AND (s.min_area_m2 IS NULL OR z.area_m2 >= s.min_area_m2)
            AND (s.code_pattern IS NULL OR z.zoning_code LIKE s.code_pattern)
            AND (s.area IS NULL OR ST_Intersects(ST_Transform(z.geom, 4326), s.area))
            AND (NOT s.follows OR EXISTS (
                SELECT FROM zoning.subscription_parcel f
                WHERE f.subscription = s.id AND f.parcel_id = z.parcel_id
            ))
    ) z ON true
    WHERE s.id = %(subscription)s
) TO STDOUT
