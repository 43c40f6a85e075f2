-- What releases looked like. Each query has a name and one sentence; sql_queries.py loads them.

-- name: begun
-- Whether a feed was ever published whole; beside half a city the other half looks strange.
SELECT EXISTS (SELECT FROM zoning.whole WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s);

-- name: standing_parcels
-- What stands, by code: in some tiles, or (NULL) in all.
SELECT coalesce(zoning_code_local, ''), count(*), sum(area_m2),
    min(ST_XMin(geom)), min(ST_YMin(geom)), max(ST_XMax(geom)), max(ST_YMax(geom))
FROM (
    SELECT zoning_code_local, area_m2, geom FROM zoning.parcel
    WHERE %(tiles)s::text[] IS NULL AND jurisdiction = %(jurisdiction)s
    UNION ALL
    SELECT p.* FROM unnest(%(tiles)s::text[]) AS t (tile), LATERAL (
        SELECT zoning_code_local, area_m2, geom FROM zoning.parcel
        WHERE jurisdiction || '' = %(jurisdiction)s AND tile = t.tile OFFSET 0
    ) p
) AS standing
GROUP BY 1;

-- name: standing_zoning
-- The same of the map.
SELECT coalesce(code_local, ''), count(*), sum(area_m2),
    min(ST_XMin(geom)), min(ST_YMin(geom)), max(ST_XMax(geom)), max(ST_YMax(geom))
FROM zoning.district WHERE jurisdiction = %(jurisdiction)s GROUP BY 1;

-- name: count
-- How many parcels stand.
SELECT count(*) FROM zoning.parcel WHERE jurisdiction = %(jurisdiction)s;

-- name: kept
-- How many of some keys stand. OFFSET 0 has the table looked up key by key (see publish.sql).
SELECT count(*) FROM unnest(%(keys)s::text[]) k, LATERAL (
    SELECT 1 FROM zoning.parcel p WHERE p.jurisdiction = %(jurisdiction)s AND p.parcel_id = k OFFSET 0
) p;

-- name: differing
-- Those that stand and are not the same; the shapes of some, the same ones however tiles are cut.
SELECT d.key, d.zoning_code, d.land_use, d.address,
    CASE WHEN row_number() OVER (ORDER BY d.hash) <= %(shapes)s THEN ST_AsBinary(d.geom) END
FROM (
    SELECT n.key, n.hash, p.zoning_code_local AS zoning_code, p.land_use, p.address, p.geom
    FROM unnest(%(keys)s::text[], %(hashes)s::text[]) n (key, hash), LATERAL (
        SELECT p.* FROM zoning.parcel p WHERE p.jurisdiction = %(jurisdiction)s AND p.parcel_id = n.key OFFSET 0
    ) p
    WHERE p.content_hash <> n.hash
) d;

-- name: past
-- What whole releases were like that were published, the newest first.
SELECT measured FROM zoning.survey
WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s AND whole AND state IN ('passed', 'accepted')
ORDER BY id DESC LIMIT 30;

-- name: fields
-- The columns that the layer had when a whole release of it was published last.
SELECT fields FROM zoning.survey
WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s AND whole AND state IN ('passed', 'accepted')
ORDER BY id DESC LIMIT 1;

-- name: believed
-- What spoke for and against the release that was published last.
SELECT state, findings FROM zoning.survey
WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s AND state IN ('passed', 'accepted') ORDER BY id DESC LIMIT 1;

-- name: last
-- The newest survey: an acceptance is of that one alone.
SELECT state, contents FROM zoning.survey
WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s ORDER BY id DESC LIMIT 1;

-- name: supersede
-- What was held is answered by another release: by one that is held, by a whole one, or by one of all its places.
UPDATE zoning.survey SET state = 'superseded'
WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s AND state = 'held'
    AND (%(state)s = 'held' OR %(whole)s OR contents - %(tiles)s::text[] = '{}');

-- name: note
-- What a release looks like, and what becomes of it.
INSERT INTO zoning.survey (jurisdiction, feed, state, whole, contents, measured, findings, fields, judged)
VALUES (%(jurisdiction)s, %(feed)s, %(state)s, %(whole)s, %(contents)s, %(measured)s, %(findings)s, %(fields)s,
    clock_timestamp());

-- name: decide
-- A person's word on what is held.
UPDATE zoning.survey SET state = %(state)s
WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s AND state = 'held'
RETURNING id, measured, findings;

-- name: held
-- What waits for a person.
SELECT jurisdiction, feed, findings, judged, (SELECT count(*) FROM jsonb_object_keys(contents)) AS places
FROM zoning.survey WHERE state = 'held' ORDER BY id;
