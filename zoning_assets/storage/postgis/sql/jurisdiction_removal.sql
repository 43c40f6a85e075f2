-- Removing a jurisdiction. Each query has a name and one sentence; sql_queries.py loads them.

-- name: counts
-- The number of rows of a jurisdiction, by kind.
SELECT
    (SELECT count(*) FROM zoning.parcel WHERE jurisdiction = %(jurisdiction)s) AS parcels,
    (SELECT count(*) FROM zoning.district WHERE jurisdiction = %(jurisdiction)s) AS districts,
    (SELECT count(*) FROM zoning.parcel_zoning WHERE jurisdiction = %(jurisdiction)s) AS shares,
    (SELECT count(*) FROM zoning.change WHERE jurisdiction = %(jurisdiction)s AND state <> 'retracted') AS changes,
    (SELECT count(*) FROM zoning.rejection WHERE jurisdiction = %(jurisdiction)s AND state <> 'superseded')
        AS rejections,
    (SELECT count(*) FROM zoning.failure WHERE jurisdiction = %(jurisdiction)s AND state <> 'solved') AS failures,
    (SELECT count(*) FROM zoning.feed WHERE jurisdiction = %(jurisdiction)s) AS feeds,
    (SELECT count(*) FROM zoning.survey WHERE jurisdiction = %(jurisdiction)s AND state = 'held') AS held_releases,
    (SELECT count(*) FROM zoning.hold WHERE jurisdiction = %(jurisdiction)s AND lifted IS NULL) AS pauses,
    (SELECT count(*) FROM zoning.watch WHERE jurisdiction = %(jurisdiction)s) AS watched_parcels,
    (SELECT count(*) FROM zoning.host_budget WHERE host = ANY (%(hosts)s)) AS host_budgets;

-- name: messages
-- Messages that contain the id of the jurisdiction and that no consumer has. The program reads whether they concern it.
SELECT queue, number, body FROM zoning.queue
WHERE strpos(body, %(jurisdiction)s) > 0 AND (leased_until IS NULL OR leased_until < clock_timestamp())
FOR UPDATE SKIP LOCKED;

-- name: delete_messages
-- Delete messages.
DELETE FROM zoning.queue WHERE number = ANY (%(numbers)s);

-- name: first_batches
-- The first batch of each feed: a removal undoes all batches from there on.
SELECT feed, min(id) FROM zoning.batch WHERE jurisdiction = %(jurisdiction)s GROUP BY feed;

-- name: open_batch
-- The batch that removes a feed. Its time is taken while the lock is held.
INSERT INTO zoning.batch (jurisdiction, tile, feed, harvest, rules, started, undoes)
VALUES (%(jurisdiction)s, NULL, %(feed)s, 'removal', '', clock_timestamp(), %(undoes)s)
RETURNING id, started;

-- name: end_parcels
-- All parcels become versions.
WITH ended AS (DELETE FROM zoning.parcel WHERE jurisdiction = %(jurisdiction)s RETURNING *)
INSERT INTO zoning.parcel_version SELECT ended.*, ended.last_changed, %(now)s, NULL, NULL, %(batch)s FROM ended;

-- name: end_zoning
-- All districts become versions.
WITH ended AS (DELETE FROM zoning.district WHERE jurisdiction = %(jurisdiction)s RETURNING *)
INSERT INTO zoning.district_version
SELECT ended.*, ended.last_changed, %(now)s, ended.effective, NULL, %(batch)s FROM ended;

-- name: end_parcel_zoning
-- All shares become versions.
WITH ended AS (DELETE FROM zoning.parcel_zoning WHERE jurisdiction = %(jurisdiction)s RETURNING *)
INSERT INTO zoning.parcel_zoning_version
SELECT ended.*, ended.last_changed, %(now)s, ended.effective, NULL, %(batch)s FROM ended;

-- name: close_batch
-- The counts of the removal.
UPDATE zoning.batch SET counts = %(counts)s, committed = clock_timestamp() WHERE id = %(batch)s;

-- name: retract
-- Retract all changes; a rollback to a time before the removal restores them.
UPDATE zoning.change SET state = 'retracted',
    evidence = evidence || jsonb_build_object('was', state, 'retracted_by', %(batch)s::bigint)
WHERE jurisdiction = %(jurisdiction)s AND state <> 'retracted';

-- name: insert_release
-- The next release is compared with nothing.
INSERT INTO zoning.release (jurisdiction, parcels_from, parcels_to, zoning_from, zoning_to, rules, drift_m, moved,
    tolerance_m, alarms, counts, judged)
VALUES (%(jurisdiction)s, 0, 0, 0, 0, 'removal', 0, 0, 0, '{}', '{}', clock_timestamp());

-- name: delete_compared_batch
-- No state of the jurisdiction is compared any more.
DELETE FROM zoning.whole WHERE jurisdiction = %(jurisdiction)s;

-- name: best_lots
-- Delete the parcels that hold most of a district.
DELETE FROM zoning.best_lot WHERE jurisdiction = %(jurisdiction)s;

-- name: rejections
-- Supersede the rejections.
UPDATE zoning.rejection SET state = 'superseded' WHERE jurisdiction = %(jurisdiction)s AND state <> 'superseded';

-- name: failures
-- Failures are not retried any more.
UPDATE zoning.failure SET state = 'solved', last = clock_timestamp()
WHERE jurisdiction = %(jurisdiction)s AND state <> 'solved';

-- name: feeds
-- Delete the freshness of the feeds.
DELETE FROM zoning.feed WHERE jurisdiction = %(jurisdiction)s;

-- name: held
-- Supersede held releases.
UPDATE zoning.survey SET state = 'superseded' WHERE jurisdiction = %(jurisdiction)s AND state = 'held';

-- name: pauses
-- Lift the pauses.
UPDATE zoning.hold SET lifted = clock_timestamp(), lifted_by = %(actor)s
WHERE jurisdiction = %(jurisdiction)s AND lifted IS NULL;

-- name: watches
-- Delete the watched parcels.
DELETE FROM zoning.watch WHERE jurisdiction = %(jurisdiction)s RETURNING parcel_id;

-- name: budgets
-- Delete the budgets of hosts that no other jurisdiction uses.
DELETE FROM zoning.host_budget WHERE host = ANY (%(hosts)s);

-- name: removed
-- Jurisdictions that were removed and not published since.
SELECT DISTINCT b.jurisdiction FROM zoning.batch b WHERE b.harvest = 'removal' AND NOT EXISTS (
    SELECT FROM zoning.batch n WHERE n.jurisdiction = b.jurisdiction AND n.id > b.id AND n.harvest <> 'removal'
);
