-- Needs: CREATE EXTENSION btree_gist.

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
COMMENT ON TABLE zoning.code IS 'How each code that was ever seen is spelled here, for ever, and the National Zoning Atlas type of its district.';

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
COMMENT ON TABLE zoning.parcel_zoning IS
    'How much of a parcel lies in a code now. listed: NYC DCP''s rule (overlay.py).';

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
COMMENT ON TABLE zoning.parcel_zoning_version IS 'Shares as they were: a parcel''s rows of one system_from belong together.';

CREATE TABLE zoning.best_lot (
    jurisdiction text NOT NULL,
    district_id text NOT NULL,
    parcel_id text NOT NULL,
    PRIMARY KEY (jurisdiction, district_id)
);
COMMENT ON TABLE zoning.best_lot IS 'The parcel that holds most of a district: it lists the district''s code.';

-- The zoning of a parcel in one row, by the rules of overlay.py. agrees: whether the parcel layer states the same code.
CREATE VIEW zoning.zoned_parcel AS
SELECT p.jurisdiction, p.parcel_id, z.code, z.codes, z.split_zoned, z.fraction AS zoned_fraction,
    z.overlays, z.conditions, z.puds, p.zoning_code AS said_code, p.zoning_code = z.code AS agrees
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
COMMENT ON TABLE zoning.release IS 'What was published between batches, judged as one. refused: the batch of the map that was not believed, by its alarms.';

CREATE TABLE zoning.whole (
    jurisdiction text NOT NULL,
    feed text NOT NULL,
    batch_id bigint NOT NULL,
    PRIMARY KEY (jurisdiction, feed)
);
COMMENT ON TABLE zoning.whole IS 'With this batch every place of the feed was of one state of its layer; only such states are compared.';

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
    geom geometry CHECK (st_srid(geom) IN (4326, 3857)),
    release_id bigint NOT NULL REFERENCES zoning.release (id)
);
CREATE INDEX change_place ON zoning.change (jurisdiction, detected);
CREATE INDEX change_parcels ON zoning.change USING gin (parcel_ids);
COMMENT ON TABLE zoning.change IS 'One typed event. id: of what happened, not of when it was found. review: thinner than the tolerance.';

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
    geom geometry CHECK (st_srid(geom) IN (4326, 3857)),
    source text,
    source_hash text,
    confidence double precision NOT NULL,
    questions text[] NOT NULL,
    evidence jsonb NOT NULL,
    received timestamptz NOT NULL,
    last_changed timestamptz NOT NULL
);
CREATE INDEX amendment_place ON zoning.amendment (jurisdiction, received);
COMMENT ON TABLE zoning.amendment IS 'That an ordinance or case exists. questions: what a person must answer, such as a date that is none.';

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

CREATE TABLE zoning.watch (
    jurisdiction text NOT NULL,
    parcel_id text NOT NULL,
    since timestamptz NOT NULL,
    came_from text,
    PRIMARY KEY (jurisdiction, parcel_id)
);
COMMENT ON TABLE zoning.watch IS 'Parcels that somebody watches; what they become is watched too (came_from).';

-- The state that applied on a legal day, as known at a time: the last state known then that had begun and had not ended by
-- that day. A state begins on its legal day if one is stated, else on the day when it was published (UTC).
-- legal_time NULL: any day. system_time NULL: as known now.
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

-- The same for the zoning. Each facet has its own states. If no state had begun completely, the part of a state that had
-- begun applies.
CREATE FUNCTION zoning.zoning_as_of(jurisdiction text, legal_time date, system_time timestamptz)
RETURNS SETOF zoning.parcel_zoning_version LANGUAGE sql STABLE AS $$
    WITH known AS (
        SELECT v.* FROM zoning.parcel_zoning_version v WHERE v.jurisdiction = $1
        UNION ALL
        SELECT z.*, z.last_changed, 'infinity'::timestamptz, z.effective, NULL, 0
        FROM zoning.parcel_zoning z WHERE z.jurisdiction = $1
    ),
    state AS (
        SELECT parcel_id, facet, system_from, max(system_to) AS system_to, max(legal_to) AS legal_to,
            coalesce(min(legal_from), (min(system_from) AT TIME ZONE 'UTC')::date) AS begins,
            coalesce(max(legal_from), (min(system_from) AT TIME ZONE 'UTC')::date) AS begun
        FROM known WHERE system_from <= coalesce($3, 'infinity') GROUP BY parcel_id, facet, system_from
    ),
    chosen AS (
        SELECT DISTINCT ON (parcel_id, facet) parcel_id, facet, system_from FROM state
        WHERE ($2 IS NULL OR begins <= $2)
            AND NOT (system_to <= coalesce($3, 'infinity') AND system_to <> 'infinity'
                AND ($2 IS NULL OR coalesce(legal_to, (system_to AT TIME ZONE 'UTC')::date) <= $2))
        ORDER BY parcel_id, facet, ($2 IS NULL OR begun <= $2) DESC, system_from DESC
    )
    SELECT known.* FROM known JOIN chosen USING (parcel_id, facet, system_from)
    WHERE $2 IS NULL OR known.legal_from IS NULL OR known.legal_from <= $2
$$;
