-- Profiles of releases. Each query has a name and one sentence; sql_queries.py loads them.

-- name: has_complete_release
-- Whether the feed was ever published completely; before that, checks against what is published are skipped.
SELECT EXISTS (SELECT FROM zoning.whole WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s);

-- name: published_parcels
-- Published parcels by code: of some tiles, or (NULL) of all.
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

-- name: published_zoning
-- The published map by code.
SELECT coalesce(code_local, ''), count(*), sum(area_m2),
    min(ST_XMin(geom)), min(ST_YMin(geom)), max(ST_XMax(geom)), max(ST_YMax(geom))
FROM zoning.district WHERE jurisdiction = %(jurisdiction)s GROUP BY 1;

-- name: count
-- The number of published parcels.
SELECT count(*) FROM zoning.parcel WHERE jurisdiction = %(jurisdiction)s;

-- name: differing
-- How many of some keys are published, in each row; and the published parcels whose content hash differs, with the shapes of
-- some (one row without a key if there is none). The sample of shapes does not depend on the tiles. OFFSET 0 makes the
-- planner look up each key (see publish.sql).
WITH published AS MATERIALIZED (
    SELECT n.key, n.hash, p.content_hash <> n.hash AS differs
    FROM unnest(%(keys)s::text[], %(hashes)s::text[]) n (key, hash), LATERAL (
        SELECT content_hash FROM zoning.parcel WHERE jurisdiction = %(jurisdiction)s AND parcel_id = n.key OFFSET 0
    ) p
)
SELECT counted.kept, d.key, d.zoning_code_local, d.land_use, d.address,
    CASE WHEN row_number() OVER (ORDER BY d.hash) <= %(shapes)s THEN ST_AsBinary(d.geom) END
FROM (SELECT count(*) AS kept FROM published) counted LEFT JOIN (
    SELECT o.key, o.hash, p.* FROM published o, LATERAL (
        SELECT zoning_code_local, land_use, address, geom FROM zoning.parcel
        WHERE jurisdiction = %(jurisdiction)s AND parcel_id = o.key OFFSET 0
    ) p WHERE o.differs
) d ON true;

-- name: past
-- The measures of earlier complete releases that were published, newest first.
SELECT measured FROM zoning.survey
WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s AND whole AND state IN ('passed', 'accepted')
ORDER BY id DESC LIMIT 30;

-- name: fields
-- The columns of the layer in the last complete release that was published.
SELECT fields FROM zoning.survey
WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s AND whole AND state IN ('passed', 'accepted')
ORDER BY id DESC LIMIT 1;

-- name: last_findings
-- State and findings of the last published release.
SELECT state, findings FROM zoning.survey
WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s AND state IN ('passed', 'accepted') ORDER BY id DESC LIMIT 1;

-- name: newest
-- The newest profile.
SELECT state, contents FROM zoning.survey
WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s ORDER BY id DESC LIMIT 1;

-- name: newest_of
-- The newest profile that has some of these places.
SELECT state, contents FROM zoning.survey
WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s AND contents ?| %(tiles)s::text[] ORDER BY id DESC LIMIT 1;

-- name: lock
-- Only one release of a feed at a time is recorded: of two that are held at once, the later one supersedes the other.
SELECT pg_advisory_xact_lock(hashtextextended(%(jurisdiction)s || '/' || %(feed)s || '/release', 0));

-- name: supersede
-- A held release is superseded by another held one, by a complete one, or by one of all its places.
UPDATE zoning.survey SET state = 'superseded'
WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s AND state = 'held'
    AND (%(state)s = 'held' OR %(whole)s OR contents - %(tiles)s::text[] = '{}');

-- name: insert_profile
-- Insert a profile.
INSERT INTO zoning.survey (jurisdiction, feed, state, whole, contents, measured, findings, fields, judged)
VALUES (%(jurisdiction)s, %(feed)s, %(state)s, %(whole)s, %(contents)s, %(measured)s, %(findings)s, %(fields)s,
    clock_timestamp());

-- name: decide
-- A person accepts or discards the held release.
UPDATE zoning.survey SET state = %(state)s
WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s AND state = 'held'
RETURNING id, measured, findings;

-- name: held
-- The held releases.
SELECT jurisdiction, feed, findings, judged, (SELECT count(*) FROM jsonb_object_keys(contents)) AS places
FROM zoning.survey WHERE state = 'held' ORDER BY id;
