-- Taking a jurisdiction out. Each query has a name and one sentence; sql_queries.py loads them.

-- name: found
-- How much there is of a jurisdiction, by what it is.
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
-- Messages that may be about a jurisdiction and are not being handled; what they say is read by the program.
SELECT queue, number, body FROM zoning.queue
WHERE strpos(body, %(jurisdiction)s) > 0 AND (leased_until IS NULL OR leased_until < clock_timestamp())
FOR UPDATE SKIP LOCKED;

-- name: delete_messages
-- Those that are.
DELETE FROM zoning.queue WHERE number = ANY (%(numbers)s);

-- name: first
-- The first batch of each feed: a removal undoes all from there on.
SELECT feed, min(id) FROM zoning.batch WHERE jurisdiction = %(jurisdiction)s GROUP BY feed;

-- name: open
-- The batch that removes a feed; its time is taken under the lock.
INSERT INTO zoning.batch (jurisdiction, tile, feed, harvest, rules, started, undoes)
VALUES (%(jurisdiction)s, NULL, %(feed)s, 'removal', '', clock_timestamp(), %(undoes)s)
RETURNING id, started;

-- name: end_parcels
-- All parcels become versions.
WITH gone AS (DELETE FROM zoning.parcel WHERE jurisdiction = %(jurisdiction)s RETURNING *)
INSERT INTO zoning.parcel_version SELECT gone.*, gone.last_changed, %(now)s, NULL, NULL, %(batch)s FROM gone;

-- name: end_zoning
-- All districts become versions.
WITH gone AS (DELETE FROM zoning.district WHERE jurisdiction = %(jurisdiction)s RETURNING *)
INSERT INTO zoning.district_version
SELECT gone.*, gone.last_changed, %(now)s, gone.effective, NULL, %(batch)s FROM gone;

-- name: end_parcel_zoning
-- All shares become versions.
WITH gone AS (DELETE FROM zoning.parcel_zoning WHERE jurisdiction = %(jurisdiction)s RETURNING *)
INSERT INTO zoning.parcel_zoning_version
SELECT gone.*, gone.last_changed, %(now)s, gone.effective, NULL, %(batch)s FROM gone;

-- name: close
-- What the removal did.
UPDATE zoning.batch SET counts = %(counts)s, committed = clock_timestamp() WHERE id = %(batch)s;

-- name: retract
-- Its changes; a rollback to before the removal tells them again.
UPDATE zoning.change SET state = 'retracted',
    evidence = evidence || jsonb_build_object('was', state, 'retracted_by', %(batch)s::bigint)
WHERE jurisdiction = %(jurisdiction)s AND state <> 'retracted';

-- name: release
-- What is published next is a first release: there is nothing to compare it with.
INSERT INTO zoning.release (jurisdiction, parcels_from, parcels_to, zoning_from, zoning_to, rules, drift_m, moved,
    tolerance_m, alarms, counts, judged)
VALUES (%(jurisdiction)s, 0, 0, 0, 0, 'removal', 0, 0, 0, '{}', '{}', clock_timestamp());

-- name: not_whole
-- No state of it is compared any more.
DELETE FROM zoning.whole WHERE jurisdiction = %(jurisdiction)s;

-- name: best_lots
-- No parcel holds most of a district.
DELETE FROM zoning.best_lot WHERE jurisdiction = %(jurisdiction)s;

-- name: rejections
-- Rows that were held back wait for nobody.
UPDATE zoning.rejection SET state = 'superseded' WHERE jurisdiction = %(jurisdiction)s AND state <> 'superseded';

-- name: failures
-- What failed is asked for no more.
UPDATE zoning.failure SET state = 'solved', last = clock_timestamp()
WHERE jurisdiction = %(jurisdiction)s AND state <> 'solved';

-- name: feeds
-- Nothing is known of its feeds.
DELETE FROM zoning.feed WHERE jurisdiction = %(jurisdiction)s;

-- name: held
-- Releases that waited for a person wait no more.
UPDATE zoning.survey SET state = 'superseded' WHERE jurisdiction = %(jurisdiction)s AND state = 'held';

-- name: pauses
-- Its pauses are lifted.
UPDATE zoning.hold SET lifted = clock_timestamp(), lifted_by = %(actor)s
WHERE jurisdiction = %(jurisdiction)s AND lifted IS NULL;

-- name: watches
-- Nobody watches its parcels.
DELETE FROM zoning.watch WHERE jurisdiction = %(jurisdiction)s RETURNING parcel_id;

-- name: budgets
-- Hosts that no other jurisdiction is harvested from.
DELETE FROM zoning.host_budget WHERE host = ANY (%(hosts)s);

-- name: removed
-- Jurisdictions of which nothing was published since they were removed.
SELECT DISTINCT b.jurisdiction FROM zoning.batch b WHERE b.harvest = 'removal' AND NOT EXISTS (
    SELECT FROM zoning.batch n WHERE n.jurisdiction = b.jurisdiction AND n.id > b.id AND n.harvest <> 'removal'
);
