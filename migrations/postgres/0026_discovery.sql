-- Listings of the stores for [[discover]]. Its workers share them: one of them asks.
CREATE TABLE discovery_listings (
    -- The store and the filters.
    query text PRIMARY KEY,
    store text NOT NULL,
    -- When a worker may ask again.
    due timestamptz NOT NULL,
    asked timestamptz NOT NULL,
    worker text NOT NULL,
    -- When a listing was last complete. NULL: never.
    listed timestamptz,
    -- Why the last listing was not complete.
    problem jsonb,
    -- Grows when a listing changes the secrets.
    revision bigint NOT NULL DEFAULT 0
);

-- The secrets that the listings found. No password, ever.
CREATE TABLE discovered_secrets (
    -- The name of the [[store]]; empty for [secrets].
    store text NOT NULL,
    arn text NOT NULL,
    -- A JSON document: name, tags and owner.
    listed text NOT NULL,
    -- Why it is not found any more, and since when.
    gone text,
    gone_at timestamptz,
    -- The name that its rotation has or had.
    rotation text,
    -- When its rotation was armed. NULL: it is not.
    armed timestamptz,
    -- Why it has no rotation although it is to have one.
    refusal text,
    PRIMARY KEY (store, arn)
);
