-- Listings of the stores for [[discover]]. Times are microseconds since 1970-01-01 UTC.
CREATE TABLE discovery_listings (
    -- The store and the filters.
    query TEXT PRIMARY KEY NOT NULL,
    store TEXT NOT NULL,
    -- When a worker may ask again.
    due INTEGER NOT NULL,
    asked INTEGER NOT NULL,
    worker TEXT NOT NULL,
    -- When a listing was last complete. NULL: never.
    listed INTEGER,
    -- Why the last listing was not complete; a JSON document.
    problem TEXT,
    -- Grows when a listing changes the secrets.
    revision INTEGER NOT NULL DEFAULT 0
) STRICT;

-- The secrets that the listings found. No password, ever.
CREATE TABLE discovered_secrets (
    -- The name of the [[store]]; empty for [secrets].
    store TEXT NOT NULL,
    arn TEXT NOT NULL,
    -- A JSON document: name, tags and owner.
    listed TEXT NOT NULL,
    -- Why it is not found any more, and since when.
    gone TEXT,
    gone_at INTEGER,
    -- The name that its rotation has or had.
    rotation TEXT,
    -- When its rotation was armed. NULL: it is not.
    armed INTEGER,
    -- Why it has no rotation although it is to have one.
    refusal TEXT,
    PRIMARY KEY (store, arn)
) STRICT;
