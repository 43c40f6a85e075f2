-- How far feeds are up to date. Each query has a name and one sentence; sql_queries.py loads them.

-- name: feeds
-- The freshness of each feed.
SELECT jurisdiction, feed, probed, next_probe, why, error, requests, current, harvested FROM zoning.feed
ORDER BY jurisdiction, feed;

-- name: harvested_at
-- When the whole feed was last published.
SELECT harvested FROM zoning.feed WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s;

-- name: probed
-- The result of a probe. If nothing had changed, the published rows are current.
INSERT INTO zoning.feed AS f (jurisdiction, feed, probed, next_probe, why, error, requests, current)
VALUES (%(jurisdiction)s, %(feed)s, %(now)s, %(next)s, %(why)s, %(error)s, %(requests)s, %(current)s)
ON CONFLICT (jurisdiction, feed) DO UPDATE SET probed = excluded.probed, next_probe = excluded.next_probe,
    why = excluded.why, error = excluded.error, requests = excluded.requests,
    current = greatest(f.current, excluded.current);

-- name: harvested
-- The whole feed was published, as the portal had it at that time.
INSERT INTO zoning.feed AS f (jurisdiction, feed, current, harvested)
VALUES (%(jurisdiction)s, %(feed)s, %(at)s, %(at)s)
ON CONFLICT (jurisdiction, feed) DO UPDATE SET current = greatest(f.current, excluded.current),
    harvested = greatest(f.harvested, excluded.harvested);
