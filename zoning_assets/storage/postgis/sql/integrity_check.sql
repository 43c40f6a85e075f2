-- What is compared with the stored harvests. Each query has a name and one sentence; sql_queries.py loads them.

-- name: newest
-- The newest batch of each place that no rollback follows.
SELECT DISTINCT ON (jurisdiction, feed, tile) jurisdiction, feed, tile, harvest, rules, id FROM zoning.batch b
WHERE feed IN ('parcels', 'zoning') AND undoes IS NULL AND NOT EXISTS (
    SELECT FROM zoning.batch u WHERE u.jurisdiction = b.jurisdiction AND u.feed = b.feed AND u.undoes IS NOT NULL
        AND u.id > b.id OFFSET 0
)
ORDER BY jurisdiction, feed, tile, id DESC;

-- name: parcels
-- The content hashes of a tile's parcels.
SELECT parcel_id, content_hash FROM zoning.parcel WHERE jurisdiction || '' = %(jurisdiction)s AND tile = %(tile)s;

-- name: districts
-- The content hashes of the map.
SELECT district_id, content_hash FROM zoning.district WHERE jurisdiction = %(jurisdiction)s;
