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
