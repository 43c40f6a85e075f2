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
COMMENT ON TABLE zoning.feed IS 'How far a feed is up to date. why: it was worth fetching; error: it could not be asked; current: what stands was last found to be what the portal has; harvested: all of it was published last.';

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
COMMENT ON TABLE zoning.failure IS 'A partition that failed. kind: the error''s name; passes: asking again may succeed; not_before: before it is in vain; asked: when a run that asks again began; dead: it waits for a person.';
