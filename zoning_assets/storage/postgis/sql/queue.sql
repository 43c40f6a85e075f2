-- The queue in PostgreSQL. Each query has a name and one sentence; sql_queries.py loads them.

-- name: put
-- Append a message.
INSERT INTO zoning.queue (queue, id, body, sent, tries, why)
VALUES (%(queue)s, %(id)s, %(body)s, %(sent)s, %(tries)s, %(why)s);

-- name: listen
-- Receive a notification when messages arrive.
LISTEN zoning_queue;

-- name: take
-- Take the oldest messages that no other consumer has. SKIP LOCKED gives concurrent consumers different messages.
WITH next AS (
    SELECT number FROM zoning.queue
    WHERE queue = %(queue)s AND (leased_until IS NULL OR leased_until < clock_timestamp())
    ORDER BY number LIMIT %(most)s FOR UPDATE SKIP LOCKED
)
UPDATE zoning.queue q SET leased_until = clock_timestamp() + make_interval(secs => %(lease_s)s), deliveries = deliveries + 1
FROM next WHERE q.number = next.number
RETURNING q.number, q.id, q.body, q.sent, q.tries, q.why, q.deliveries;

-- name: acknowledge
-- Delete a handled message, even if the lease has expired: its effect is stored.
DELETE FROM zoning.queue WHERE number = %(number)s;

-- name: release
-- Return a message, unless another consumer has taken it since.
UPDATE zoning.queue SET leased_until = NULL, deliveries = deliveries - 1
WHERE number = %(number)s AND deliveries = %(deliveries)s;

-- name: peek
-- The oldest messages, also those that consumers have.
SELECT number, id, body, sent, tries, why, deliveries FROM zoning.queue
WHERE queue = %(queue)s ORDER BY number LIMIT %(most)s;

-- name: count
-- The number of ready messages, of taken messages, and the age of the oldest one in seconds.
SELECT count(*) FILTER (WHERE leased_until IS NULL OR leased_until < clock_timestamp()) AS ready,
    count(*) FILTER (WHERE leased_until >= clock_timestamp()) AS leased,
    extract(epoch FROM clock_timestamp() - min(sent))::float8 AS oldest_s
FROM zoning.queue WHERE queue = %(queue)s;
