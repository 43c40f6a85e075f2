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
COMMENT ON TABLE zoning.survey IS 'What a release looked like before it was published, and what spoke against it. held: it waits for a person. contents: tile -> content hash and harvest.';
