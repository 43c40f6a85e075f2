-- Subscriptions as people see them. Each query has a name and one sentence; sql_queries.py loads them.

-- name: insert
-- A subscription; it begins after everything that is committed, or at the start of the log.
INSERT INTO zoning.subscription (name, sink, target, consumer_table, allowed_networks, daily, jurisdiction, area, kinds,
    code_pattern, min_area_m2, follows, position, actor)
VALUES (%(name)s, %(sink)s, %(shown_target)s, %(consumer_table)s, %(allowed_networks)s, %(daily)s, %(jurisdiction)s,
    ST_MakeValid(ST_SetSRID(ST_GeomFromGeoJSON(%(area)s), 4326)), %(kinds)s, %(code_pattern)s, %(min_area_m2)s,
    %(follows)s, CASE WHEN %(from_start)s THEN 0 ELSE coalesce((SELECT max(position) FROM zoning.change_log), 0) END,
    %(actor)s)
ON CONFLICT (name) DO NOTHING RETURNING id, position;

-- name: same_feeds
-- Another subscription that writes Atom feeds to a target.
SELECT name FROM zoning.subscription WHERE sink = 'atom' AND target = %(shown_target)s AND name <> %(name)s;

-- name: insert_secret
-- Its secrets.
INSERT INTO zoning.subscription_secret (subscription, target, signing_key)
VALUES (%(subscription)s, %(target)s, %(signing_key)s);

-- name: insert_parcels
-- The parcels that a person chose.
INSERT INTO zoning.subscription_parcel (subscription, parcel_id, position)
SELECT %(subscription)s, id, %(position)s FROM unnest(%(parcels)s::text[]) AS id ON CONFLICT DO NOTHING;

-- name: list
-- All subscriptions, with the number of entries of the log that each has not read, and of its dead letters.
SELECT s.id, s.key::text AS key, s.name, s.sink, s.target, s.consumer_table, s.allowed_networks, s.daily, s.jurisdiction,
    ST_AsGeoJSON(s.area) AS area, s.kinds, s.code_pattern, s.min_area_m2, s.follows, s.position, s.sending_to, s.attempts,
    s.not_before, s.error, s.paused, s.delivered, s.last_delivered, s.created, s.actor,
    (SELECT count(*) FROM zoning.subscription_parcel p WHERE p.subscription = s.id) AS parcels,
    (SELECT count(*) FROM zoning.change_log l WHERE l.position > s.position OR l.position IS NULL) AS behind,
    (SELECT count(*) FROM zoning.queue q WHERE q.queue = 'deliveries.dead' AND starts_with(q.id, s.key::text)) AS dead
FROM zoning.subscription s WHERE %(name)s::text IS NULL OR s.name = %(name)s ORDER BY s.name;

-- name: remove
-- Delete a subscription with its secrets and parcels.
DELETE FROM zoning.subscription WHERE name = %(name)s RETURNING key::text;

-- name: pause
-- Pause or resume; a resumed one is tried at once.
UPDATE zoning.subscription SET paused = %(paused)s, attempts = 0, not_before = NULL
WHERE name = %(name)s RETURNING id;

-- name: dead_letters
-- The dead letters of a subscription, in the order of delivery.
SELECT q.number, q.id, q.body, q.sent, q.tries, q.why FROM zoning.queue q
WHERE q.queue = 'deliveries.dead' AND starts_with(q.id, %(key)s) ORDER BY q.number LIMIT %(limit)s;

-- name: replay
-- Put the dead letters of a subscription back into the queue, in their order.
UPDATE zoning.queue SET queue = 'deliveries', tries = 0, why = '' WHERE number IN (
    SELECT number FROM zoning.queue WHERE queue = 'deliveries.dead' AND starts_with(id, %(key)s)
    ORDER BY number LIMIT %(limit)s
) RETURNING id;

-- name: delete_letters
-- Delete the messages of a subscription that was removed.
DELETE FROM zoning.queue WHERE queue IN ('deliveries', 'deliveries.dead') AND starts_with(id, %(key)s);
