-- What `zoning status` looks at.

-- name: jurisdictions
-- What was published of each jurisdiction: its feeds, the last batch's time, its parcels now.
SELECT b.jurisdiction, array_agg(DISTINCT b.feed ORDER BY b.feed), max(b.committed),
    (SELECT count(*) FROM zoning.parcel p WHERE p.jurisdiction = b.jurisdiction)
FROM zoning.batch b GROUP BY b.jurisdiction ORDER BY b.jurisdiction;
