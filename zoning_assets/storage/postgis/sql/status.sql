-- The queries of `zoning status` and of the metrics.

-- name: jurisdictions
-- Each jurisdiction with its published feeds, the time of the last batch, and the number of parcels.
SELECT b.jurisdiction, array_agg(DISTINCT b.feed ORDER BY b.feed), max(b.committed),
    (SELECT count(*) FROM zoning.parcel p WHERE p.jurisdiction = b.jurisdiction)
FROM zoning.batch b GROUP BY b.jurisdiction ORDER BY b.jurisdiction;

-- name: rejections
-- Rejected rows by jurisdiction and state.
SELECT jurisdiction, state, count(*) FROM zoning.rejection GROUP BY jurisdiction, state ORDER BY jurisdiction, state;

-- name: alarms
-- Jurisdictions whose last release was refused and not accepted by a person.
SELECT jurisdiction, alarms FROM (
    SELECT DISTINCT ON (jurisdiction) jurisdiction, alarms, refused, accepted_by FROM zoning.release
    ORDER BY jurisdiction, id DESC
) last WHERE refused IS NOT NULL AND accepted_by IS NULL ORDER BY jurisdiction;

-- name: batches
-- Batches by jurisdiction and feed, with the numbers of added, changed and retired rows.
SELECT jurisdiction, feed, count(*), coalesce(sum((counts->>'added')::bigint), 0),
    coalesce(sum((counts->>'changed')::bigint), 0), coalesce(sum((counts->>'retired')::bigint), 0)
FROM zoning.batch WHERE committed IS NOT NULL GROUP BY jurisdiction, feed ORDER BY jurisdiction, feed;

-- name: changes
-- Changes by jurisdiction, kind and state.
SELECT jurisdiction, kind, state, count(*) FROM zoning.change
GROUP BY jurisdiction, kind, state ORDER BY jurisdiction, kind, state;

-- name: known
-- The jurisdictions that were ever published.
SELECT DISTINCT jurisdiction FROM zoning.batch ORDER BY jurisdiction;
