-- The id of a raw row: a hash without the columns that servers renumber (as in normalize.py). The same id in the next
-- harvest means that the portal sent the same row. The slow pattern is used only for names that may match.
CREATE FUNCTION zoning.row_id(jurisdiction text, feed text, raw jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT left(encode(sha256(convert_to(jsonb_build_array($1, $2, $3 - 'id' - 'attributes' - 'properties', (
        SELECT jsonb_object_agg(key, value) FROM jsonb_each(CASE WHEN jsonb_typeof(said) = 'object' THEN said END)
        WHERE CASE WHEN strpos(lower(key), 'id') + strpos(lower(key), 'shape') = 0 THEN true ELSE
            key !~* '^(.*\.)?(objectid(_\d+)?|fid|ogc_fid|globalid(_\d+)?|(st_)?(area|length|perimeter)\(shape\)'
                '|shape([._ ]*(st)?_*(area|length|leng|len|ar|le|perimeter)(_+\d*|\(\))?)?)$' END
    ))::text, 'UTF8')), 'hex'), 16)
    FROM coalesce($3->'attributes', $3->'properties') AS said
$$;

DROP INDEX zoning.rejection_place;
ALTER TABLE zoning.rejection
    ALTER COLUMN batch_id DROP NOT NULL,
    DROP CONSTRAINT rejection_state_check,
    ADD CONSTRAINT rejection_state_check CHECK (state IN ('open', 'known', 'superseded')),
    ADD COLUMN row_id text NOT NULL GENERATED ALWAYS AS (zoning.row_id(jurisdiction, feed, raw)) STORED;
CREATE INDEX rejection_place ON zoning.rejection (jurisdiction, feed, tile) WHERE state <> 'superseded';
CREATE INDEX rejection_row ON zoning.rejection (row_id) WHERE state <> 'superseded';
COMMENT ON TABLE zoning.rejection IS
    'A row held back. known: a person said so. superseded: a newer batch of its place judged the rows anew. batch_id NULL: so much was held back that nothing was published.';

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
COMMENT ON TABLE zoning.fix IS 'A person''s word on a row that was held back; in force while the portal sends the very same row. columns: the portal''s. used: the last batch made with it.';
