-- The whole schema of today in one file, to be read. What a database gets are the migrations; a test proves that they
-- give this (tests/storage/postgis/test_migrations.py). Needs: CREATE EXTENSION postgis, btree_gist; CREATE SCHEMA zoning.
-- What each table and column means stands in comments.sql.

CREATE TABLE zoning.batch (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    jurisdiction text NOT NULL,
    tile text,
    feed text NOT NULL,
    harvest text NOT NULL,
    rules text NOT NULL,
    counts jsonb NOT NULL DEFAULT '{}',
    started timestamptz NOT NULL,
    committed timestamptz,
    undoes bigint REFERENCES zoning.batch (id)
);
CREATE INDEX batch_place ON zoning.batch (jurisdiction, feed, coalesce(tile, ''), id);
CREATE INDEX batch_feed ON zoning.batch (jurisdiction, feed, id);
CREATE INDEX batch_undo ON zoning.batch (jurisdiction, feed, id) WHERE undoes IS NOT NULL;

-- Rows name their batch without a foreign key: checked row by row it would cost a fifth of a first publish, and the
-- publish transaction, which alone writes them, has written the batch before.
CREATE TABLE zoning.parcel (
    jurisdiction text NOT NULL,
    parcel_id text NOT NULL,
    tile text NOT NULL,
    zoning_code text,
    zoning_code_local text,
    land_use text,
    address text,
    attributes jsonb NOT NULL,
    area_m2 double precision NOT NULL,
    geom geometry(MultiPolygon) NOT NULL CHECK (NOT (st_srid(geom) <> 4326 AND st_srid(geom) <> 3857)),
    content_hash text NOT NULL,
    batch_id bigint NOT NULL,
    first_seen timestamptz NOT NULL,
    last_changed timestamptz NOT NULL,
    PRIMARY KEY (jurisdiction, parcel_id)
);
CREATE INDEX parcel_geom ON zoning.parcel USING gist (geom);
-- No other index begins with the jurisdiction: a look-up by key has the primary key alone to take. See 0010_any_size.sql.
CREATE INDEX parcel_tile ON zoning.parcel (tile, (jurisdiction || ''));
ALTER INDEX zoning.parcel_tile ALTER COLUMN 2 SET STATISTICS 0;

CREATE TABLE zoning.parcel_version (
    LIKE zoning.parcel INCLUDING CONSTRAINTS,
    system_from timestamptz NOT NULL,
    system_to timestamptz NOT NULL,
    legal_from date,
    legal_to date,
    ended_by bigint NOT NULL,
    CHECK (system_from <= system_to)
);
CREATE INDEX parcel_version_geom ON zoning.parcel_version USING gist (geom);
CREATE INDEX parcel_version_key ON zoning.parcel_version (jurisdiction, parcel_id, system_from);

-- A date that a portal gives as text; what is none stays a question to a person and does not stop the rest.
CREATE FUNCTION zoning.date_or_null(said text) RETURNS date LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN CASE WHEN said ~ '^\d{4}-\d{2}-\d{2}' THEN make_date(
        substr(said, 1, 4)::int, substr(said, 6, 2)::int, substr(said, 9, 2)::int) END;
EXCEPTION WHEN datetime_field_overflow OR invalid_datetime_format THEN
    RETURN NULL;
END $$;

CREATE TABLE zoning.district (
    jurisdiction text NOT NULL,
    district_id text NOT NULL,
    code text,
    code_local text,
    zone_type text,
    effective date,
    attributes jsonb NOT NULL,
    area_m2 double precision NOT NULL,
    geom geometry(MultiPolygon) NOT NULL CHECK (NOT (st_srid(geom) <> 4326 AND st_srid(geom) <> 3857)),
    content_hash text NOT NULL,
    batch_id bigint NOT NULL,
    first_seen timestamptz NOT NULL,
    last_changed timestamptz NOT NULL,
    PRIMARY KEY (jurisdiction, district_id)
);
CREATE INDEX district_geom ON zoning.district USING gist (geom);

CREATE TABLE zoning.district_version (
    LIKE zoning.district INCLUDING CONSTRAINTS,
    system_from timestamptz NOT NULL,
    system_to timestamptz NOT NULL,
    legal_from date,
    legal_to date,
    ended_by bigint NOT NULL,
    CHECK (system_from <= system_to)
);
CREATE INDEX district_version_key ON zoning.district_version (jurisdiction, district_id, system_from);

-- What a row that was held back is, whatever servers renumber at will (as normalize.py has it): the same id at the
-- next harvest means that the portal sent the very same row. Few names are worth the pattern, which is slow.
CREATE FUNCTION zoning.row_id(jurisdiction text, feed text, raw jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT left(encode(sha256(convert_to(jsonb_build_array($1, $2, $3 - 'id' - 'attributes' - 'properties', (
        SELECT jsonb_object_agg(key, value) FROM jsonb_each(CASE WHEN jsonb_typeof(said) = 'object' THEN said END)
        WHERE CASE WHEN strpos(lower(key), 'id') + strpos(lower(key), 'shape') = 0 THEN true ELSE
            key !~* '^(.*\.)?(objectid(_\d+)?|fid|ogc_fid|globalid(_\d+)?|(st_)?(area|length|perimeter)\(shape\)'
                '|shape([._ ]*(st)?_*(area|length|leng|len|ar|le|perimeter)(_+\d*|\(\))?)?)$' END
    ))::text, 'UTF8')), 'hex'), 16)
    FROM coalesce($3->'attributes', $3->'properties') AS said
$$;

CREATE TABLE zoning.rejection (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch_id bigint REFERENCES zoning.batch (id),
    jurisdiction text NOT NULL,
    tile text,
    feed text NOT NULL,
    reason text NOT NULL,
    detail text,
    raw jsonb NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'known', 'superseded')),
    row_id text NOT NULL GENERATED ALWAYS AS (zoning.row_id(jurisdiction, feed, raw)) STORED
);
CREATE INDEX rejection_place ON zoning.rejection (jurisdiction, feed, coalesce(tile, '')) WHERE state <> 'superseded';
CREATE INDEX rejection_row ON zoning.rejection (row_id) WHERE state <> 'superseded';

-- The columns are those of budget.Budget, where they are explained; a time of NULL is long ago. Times are this server's.
CREATE TABLE zoning.host_budget (
    host text PRIMARY KEY,
    ceiling double precision NOT NULL DEFAULT 0,
    ceiling_until timestamptz,
    connections integer NOT NULL DEFAULT 0,
    connections_until timestamptz,
    slowed_to double precision NOT NULL DEFAULT 'Infinity',
    slowed_at timestamptz,
    slowed_after bigint NOT NULL DEFAULT 0,
    next_at timestamptz,
    rests_until timestamptz,
    stated_limit integer,
    stated_window_s double precision NOT NULL DEFAULT 0,
    stated_left integer,
    stated_until timestamptz,
    stated_by bigint NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    opened integer NOT NULL DEFAULT 0,
    open_until timestamptz,
    probe bigint NOT NULL DEFAULT 0,
    probe_until timestamptz,
    asked bigint NOT NULL DEFAULT 0,
    refused bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 20);  -- a row is written with each request: its next version belongs on the same page

ALTER TABLE zoning.parcel_version ADD CONSTRAINT parcel_version_once EXCLUDE USING gist (
    jurisdiction WITH =, parcel_id WITH =, tstzrange(system_from, system_to) WITH &&
);
ALTER TABLE zoning.district_version ADD CONSTRAINT district_version_once EXCLUDE USING gist (
    jurisdiction WITH =, district_id WITH =, tstzrange(system_from, system_to) WITH &&
);

CREATE TABLE zoning.code (
    jurisdiction text NOT NULL,
    local text NOT NULL,
    code text NOT NULL,
    zone_type text,
    rules text NOT NULL,
    since timestamptz NOT NULL,
    PRIMARY KEY (jurisdiction, local)
);

CREATE INDEX code_canonical ON zoning.code (code, jurisdiction);

CREATE TABLE zoning.parcel_zoning (
    jurisdiction text NOT NULL,
    parcel_id text NOT NULL,
    facet text NOT NULL CHECK (facet IN ('base', 'overlay', 'condition', 'pud')),
    code text NOT NULL,
    area_m2 double precision NOT NULL,
    fraction double precision NOT NULL,
    rank integer NOT NULL,
    listed boolean NOT NULL,
    effective date,
    batch_id bigint NOT NULL,
    last_changed timestamptz NOT NULL,
    PRIMARY KEY (jurisdiction, parcel_id, facet, code)
);

CREATE TABLE zoning.parcel_zoning_version (
    LIKE zoning.parcel_zoning INCLUDING CONSTRAINTS,
    system_from timestamptz NOT NULL,
    system_to timestamptz NOT NULL,
    legal_from date,
    legal_to date,
    ended_by bigint NOT NULL,
    CHECK (system_from <= system_to),
    CONSTRAINT parcel_zoning_version_once EXCLUDE USING gist (
        jurisdiction WITH =, parcel_id WITH =, facet WITH =, code WITH =, tstzrange(system_from, system_to) WITH &&
    )
);

CREATE TABLE zoning.best_lot (
    jurisdiction text NOT NULL,
    district_id text NOT NULL,
    parcel_id text NOT NULL,
    PRIMARY KEY (jurisdiction, district_id)
);

-- A parcel's zoning in one row, by the rules of overlay.py. `zoning_code` is the answer of the map; what the parcel
-- layer itself states is `parcel_layer_code`. `id` is for programs that need one column as a key.
CREATE VIEW zoning.zoned_parcel AS
SELECT hashtextextended(p.jurisdiction || '/' || p.parcel_id, 0) AS id, p.jurisdiction, p.parcel_id,
    z.code AS zoning_code, z.codes AS zoning_codes, (
        SELECT max(c.zone_type) FROM zoning.code c WHERE c.jurisdiction = p.jurisdiction AND c.code = z.code
    ) AS zone_type,
    z.split_zoned, z.fraction AS zoned_fraction, z.overlays, z.conditions, z.puds,
    p.zoning_code AS parcel_layer_code, p.zoning_code = z.code AS agrees,
    p.address, p.land_use, p.area_m2, p.last_changed, p.geom
FROM zoning.parcel p LEFT JOIN LATERAL (
    SELECT min(s.code) FILTER (WHERE s.facet = 'base' AND s.rank = 1) AS code,
        array_agg(s.code ORDER BY s.rank) FILTER (WHERE s.facet = 'base' AND s.listed) AS codes,
        count(*) FILTER (WHERE s.facet = 'base' AND s.listed) > 1 AS split_zoned,
        least(sum(s.fraction) FILTER (WHERE s.facet = 'base'), 1) AS fraction,
        array_agg(s.code ORDER BY s.rank) FILTER (WHERE s.facet = 'overlay') AS overlays,
        array_agg(s.code ORDER BY s.rank) FILTER (WHERE s.facet = 'condition') AS conditions,
        array_agg(s.code ORDER BY s.rank) FILTER (WHERE s.facet = 'pud') AS puds
    FROM zoning.parcel_zoning s WHERE s.jurisdiction = p.jurisdiction AND s.parcel_id = p.parcel_id
) z ON true;

CREATE TABLE zoning.release (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    jurisdiction text NOT NULL,
    parcels_from bigint NOT NULL,
    parcels_to bigint NOT NULL,
    zoning_from bigint NOT NULL,
    zoning_to bigint NOT NULL,
    rules text NOT NULL,
    drift_m double precision NOT NULL,
    moved double precision NOT NULL,
    tolerance_m double precision NOT NULL,
    alarms text[] NOT NULL,
    refused bigint,
    accepted_by text,
    counts jsonb NOT NULL,
    judged timestamptz NOT NULL
);
CREATE INDEX release_place ON zoning.release (jurisdiction, id DESC);

CREATE TABLE zoning.whole (
    jurisdiction text NOT NULL,
    feed text NOT NULL,
    batch_id bigint NOT NULL,
    PRIMARY KEY (jurisdiction, feed)
);

CREATE TABLE zoning.change (
    id text PRIMARY KEY,
    jurisdiction text NOT NULL,
    kind text NOT NULL,
    state text NOT NULL CHECK (state IN ('event', 'review', 'retracted')),
    facet text NOT NULL,
    parcel_ids text[] NOT NULL,
    old text,
    new text,
    area_m2 double precision,
    share double precision,
    confidence double precision NOT NULL,
    effective date,
    detected timestamptz NOT NULL,
    evidence jsonb NOT NULL,
    geom geometry CHECK (NOT (st_srid(geom) <> 4326 AND st_srid(geom) <> 3857)),
    release_id bigint NOT NULL REFERENCES zoning.release (id)
);
CREATE INDEX change_place ON zoning.change (jurisdiction, detected);
CREATE INDEX change_parcels ON zoning.change USING gin (parcel_ids) WITH (fastupdate = off);
CREATE INDEX change_release ON zoning.change (release_id);
CREATE INDEX change_again ON zoning.change ((evidence->>'again')) WHERE evidence->>'again' IS NOT NULL;

CREATE TABLE zoning.amendment (
    id text PRIMARY KEY,
    jurisdiction text NOT NULL,
    case_numbers text[] NOT NULL,
    ordinance_numbers text[] NOT NULL,
    kind text NOT NULL,
    status text NOT NULL,
    dates jsonb NOT NULL,
    effective date,
    parcel_ids text[] NOT NULL,
    place text,
    old_codes text[] NOT NULL,
    new_codes text[] NOT NULL,
    geom geometry CHECK (NOT (st_srid(geom) <> 4326 AND st_srid(geom) <> 3857)),
    source text,
    source_hash text,
    confidence double precision NOT NULL,
    questions text[] NOT NULL,
    evidence jsonb NOT NULL,
    received timestamptz NOT NULL,
    last_changed timestamptz NOT NULL
);
CREATE INDEX amendment_place ON zoning.amendment (jurisdiction, received);

CREATE TABLE zoning.amendment_version (
    LIKE zoning.amendment INCLUDING CONSTRAINTS,
    system_to timestamptz NOT NULL
);
CREATE INDEX amendment_version_key ON zoning.amendment_version (id, last_changed);

CREATE TABLE zoning.amendment_match (
    amendment_id text NOT NULL REFERENCES zoning.amendment (id),
    change_id text NOT NULL REFERENCES zoning.change (id),
    score double precision NOT NULL,
    reasons text[] NOT NULL,
    lag_days integer,
    PRIMARY KEY (amendment_id, change_id)
);
CREATE INDEX amendment_match_change ON zoning.amendment_match (change_id);

CREATE TABLE zoning.watch (
    jurisdiction text NOT NULL,
    parcel_id text NOT NULL,
    since timestamptz NOT NULL,
    came_from text,
    PRIMARY KEY (jurisdiction, parcel_id)
);

-- What applied on a day, as known at a moment: of the states known then that had begun to apply, the last; a state that
-- was known to have ended by that day is none. A state begins on its legal day where one is stated, else when we knew
-- (UTC, whoever asks). legal_time NULL: whenever it applies. system_time NULL: as known now.
CREATE FUNCTION zoning.parcel_as_of(jurisdiction text, legal_time date, system_time timestamptz)
RETURNS SETOF zoning.parcel_version LANGUAGE sql STABLE AS $$
    SELECT DISTINCT ON (s.parcel_id) s.* FROM (
        SELECT v.* FROM zoning.parcel_version v WHERE v.jurisdiction = $1
        UNION ALL
        SELECT p.*, p.last_changed, 'infinity'::timestamptz, NULL, NULL, 0 FROM zoning.parcel p WHERE p.jurisdiction = $1
    ) s
    WHERE s.system_from <= coalesce($3, 'infinity')
        AND ($2 IS NULL OR coalesce(s.legal_from, (s.system_from AT TIME ZONE 'UTC')::date) <= $2)
        AND NOT (s.system_to <= coalesce($3, 'infinity')
            AND ($2 IS NULL OR coalesce(s.legal_to, (s.system_to AT TIME ZONE 'UTC')::date) <= $2)
            AND s.system_to <> 'infinity')
    ORDER BY s.parcel_id, s.system_from DESC
$$;

-- The same of the zoning. Each facet has states of its own: an overlay of this year is no base of this year. Where no state
-- had begun whole, what had begun of one applies.
CREATE FUNCTION zoning.zoning_as_of(jurisdiction text, legal_time date, system_time timestamptz)
RETURNS SETOF zoning.parcel_zoning_version LANGUAGE sql STABLE AS $$
    SELECT jurisdiction, parcel_id, facet, code, area_m2, fraction, rank, listed, effective, batch_id, last_changed,
        system_from, system_to, legal_from, legal_to, ended_by
    FROM (
        SELECT *, first_value(system_from) OVER (
            PARTITION BY parcel_id, facet ORDER BY ($2 IS NULL OR begun <= $2) DESC, system_from DESC
        ) AS chosen
        FROM (
            SELECT *, max(system_to) OVER state AS ends, max(legal_to) OVER state AS legal_ends,
                coalesce(min(legal_from) OVER state, (system_from AT TIME ZONE 'UTC')::date) AS begins,
                coalesce(max(legal_from) OVER state, (system_from AT TIME ZONE 'UTC')::date) AS begun
            FROM (
                SELECT v.* FROM zoning.parcel_zoning_version v WHERE v.jurisdiction = $1
                UNION ALL
                SELECT z.*, z.last_changed, 'infinity'::timestamptz, z.effective, NULL, 0
                FROM zoning.parcel_zoning z WHERE z.jurisdiction = $1
            ) known
            WHERE system_from <= coalesce($3, 'infinity')
            WINDOW state AS (PARTITION BY parcel_id, facet, system_from)
        ) known
        WHERE ($2 IS NULL OR begins <= $2)
            AND NOT (ends <= coalesce($3, 'infinity') AND ends <> 'infinity'
                AND ($2 IS NULL OR coalesce(legal_ends, (ends AT TIME ZONE 'UTC')::date) <= $2))
    ) known
    WHERE system_from = chosen AND ($2 IS NULL OR legal_from IS NULL OR legal_from <= $2)
$$;

CREATE TABLE zoning.hold (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    jurisdiction text,
    host text,
    reason text NOT NULL,
    actor text NOT NULL,
    since timestamptz NOT NULL,
    until timestamptz,
    lifted timestamptz,
    lifted_by text,
    CHECK (jurisdiction IS NULL OR host IS NULL)
);
CREATE INDEX hold_open ON zoning.hold (id) WHERE lifted IS NULL;

CREATE TABLE zoning.audit (
    id bigint PRIMARY KEY,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    deed text NOT NULL,
    subject jsonb NOT NULL,
    reason text NOT NULL,
    hash text NOT NULL
);

CREATE FUNCTION zoning.audit_hash(before text, a zoning.audit) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT encode(sha256(convert_to(jsonb_build_array(
        before, a.id, extract(epoch FROM a.at), a.actor, a.deed, a.subject, a.reason
    )::text, 'UTF8')), 'hex')
$$;

CREATE FUNCTION zoning.audit_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'zoning.audit only grows';
END $$;
CREATE TRIGGER audit_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON zoning.audit
    FOR EACH STATEMENT EXECUTE FUNCTION zoning.audit_only_grows();

CREATE TABLE zoning.feed (
    jurisdiction text NOT NULL,
    feed text NOT NULL,
    probed timestamptz,
    next_probe timestamptz,
    why text,
    error text,
    requests integer,
    current timestamptz,
    harvested timestamptz,
    PRIMARY KEY (jurisdiction, feed)
);

CREATE TABLE zoning.failure (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    jurisdiction text NOT NULL,
    feed text NOT NULL,
    tile text,
    kind text NOT NULL,
    message text NOT NULL,
    passes boolean NOT NULL,
    tries integer NOT NULL,
    first timestamptz NOT NULL,
    last timestamptz NOT NULL,
    not_before timestamptz,
    state text NOT NULL CHECK (state IN ('waiting', 'asked', 'dead', 'solved')),
    asked timestamptz,
    run text
);
CREATE UNIQUE INDEX failure_open ON zoning.failure (jurisdiction, feed, coalesce(tile, '')) WHERE state <> 'solved';
CREATE TABLE zoning.queue (
    number bigint GENERATED ALWAYS AS IDENTITY,
    queue text NOT NULL,
    id text NOT NULL,
    body text NOT NULL CHECK (octet_length(body) <= 1048576),
    sent timestamptz NOT NULL DEFAULT clock_timestamp(),
    tries integer NOT NULL DEFAULT 0,
    why text NOT NULL DEFAULT '',
    deliveries integer NOT NULL DEFAULT 0,
    leased_until timestamptz,
    PRIMARY KEY (queue, number)
);
CREATE UNIQUE INDEX queue_number ON zoning.queue (number);

CREATE FUNCTION zoning.queue_wakes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NOTIFY zoning_queue;
    RETURN NULL;
END $$;
CREATE TRIGGER queue_wakes AFTER INSERT ON zoning.queue
    FOR EACH STATEMENT EXECUTE FUNCTION zoning.queue_wakes();

CREATE TABLE zoning.received (
    message_id text PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE zoning.survey (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    jurisdiction text NOT NULL,
    feed text NOT NULL,
    state text NOT NULL CHECK (state IN ('passed', 'held', 'accepted', 'discarded', 'superseded')),
    whole boolean NOT NULL,
    contents jsonb NOT NULL,
    measured jsonb NOT NULL,
    findings jsonb NOT NULL,
    fields text[] NOT NULL,
    judged timestamptz NOT NULL
);
CREATE INDEX survey_place ON zoning.survey (jurisdiction, feed, id DESC);
CREATE UNIQUE INDEX survey_held ON zoning.survey (jurisdiction, feed) WHERE state = 'held';
CREATE TABLE zoning.fix (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    row_id text NOT NULL,
    jurisdiction text NOT NULL,
    feed text NOT NULL,
    tile text,
    deed text NOT NULL CHECK (deed IN ('mend', 'known')),
    columns jsonb NOT NULL DEFAULT '{}',
    geom geometry CHECK (st_srid(geom) = 4326),
    key text,
    reason text NOT NULL,
    actor text NOT NULL,
    since timestamptz NOT NULL,
    used bigint,
    ended timestamptz,
    ended_by text,
    ended_why text
);
CREATE UNIQUE INDEX fix_row ON zoning.fix (row_id) WHERE ended IS NULL;
CREATE UNIQUE INDEX fix_key ON zoning.fix (jurisdiction, feed, key) WHERE ended IS NULL;

-- Statistics of jurisdictions (and of releases) are never of the one that comes next: without them the planner takes each
-- for a 200th of the table as large as it is now. Where there are some already they stay in use, as nobody but a superuser
-- could take them away; no look-up by key relies on either.
DO $$
DECLARE each record;
BEGIN
    FOR each IN
        SELECT a.attrelid::regclass AS table_name, a.attname AS column_name
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE c.relnamespace = 'zoning'::regnamespace AND c.relkind = 'r' AND a.attname IN ('jurisdiction', 'release_id')
            AND NOT EXISTS (
                SELECT FROM pg_stats s
                WHERE s.schemaname = 'zoning' AND s.tablename = c.relname AND s.attname = a.attname
            )
    LOOP
        EXECUTE 'ALTER TABLE ' || each.table_name || ' ALTER COLUMN ' || each.column_name || ' SET STATISTICS 0';
    END LOOP;
END $$;

-- Alembic's own: which migration came last.
CREATE TABLE zoning.schema_version (
    version_num varchar(32) NOT NULL CONSTRAINT schema_version_pkc PRIMARY KEY
);
