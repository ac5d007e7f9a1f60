-- The journal: runs, their steps, and what is remembered of each rotation. No password, ever.
-- Times are microseconds since 1970-01-01 UTC.

CREATE TABLE rotations (
    name TEXT PRIMARY KEY NOT NULL,
    paused INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
    first_seen INTEGER,
    last_success INTEGER,
    last_flip INTEGER,
    -- What was last seen of the secret: all or nothing, but for the host.
    engine TEXT,
    host TEXT,
    active_user TEXT,
    standby_user TEXT,
    CHECK ((engine IS NULL) = (active_user IS NULL) AND (engine IS NULL) = (standby_user IS NULL))
) STRICT;

CREATE TABLE runs (
    -- Breaks ties between runs that started in the same microsecond.
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    rotation TEXT NOT NULL REFERENCES rotations (name),
    "trigger" TEXT NOT NULL CHECK ("trigger" IN ('schedule', 'manual', 'recovery')),
    reason TEXT,
    opens INTEGER,
    closes INTEGER,
    state TEXT NOT NULL CHECK (state IN ('running', 'succeeded', 'failed', 'missed', 'deferred')),
    worker TEXT NOT NULL,
    version_id TEXT NOT NULL,
    from_user TEXT,
    to_user TEXT,
    started INTEGER NOT NULL,
    finished INTEGER,
    attempt INTEGER NOT NULL CHECK (attempt >= 1),
    error_code TEXT,
    error_message TEXT,
    error_hint TEXT,
    -- Until when the claim holds without being renewed.
    lease_until INTEGER,
    UNIQUE (rotation, version_id),
    CHECK ((opens IS NULL) = (closes IS NULL)),
    CHECK ((state = 'running') = (lease_until IS NOT NULL)),
    CHECK ((error_code IS NULL) = (error_message IS NULL) AND (error_code IS NULL) = (error_hint IS NULL))
) STRICT;

-- Two runs of one rotation at once cannot even be written down.
CREATE UNIQUE INDEX runs_one_running ON runs (rotation) WHERE state = 'running';
CREATE INDEX runs_newest ON runs (started, seq);
CREATE INDEX runs_newest_by_rotation ON runs (rotation, started, seq);
CREATE INDEX runs_newest_by_state ON runs (state, started, seq);

CREATE TABLE steps (
    run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    name TEXT NOT NULL CHECK (name IN ('create', 'set', 'test', 'finish')),
    state TEXT NOT NULL CHECK (state IN ('running', 'succeeded', 'failed')),
    started INTEGER NOT NULL,
    finished INTEGER,
    detail TEXT,
    PRIMARY KEY (run, attempt, name)
) STRICT;
