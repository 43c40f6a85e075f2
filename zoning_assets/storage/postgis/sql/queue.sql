-- The queue that is a table. Each query has a name and one sentence; sql_queries.py loads them.

-- name: put
-- A message at the end of its line.
INSERT INTO zoning.queue (queue, id, body, sent, tries, why)
VALUES (%(queue)s, %(id)s, %(body)s, %(sent)s, %(tries)s, %(why)s);

-- name: listen
-- Be woken when messages come.
LISTEN zoning_queue;

-- name: take
-- The first messages that nobody has; whoever looks at the same moment gets others.
WITH next AS (
    SELECT number FROM zoning.queue
    WHERE queue = %(queue)s AND (leased_until IS NULL OR leased_until < clock_timestamp())
    ORDER BY number LIMIT %(most)s FOR UPDATE SKIP LOCKED
)
UPDATE zoning.queue q SET leased_until = clock_timestamp() + make_interval(secs => %(lease_s)s), deliveries = deliveries + 1
FROM next WHERE q.number = next.number
RETURNING q.number, q.id, q.body, q.sent, q.tries, q.why, q.deliveries;

-- name: acknowledge
-- It is done, though another may have it by now: what was done is durable.
DELETE FROM zoning.queue WHERE number = %(number)s;

-- name: release
-- For whoever takes next, unless another has it by now.
UPDATE zoning.queue SET leased_until = NULL, deliveries = deliveries - 1
WHERE number = %(number)s AND deliveries = %(deliveries)s;

-- name: peek
-- The first messages, whoever has them.
SELECT number, id, body, sent, tries, why, deliveries FROM zoning.queue
WHERE queue = %(queue)s ORDER BY number LIMIT %(most)s;

-- name: count
-- How many wait, how many are somebody's, and how old the oldest is.
SELECT count(*) FILTER (WHERE leased_until IS NULL OR leased_until < clock_timestamp()) AS ready,
    count(*) FILTER (WHERE leased_until >= clock_timestamp()) AS leased,
    extract(epoch FROM clock_timestamp() - min(sent))::float8 AS oldest_s
FROM zoning.queue WHERE queue = %(queue)s;
