-- What the history says. Each query has a name and one sentence; stores/queries.py loads them.

-- name: last_batch
-- The newest batch of a jurisdiction, 0 where there is none.
SELECT coalesce(max(id), 0) FROM zoning.batch WHERE jurisdiction = %(jurisdiction)s;

-- name: differences
-- Rows that differ from what they were after a batch, by what is different, with some of their ids.
WITH was AS (
    SELECT DISTINCT ON (parcel_id) parcel_id, zoning_code, geom, batch_id
    FROM zoning.parcel_version
    WHERE jurisdiction = %(jurisdiction)s AND ended_by > %(batch)s AND batch_id <= %(batch)s
    ORDER BY parcel_id, system_from
),
now AS (
    SELECT parcel_id, zoning_code, geom, batch_id FROM zoning.parcel WHERE jurisdiction = %(jurisdiction)s
),
parcels AS (
    SELECT now.parcel_id AS id, CASE
        WHEN was.parcel_id IS NULL THEN 'added'
        WHEN was.zoning_code IS DISTINCT FROM now.zoning_code THEN 'zoning_code_changed'
        WHEN NOT was.geom ~= now.geom OR NOT ST_Equals(was.geom, now.geom) THEN 'reshaped'
        ELSE 'attributes_changed' END AS kind
    FROM now LEFT JOIN was USING (parcel_id)
    WHERE now.batch_id > %(batch)s
    UNION ALL
    SELECT parcel_id, 'retired' FROM was WHERE NOT EXISTS (SELECT FROM now WHERE now.parcel_id = was.parcel_id)
),
districts AS (
    SELECT district_id, 'district_added' FROM zoning.district
    WHERE jurisdiction = %(jurisdiction)s AND batch_id > %(batch)s
    UNION ALL
    SELECT district_id, 'district_retired' FROM zoning.district_version
    WHERE jurisdiction = %(jurisdiction)s AND ended_by > %(batch)s AND batch_id <= %(batch)s
)
SELECT kind, count(*), (array_agg(id ORDER BY id))[1:3] FROM (SELECT id, kind FROM parcels UNION ALL TABLE districts) AS all_
GROUP BY kind ORDER BY kind;
