-- Counts of the change feed. Its rows are the query `changes` of changes.sql, which takes the same parameters.

-- name: total
-- The number of changes.
SELECT count(*) FROM zoning.change c
WHERE (%(jurisdiction)s::text IS NULL OR c.jurisdiction = %(jurisdiction)s)
    AND (%(since)s::timestamptz IS NULL OR c.detected >= %(since)s)
    AND (%(until)s::timestamptz IS NULL OR c.detected < %(until)s)
    AND (%(kind)s::text IS NULL OR c.kind = %(kind)s)
    AND (%(parcel)s::text IS NULL OR c.parcel_ids @> ARRAY[%(parcel)s])
    AND (%(state)s::text IS NULL OR c.state = %(state)s)
    AND (%(min_area)s::float8 IS NULL OR c.area_m2 >= %(min_area)s);

-- name: summary
-- Changes by kind and codes, the largest area first. Changes of parcels are counted by kind only, because their `old` and
-- `new` are parcel ids. `parcels`: distinct parcels of the group.
WITH found AS MATERIALIZED (
    SELECT c.jurisdiction, c.kind, c.parcel_ids, c.area_m2,
        CASE WHEN c.facet <> 'parcel' THEN c.old END AS old, CASE WHEN c.facet <> 'parcel' THEN c.new END AS new
    FROM zoning.change c
    WHERE (%(jurisdiction)s::text IS NULL OR c.jurisdiction = %(jurisdiction)s)
        AND (%(since)s::timestamptz IS NULL OR c.detected >= %(since)s)
        AND (%(until)s::timestamptz IS NULL OR c.detected < %(until)s)
        AND (%(kind)s::text IS NULL OR c.kind = %(kind)s)
        AND (%(parcel)s::text IS NULL OR c.parcel_ids @> ARRAY[%(parcel)s])
        AND (%(state)s::text IS NULL OR c.state = %(state)s)
        AND (%(min_area)s::float8 IS NULL OR c.area_m2 >= %(min_area)s)
), grounds AS (
    SELECT kind, coalesce(old, '') AS old, coalesce(new, '') AS new, count(*) AS changes, sum(area_m2) AS area_m2
    FROM found GROUP BY 1, 2, 3
), lots AS (
    SELECT kind, coalesce(old, '') AS old, coalesce(new, '') AS new, count(DISTINCT (jurisdiction, parcel)) AS parcels
    FROM found, unnest(parcel_ids) AS parcel GROUP BY 1, 2, 3
)
SELECT kind, nullif(old, '') AS old, nullif(new, '') AS new, changes, coalesce(parcels, 0) AS parcels, area_m2
FROM grounds LEFT JOIN lots USING (kind, old, new)
ORDER BY area_m2 DESC NULLS LAST, kind, old, new;

-- name: kinds
-- Events of a jurisdiction by kind, with the number of distinct parcels.
SELECT c.kind, count(DISTINCT c.id) AS changes, count(DISTINCT parcel) AS parcels
FROM zoning.change c LEFT JOIN LATERAL unnest(c.parcel_ids) AS parcel ON true
WHERE c.jurisdiction = %(jurisdiction)s AND c.detected >= %(since)s AND c.state = 'event'
GROUP BY c.kind ORDER BY 2 DESC, 1;
