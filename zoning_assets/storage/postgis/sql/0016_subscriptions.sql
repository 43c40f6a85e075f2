-- The log of what consumers are told. Triggers write it, so that no path into the tables can forget it. `number` is the order
-- of writing. Transactions commit in another order: a reader that remembers the largest number that it saw would miss the
-- rows of a slower transaction. Therefore `position` is given later, to rows that are committed (change_log.sql, `sequence`).
CREATE TABLE zoning.change_log (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    position bigint UNIQUE,
    jurisdiction text NOT NULL,
    action text NOT NULL CHECK (
        action IN ('added', 'changed', 'retired', 'retracted', 'restored', 'published', 'codes')
    ),
    change_id text,
    batch_id bigint,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX change_log_new ON zoning.change_log (number) WHERE position IS NULL;
CREATE INDEX change_log_change ON zoning.change_log (change_id) WHERE change_id IS NOT NULL;
ALTER TABLE zoning.change_log ALTER COLUMN jurisdiction SET STATISTICS 0;

-- What a change is for a consumer. One that a person accepts after a review was never told before, so it is not restored.
CREATE FUNCTION zoning.log_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'event' THEN RETURN NULL; END IF;
    ELSIF (OLD.state = 'event') = (NEW.state = 'event') THEN
        RETURN NULL;
    END IF;
    INSERT INTO zoning.change_log (jurisdiction, action, change_id) VALUES (NEW.jurisdiction, CASE
        WHEN NEW.state <> 'event' THEN 'retracted'
        WHEN TG_OP = 'UPDATE' AND EXISTS (SELECT FROM zoning.change_log WHERE change_id = NEW.id) THEN 'restored'
        WHEN NEW.kind IN ('added', 'retired') THEN NEW.kind
        ELSE 'changed'
    END, NEW.id);
    RETURN NULL;
END $$;
CREATE TRIGGER change_is_logged AFTER INSERT OR UPDATE OF state ON zoning.change
    FOR EACH ROW EXECUTE FUNCTION zoning.log_change();

CREATE FUNCTION zoning.log_batch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO zoning.change_log (jurisdiction, action, batch_id) VALUES (NEW.jurisdiction, 'published', NEW.id);
    RETURN NULL;
END $$;
CREATE TRIGGER batch_is_logged AFTER INSERT ON zoning.batch FOR EACH ROW EXECUTE FUNCTION zoning.log_batch();

CREATE FUNCTION zoning.log_codes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO zoning.change_log (jurisdiction, action) VALUES (NEW.jurisdiction, 'codes');
    RETURN NULL;
END $$;
CREATE TRIGGER code_is_logged AFTER UPDATE ON zoning.code FOR EACH ROW
    WHEN (OLD.zone_type IS DISTINCT FROM NEW.zone_type) EXECUTE FUNCTION zoning.log_codes();

-- What is known already, for feeds that show earlier changes.
INSERT INTO zoning.change_log (jurisdiction, action, change_id, at)
SELECT jurisdiction, CASE WHEN kind IN ('added', 'retired') THEN kind ELSE 'changed' END, id, detected
FROM zoning.change WHERE state = 'event' ORDER BY detected, facet <> 'parcel', id;

CREATE TABLE zoning.subscription (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE,
    name text NOT NULL UNIQUE,
    sink text NOT NULL CHECK (sink IN ('webhook', 'email', 'atom', 'delta', 'postgis')),
    target text NOT NULL,
    consumer_table text,
    allowed_networks text[] NOT NULL,
    daily boolean NOT NULL,
    jurisdiction text,
    area geometry(Geometry, 4326),
    kinds text[],
    code_pattern text,
    min_area_m2 double precision,
    follows boolean NOT NULL,
    position bigint NOT NULL,
    sending_to bigint,
    attempts integer NOT NULL DEFAULT 0,
    not_before timestamptz,
    error text,
    paused boolean NOT NULL DEFAULT false,
    delivered bigint NOT NULL DEFAULT 0,
    last_delivered timestamptz,
    created timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL
);
ALTER TABLE zoning.subscription ALTER COLUMN jurisdiction SET STATISTICS 0;

-- Readers may not read this table (roles.sql).
CREATE TABLE zoning.subscription_secret (
    subscription bigint PRIMARY KEY REFERENCES zoning.subscription (id) ON DELETE CASCADE,
    target text NOT NULL,
    signing_key text
);

CREATE TABLE zoning.subscription_parcel (
    subscription bigint NOT NULL REFERENCES zoning.subscription (id) ON DELETE CASCADE,
    parcel_id text NOT NULL,
    came_from text,
    position bigint NOT NULL,
    PRIMARY KEY (subscription, parcel_id)
);
