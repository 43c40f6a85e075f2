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
COMMENT ON TABLE zoning.hold IS 'An emergency pause of a jurisdiction, of a host, or (both NULL) of everything.';

CREATE TABLE zoning.audit (
    id bigint PRIMARY KEY,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    deed text NOT NULL,
    subject jsonb NOT NULL,
    reason text NOT NULL,
    hash text NOT NULL
);
COMMENT ON TABLE zoning.audit IS 'Who did what and why, append-only. hash: SHA-256 of the row and of the hash before it.';

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
