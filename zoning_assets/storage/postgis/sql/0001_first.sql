-- Batches, current rows, their versions, and rejected rows.

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
CREATE INDEX batch_place ON zoning.batch (jurisdiction, feed, tile, id DESC);
COMMENT ON TABLE zoning.batch IS 'One transaction that published one harvest. rules: hash of the rules it was judged by.';

-- There is no foreign key to the batch: checking it for each row took a fifth of the time of a first publish. Only the
-- publish transaction writes these rows, after it has inserted the batch.
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
    geom geometry(MultiPolygon) NOT NULL CHECK (st_srid(geom) IN (4326, 3857)),
    content_hash text NOT NULL,
    batch_id bigint NOT NULL,
    first_seen timestamptz NOT NULL,
    last_changed timestamptz NOT NULL,
    PRIMARY KEY (jurisdiction, parcel_id)
);
CREATE INDEX parcel_geom ON zoning.parcel USING gist (geom);
CREATE INDEX parcel_tile ON zoning.parcel (jurisdiction, tile);
COMMENT ON TABLE zoning.parcel IS 'A parcel now. geom: target CRS of the jurisdiction; area_m2: in its equal-area frame.';

CREATE TABLE zoning.parcel_version (
    LIKE zoning.parcel INCLUDING CONSTRAINTS,
    system_from timestamptz NOT NULL,
    system_to timestamptz NOT NULL,
    legal_from date,
    legal_to date,
    ended_by bigint NOT NULL,
    CHECK (system_from <= system_to)
);
CREATE INDEX parcel_version_key ON zoning.parcel_version (jurisdiction, parcel_id, system_from);
COMMENT ON TABLE zoning.parcel_version IS 'What a parcel was, and when we knew it so. ended_by: the batch that ended it.';

-- A date that a portal sends as text; NULL if it is invalid, so that the other rows can be published.
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
    geom geometry(MultiPolygon) NOT NULL CHECK (st_srid(geom) IN (4326, 3857)),
    content_hash text NOT NULL,
    batch_id bigint NOT NULL,
    first_seen timestamptz NOT NULL,
    last_changed timestamptz NOT NULL,
    PRIMARY KEY (jurisdiction, district_id)
);
CREATE INDEX district_geom ON zoning.district USING gist (geom);
COMMENT ON TABLE zoning.district IS 'A polygon of the zoning map now. Without a key column district_id is made of the content.';

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

CREATE TABLE zoning.rejection (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch_id bigint NOT NULL REFERENCES zoning.batch (id),
    jurisdiction text NOT NULL,
    tile text,
    feed text NOT NULL,
    reason text NOT NULL,
    detail text,
    raw jsonb NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'superseded'))
);
CREATE INDEX rejection_place ON zoning.rejection (jurisdiction, feed, tile) WHERE state = 'open';
COMMENT ON TABLE zoning.rejection IS 'A row held back. superseded: a newer batch of its place judged the rows anew.';
