-- The rate limits of hosts, shared by all processes that send requests.

-- The columns are those of rate_limit.HostBudget, where they are explained. A NULL time means long ago. Times are those of
-- this server.
CREATE TABLE zoning.host_budget (
    host text PRIMARY KEY,
    ceiling double precision NOT NULL DEFAULT 0,
    ceiling_until timestamptz,
    connections integer NOT NULL DEFAULT 0,
    connections_until timestamptz,
    slowed_to double precision NOT NULL DEFAULT 'Infinity',
    slowed_at timestamptz,
    slowed_after bigint NOT NULL DEFAULT 0,
    next_at timestamptz,
    rests_until timestamptz,
    stated_limit integer,
    stated_window_s double precision NOT NULL DEFAULT 0,
    stated_left integer,
    stated_until timestamptz,
    stated_by bigint NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    opened integer NOT NULL DEFAULT 0,
    open_until timestamptz,
    probe bigint NOT NULL DEFAULT 0,
    probe_until timestamptz,
    asked bigint NOT NULL DEFAULT 0,
    refused bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 20);  -- a row is updated at each request; its next version fits on the same page
COMMENT ON TABLE zoning.host_budget IS 'What a host may be asked. To forget what it taught us, delete its row.';
