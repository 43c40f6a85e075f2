-- Partitions that failed. Each query has a name and one sentence; sql_queries.py loads them.

-- name: failed
-- A partition failed, for the first time or again.
INSERT INTO zoning.failure AS f (jurisdiction, feed, tile, kind, message, passes, tries, first, last, not_before,
    state, run)
VALUES (%(jurisdiction)s, %(feed)s, %(tile)s, %(kind)s, %(message)s, %(passes)s, 1, %(now)s, %(now)s, %(not_before)s,
    CASE WHEN %(passes)s THEN 'waiting' ELSE 'dead' END, %(run)s)
ON CONFLICT (jurisdiction, feed, coalesce(tile, '')) WHERE state <> 'solved' DO UPDATE SET kind = excluded.kind,
    message = excluded.message, passes = excluded.passes, tries = f.tries + 1, last = excluded.last,
    not_before = excluded.not_before, run = excluded.run,
    state = CASE WHEN excluded.passes AND f.tries < %(most)s THEN 'waiting' ELSE 'dead' END;

-- name: solved
-- A partition succeeded.
UPDATE zoning.failure SET state = 'solved', last = %(now)s, run = %(run)s
WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s AND tile IS NOT DISTINCT FROM %(tile)s AND state <> 'solved';

-- name: solve_removed_tiles
-- Tiles that are no longer in the tile index are not retried.
UPDATE zoning.failure SET state = 'solved', last = %(now)s
WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s AND tile <> ALL (%(tiles)s) AND state <> 'solved';

-- name: retry_started
-- A run that retries these tiles (NULL: all of the feed) has started.
UPDATE zoning.failure SET state = 'asked', asked = %(now)s, run = %(run)s
WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s AND (%(tiles)s::text[] IS NULL OR tile = ANY (%(tiles)s))
    AND state = 'waiting';

-- name: open
-- Failures that are not solved.
SELECT id, jurisdiction, feed, tile, kind, message, passes, tries, first, last, not_before, state, asked, run
FROM zoning.failure WHERE state <> 'solved' ORDER BY id;

-- name: is_any_open
-- Whether a feed has failures that are not solved.
SELECT EXISTS (
    SELECT FROM zoning.failure WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s AND state <> 'solved'
);

-- name: retry
-- A person requests a retry: at once, with all tries.
UPDATE zoning.failure SET state = 'waiting', tries = 0, not_before = NULL, asked = NULL
WHERE state IN ('dead', 'waiting') AND (%(dead)s AND state = 'dead' OR jurisdiction = %(jurisdiction)s OR id = %(id)s)
RETURNING id, jurisdiction, feed, tile, kind, message, passes, tries, first, last, not_before, state, asked, run;
