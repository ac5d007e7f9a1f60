-- Requests with an idempotency key: each is executed once. Rows older than a week are removed. No
-- password, ever.
CREATE TABLE keyed_requests (
    rotation TEXT NOT NULL,
    "key" TEXT NOT NULL,
    -- The action and the parameters that change its effect.
    request TEXT NOT NULL,
    worker TEXT NOT NULL,
    -- Microseconds since 1970-01-01 UTC.
    at INTEGER NOT NULL,
    -- A JSON document. NULL: the request has not ended, or its end was not recorded.
    answer TEXT,
    PRIMARY KEY (rotation, "key")
) STRICT;

CREATE INDEX keyed_requests_oldest ON keyed_requests (at);

-- The version that a staging label of a rotation's secret was last known on.
CREATE TABLE known_versions (
    rotation TEXT NOT NULL,
    label TEXT NOT NULL,
    -- The secret, as the config names it.
    secret TEXT NOT NULL,
    version_id TEXT NOT NULL,
    -- When a move was noticed that no run or rollback had made. NULL: there was none since the last run
    -- or rollback.
    changed INTEGER,
    PRIMARY KEY (rotation, label)
) STRICT;
