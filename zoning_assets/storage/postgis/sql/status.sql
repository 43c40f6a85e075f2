-- What `zoning status` looks at.

-- name: jurisdictions
-- What was published of each jurisdiction: its feeds, the last batch's time, its parcels now.
SELECT b.jurisdiction, array_agg(DISTINCT b.feed ORDER BY b.feed), max(b.committed),
    (SELECT count(*) FROM zoning.parcel p WHERE p.jurisdiction = b.jurisdiction)
FROM zoning.batch b GROUP BY b.jurisdiction ORDER BY b.jurisdiction;

-- name: rejections
-- Rows held back, by jurisdiction and state.
SELECT jurisdiction, state, count(*) FROM zoning.rejection GROUP BY jurisdiction, state ORDER BY jurisdiction, state;

-- name: alarms
-- Maps that were not believed and wait for a person: the last judged release of a jurisdiction, if that is one.
SELECT jurisdiction, alarms FROM (
    SELECT DISTINCT ON (jurisdiction) jurisdiction, alarms, refused, accepted_by FROM zoning.release
    ORDER BY jurisdiction, id DESC
) last WHERE refused IS NOT NULL AND accepted_by IS NULL ORDER BY jurisdiction;

-- name: batches
-- What batches did so far, by jurisdiction and feed: how many there are, and rows by what became of them.
SELECT jurisdiction, feed, count(*), coalesce(sum((counts->>'added')::bigint), 0),
    coalesce(sum((counts->>'changed')::bigint), 0), coalesce(sum((counts->>'retired')::bigint), 0)
FROM zoning.batch WHERE committed IS NOT NULL GROUP BY jurisdiction, feed ORDER BY jurisdiction, feed;

-- name: changes
-- What was told so far, by jurisdiction, kind and state.
SELECT jurisdiction, kind, state, count(*) FROM zoning.change
GROUP BY jurisdiction, kind, state ORDER BY jurisdiction, kind, state;

-- name: known
-- The jurisdictions of which anything was ever published.
SELECT DISTINCT jurisdiction FROM zoning.batch ORDER BY jurisdiction;
