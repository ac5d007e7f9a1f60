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
