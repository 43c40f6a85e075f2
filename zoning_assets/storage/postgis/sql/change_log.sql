-- Reading the log of changes for a subscription. Each query has a name and one sentence; sql_queries.py loads them.

-- name: lock_order
-- Only one process at a time gives positions. This statement ends before the next one takes its snapshot.
SELECT pg_advisory_xact_lock(hashtextextended('zoning/change_log', 0));

-- name: sequence
-- Give positions to the rows that are committed. Rows of a transaction that is still running get larger ones later.
WITH new AS (
    SELECT number, row_number() OVER (ORDER BY number) AS place FROM zoning.change_log WHERE position IS NULL
), last AS (SELECT coalesce(max(position), 0) AS position FROM zoning.change_log)
UPDATE zoning.change_log l SET position = last.position + new.place FROM new, last WHERE l.number = new.number;

-- name: lock_subscription
-- Only one process at a time delivers to a subscription; the lock ends with the session.
SELECT pg_try_advisory_lock(hashtextextended('zoning/subscription/' || %(subscription)s::text, 0));

-- name: unlock_subscription
-- Another process may deliver to it.
SELECT pg_advisory_unlock_all();

-- name: state
-- How far a subscription is, whether it is due, and its secrets.
SELECT s.position, s.sending_to, s.attempts, s.paused, s.daily, x.target, x.signing_key,
    greatest(extract(epoch FROM s.not_before - clock_timestamp()), 0)::float8 AS wait_s,
    (s.last_delivered AT TIME ZONE 'UTC')::date = (clock_timestamp() AT TIME ZONE 'UTC')::date AS is_done_today
FROM zoning.subscription s JOIN zoning.subscription_secret x ON x.subscription = s.id WHERE s.id = %(subscription)s;

-- name: window_end
-- The last position of the next part of the log; NULL: there is none.
SELECT max(position) FROM (
    SELECT position FROM zoning.change_log WHERE position > %(after)s ORDER BY position LIMIT %(most)s
) next;

-- name: begin_window
-- From now on the same part is delivered until that succeeds.
UPDATE zoning.subscription SET sending_to = %(to)s WHERE id = %(subscription)s;

-- name: follow
-- The parcels that the followed parcels became in a part of the log.
INSERT INTO zoning.subscription_parcel (subscription, parcel_id, came_from, position)
SELECT DISTINCT ON (child) s.id, child, p.parcel_id, l.position
FROM zoning.subscription s
JOIN zoning.change_log l ON l.position > %(after)s AND l.position <= %(to)s AND l.jurisdiction = s.jurisdiction
JOIN zoning.change c ON c.id = l.change_id,
jsonb_array_elements_text(c.evidence->'parents') AS parent
JOIN zoning.subscription_parcel p ON p.parcel_id = parent,
jsonb_array_elements_text(c.evidence->'children') AS child
WHERE s.id = %(subscription)s AND s.follows AND p.subscription = s.id AND c.facet = 'parcel' AND l.action <> 'retracted'
ORDER BY child, l.position
ON CONFLICT DO NOTHING;

-- name: events
-- The changes of a part of the log that a subscription asks for; direction -1: the newest first. A change without an area is
-- where its parcels are, or were.
SELECT l.position, l.number, l.action, l.at, c.id AS change_id, c.jurisdiction, c.kind, c.facet, c.parcel_ids, c.old, c.new,
    c.area_m2, c.share, c.confidence, coalesce(m.effective, c.effective) AS effective, c.detected,
    coalesce(m.ordinances, '{}') AS ordinances, ST_AsBinary(g.geom) AS wkb,
    CASE WHEN NOT ST_IsEmpty(g.geom) THEN
        ARRAY[ST_XMin(g.geom), ST_YMin(g.geom), ST_XMax(g.geom), ST_YMax(g.geom)] END AS bbox
FROM zoning.subscription s
JOIN zoning.change_log l ON l.position > %(after)s AND l.position <= %(to)s
JOIN zoning.change c ON c.id = l.change_id
CROSS JOIN LATERAL (SELECT ST_Transform(c.geom, 4326) AS geom) g
LEFT JOIN LATERAL (
    SELECT max(a.effective) AS effective, array_agg(DISTINCT number ORDER BY number) AS ordinances
    FROM zoning.amendment_match x JOIN zoning.amendment a ON a.id = x.amendment_id, unnest(a.ordinance_numbers) AS number
    WHERE x.change_id = c.id
) m ON true
WHERE s.id = %(subscription)s
    AND (%(jurisdiction)s::text IS NULL OR c.jurisdiction = %(jurisdiction)s)
    AND (s.jurisdiction IS NULL OR c.jurisdiction = s.jurisdiction)
    AND (s.kinds IS NULL OR c.kind = ANY (s.kinds))
    AND (s.min_area_m2 IS NULL OR c.area_m2 >= s.min_area_m2)
    AND (s.code_pattern IS NULL OR (c.facet <> 'parcel' AND (c.old LIKE s.code_pattern OR c.new LIKE s.code_pattern)))
    AND (NOT s.follows OR EXISTS (
        SELECT FROM zoning.subscription_parcel p WHERE p.subscription = s.id AND p.parcel_id = ANY (c.parcel_ids)
    ))
    AND (s.area IS NULL OR ST_Intersects(g.geom, s.area) OR (g.geom IS NULL AND EXISTS (
        SELECT FROM unnest(c.parcel_ids) AS lot (id), LATERAL (
            SELECT geom FROM zoning.parcel WHERE jurisdiction = c.jurisdiction AND parcel_id = lot.id
            UNION ALL
            SELECT geom FROM zoning.parcel_version WHERE jurisdiction = c.jurisdiction AND parcel_id = lot.id
        ) known WHERE ST_Intersects(ST_Transform(known.geom, 4326), s.area)
    )))
ORDER BY l.position * %(direction)s LIMIT %(most)s;

-- name: advance
-- A delivery succeeded up to a position.
UPDATE zoning.subscription SET position = %(to)s, sending_to = nullif(sending_to, %(to)s), attempts = 0, not_before = NULL,
    error = NULL, delivered = delivered + %(count)s,
    last_delivered = CASE WHEN %(count)s > 0 THEN clock_timestamp() ELSE last_delivered END
WHERE id = %(subscription)s;

-- name: fail
-- A delivery failed; it is repeated after some seconds.
UPDATE zoning.subscription SET attempts = attempts + 1, error = %(why)s, paused = paused OR %(is_final)s,
    not_before = clock_timestamp() + make_interval(secs => %(wait_s)s)
WHERE id = %(subscription)s;

-- name: letters
-- The messages of a subscription that are dead letters or that a person replayed, in the order of delivery.
SELECT number, queue, id, body, tries FROM zoning.queue
WHERE queue IN ('deliveries', 'deliveries.dead') AND starts_with(id, %(key)s) ORDER BY number;

-- name: put_letter
-- A change becomes a dead letter.
INSERT INTO zoning.queue (queue, id, body, tries, why) VALUES ('deliveries.dead', %(id)s, %(body)s, %(tries)s, %(why)s);

-- name: move_letter
-- A replayed message failed again; it keeps its place in the order.
UPDATE zoning.queue SET queue = 'deliveries.dead', tries = tries + 1, why = %(why)s WHERE number = %(number)s;

-- name: delete_letter
-- A replayed message was delivered.
DELETE FROM zoning.queue WHERE number = %(number)s;
