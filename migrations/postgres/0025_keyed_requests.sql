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
