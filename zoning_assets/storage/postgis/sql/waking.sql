-- How far feeds are up to date, and what failed. Each query has a name and one sentence; sql_queries.py loads them.

-- name: feeds
-- What is known of each feed.
SELECT jurisdiction, feed, probed, next_probe, why, error, requests, current, harvested FROM zoning.feed
ORDER BY jurisdiction, feed;

-- name: probed
-- What a probe found; where nothing had changed, what stands is what the portal has.
INSERT INTO zoning.feed AS f (jurisdiction, feed, probed, next_probe, why, error, requests, current)
VALUES (%(jurisdiction)s, %(feed)s, %(now)s, %(next)s, %(why)s, %(error)s, %(requests)s, %(current)s)
ON CONFLICT (jurisdiction, feed) DO UPDATE SET probed = excluded.probed, next_probe = excluded.next_probe,
    why = excluded.why, error = excluded.error, requests = excluded.requests,
    current = greatest(f.current, excluded.current);

-- name: harvested
-- All of a feed was published, as its portal had it at that time.
INSERT INTO zoning.feed AS f (jurisdiction, feed, current, harvested)
VALUES (%(jurisdiction)s, %(feed)s, %(at)s, %(at)s)
ON CONFLICT (jurisdiction, feed) DO UPDATE SET current = greatest(f.current, excluded.current),
    harvested = greatest(f.harvested, excluded.harvested);

-- name: failed
-- A partition failed, once more or for the first time.
INSERT INTO zoning.failure AS f (jurisdiction, feed, tile, kind, message, passes, tries, first, last, not_before,
    state, run)
VALUES (%(jurisdiction)s, %(feed)s, %(tile)s, %(kind)s, %(message)s, %(passes)s, 1, %(now)s, %(now)s, %(not_before)s,
    CASE WHEN %(passes)s THEN 'waiting' ELSE 'dead' END, %(run)s)
ON CONFLICT (jurisdiction, feed, coalesce(tile, '')) WHERE state <> 'solved' DO UPDATE SET kind = excluded.kind,
    message = excluded.message, passes = excluded.passes, tries = f.tries + 1, last = excluded.last,
    not_before = excluded.not_before, run = excluded.run,
    state = CASE WHEN excluded.passes AND f.tries < %(most)s THEN 'waiting' ELSE 'dead' END;

-- name: solved
-- A partition went well.
UPDATE zoning.failure SET state = 'solved', last = %(now)s, run = %(run)s
WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s AND tile IS NOT DISTINCT FROM %(tile)s AND state <> 'solved';

-- name: gone
-- Tiles that are no tiles any more have nothing to be asked for.
UPDATE zoning.failure SET state = 'solved', last = %(now)s
WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s AND tile <> ALL (%(tiles)s) AND state <> 'solved';

-- name: asked
-- A run that asks again for these tiles (NULL: for all of a feed) has begun.
UPDATE zoning.failure SET state = 'asked', asked = %(now)s, run = %(run)s
WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s AND (%(tiles)s::text[] IS NULL OR tile = ANY (%(tiles)s))
    AND state = 'waiting';

-- name: open
-- What failed and is not solved.
SELECT id, jurisdiction, feed, tile, kind, message, passes, tries, first, last, not_before, state, asked, run
FROM zoning.failure WHERE state <> 'solved' ORDER BY id;

-- name: is_any_open
-- Whether anything of a feed failed and is not solved.
SELECT EXISTS (
    SELECT FROM zoning.failure WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s AND state <> 'solved'
);

-- name: again
-- A person wants it to be asked for again: at once, and with all its tries.
UPDATE zoning.failure SET state = 'waiting', tries = 0, not_before = NULL, asked = NULL
WHERE state IN ('dead', 'waiting') AND (%(dead)s AND state = 'dead' OR jurisdiction = %(jurisdiction)s OR id = %(id)s)
RETURNING id, jurisdiction, feed, tile, kind, message, passes, tries, first, last, not_before, state, asked, run;
