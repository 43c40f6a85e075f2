-- `action` is the common name for what a person did. Values and hashes of the audit do not change.
ALTER TABLE zoning.audit RENAME COLUMN deed TO action;
CREATE OR REPLACE FUNCTION zoning.audit_hash(before text, a zoning.audit) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT encode(sha256(convert_to(jsonb_build_array(
        before, a.id, extract(epoch FROM a.at), a.actor, a.action, a.subject, a.reason
    )::text, 'UTF8')), 'hex')
$$;

ALTER TABLE zoning.fix RENAME COLUMN deed TO action;
ALTER TABLE zoning.fix DROP CONSTRAINT fix_deed_check;
UPDATE zoning.fix SET action = 'fix' WHERE action = 'mend';
ALTER TABLE zoning.fix ADD CONSTRAINT fix_action_check CHECK (action IN ('fix', 'known'));

-- The same functions with plain names for a parameter and an alias.
DROP FUNCTION zoning.date_or_null(text);
CREATE FUNCTION zoning.date_or_null(value text) RETURNS date LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN CASE WHEN value ~ '^\d{4}-\d{2}-\d{2}' THEN make_date(
        substr(value, 1, 4)::int, substr(value, 6, 2)::int, substr(value, 9, 2)::int) END;
EXCEPTION WHEN datetime_field_overflow OR invalid_datetime_format THEN
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION zoning.row_id(jurisdiction text, feed text, raw jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT left(encode(sha256(convert_to(jsonb_build_array($1, $2, $3 - 'id' - 'attributes' - 'properties', (
        SELECT jsonb_object_agg(key, value) FROM jsonb_each(CASE WHEN jsonb_typeof(fields) = 'object' THEN fields END)
        WHERE CASE WHEN strpos(lower(key), 'id') + strpos(lower(key), 'shape') = 0 THEN true ELSE
            key !~* '^(.*\.)?(objectid(_\d+)?|fid|ogc_fid|globalid(_\d+)?|(st_)?(area|length|perimeter)\(shape\)'
                '|shape([._ ]*(st)?_*(area|length|leng|len|ar|le|perimeter)(_+\d*|\(\))?)?)$' END
    ))::text, 'UTF8')), 'hex'), 16)
    FROM coalesce($3->'attributes', $3->'properties') AS fields
$$;
