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
COMMENT ON TABLE zoning.queue IS 'Messages that wait, unless ZONING_QUEUE_URL names another queue. NAME.dead: its dead letters.';

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
COMMENT ON TABLE zoning.received IS 'Messages whose amendment is stored: one that is delivered again tells nothing.';
