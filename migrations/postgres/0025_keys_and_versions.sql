-- Requests with an idempotency key: each is executed once. Rows older than a week are removed. No
-- password, ever.
CREATE TABLE keyed_requests (
    rotation text NOT NULL,
    key text NOT NULL,
    -- The action and the parameters that change its effect.
    request text NOT NULL,
    worker text NOT NULL,
    at timestamptz NOT NULL,
    -- NULL: the request has not ended, or its end was not recorded.
    answer jsonb,
    PRIMARY KEY (rotation, key)
);

CREATE INDEX keyed_requests_oldest ON keyed_requests (at);

-- The version that a staging label of a rotation's secret was last known on.
CREATE TABLE known_versions (
    rotation text NOT NULL,
    label text NOT NULL,
    -- The secret, as the config names it.
    secret text NOT NULL,
    version_id text NOT NULL,
    -- When a move was noticed that no run or rollback had made. NULL: there was none since the last run
    -- or rollback.
    changed timestamptz,
    PRIMARY KEY (rotation, label)
);
