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
