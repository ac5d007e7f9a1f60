-- The journal that any number of workers share: runs, their steps, and what is remembered of each rotation.
-- No password, ever. Leases are by this server's clock, all other times by the workers'.

CREATE TABLE rotations (
    name text PRIMARY KEY,
    paused boolean NOT NULL DEFAULT false,
    first_seen timestamptz,
    last_success timestamptz,
    last_flip timestamptz,
    -- When the user that AWSPREVIOUS names was locked; no flip since then.
    retired timestamptz,
    -- What was last seen of the secret: all or nothing, but for the host.
    engine text,
    host text,
    active_user text,
    standby_user text,
    CHECK ((engine IS NULL) = (active_user IS NULL) AND (engine IS NULL) = (standby_user IS NULL))
);

CREATE TABLE runs (
    -- Breaks ties between runs that started in the same microsecond.
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id uuid NOT NULL UNIQUE,
    rotation text NOT NULL REFERENCES rotations (name),
    "trigger" text NOT NULL CHECK ("trigger" IN ('schedule', 'manual', 'recovery')),
    reason text,
    opens timestamptz,
    closes timestamptz,
    state text NOT NULL CHECK (state IN ('running', 'succeeded', 'failed', 'missed', 'deferred')),
    worker text NOT NULL,
    version_id text NOT NULL,
    from_user text,
    to_user text,
    started timestamptz NOT NULL,
    finished timestamptz,
    -- Also the fencing token: every claim counts it up, and every write about the run names it.
    attempt integer NOT NULL CHECK (attempt >= 1),
    error_code text,
    error_message text,
    error_hint text,
    -- Until when the claim holds without being renewed.
    lease_until timestamptz,
    UNIQUE (rotation, version_id),
    CHECK ((opens IS NULL) = (closes IS NULL)),
    CHECK ((state = 'running') = (lease_until IS NOT NULL)),
    CHECK ((error_code IS NULL) = (error_message IS NULL) AND (error_code IS NULL) = (error_hint IS NULL))
);

-- Two runs of one rotation at once cannot even be written down.
CREATE UNIQUE INDEX runs_one_running ON runs (rotation) WHERE state = 'running';
CREATE INDEX runs_on ON runs (state) WHERE state IN ('running', 'deferred');
CREATE INDEX runs_newest ON runs (started, seq);
CREATE INDEX runs_newest_by_rotation ON runs (rotation, started, seq);
CREATE INDEX runs_newest_by_state ON runs (state, started, seq);
CREATE INDEX runs_in_windows ON runs (rotation, seq) WHERE opens IS NOT NULL;

CREATE TABLE steps (
    run uuid NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    attempt integer NOT NULL,
    name text NOT NULL CHECK (name IN ('create', 'set', 'test', 'finish')),
    state text NOT NULL CHECK (state IN ('running', 'succeeded', 'failed')),
    started timestamptz NOT NULL,
    finished timestamptz,
    detail text,
    PRIMARY KEY (run, attempt, name)
);

-- A run with the steps of its current attempt, as the program and its users see it.
CREATE VIEW run_documents AS
SELECT runs.*,
       jsonb_build_object(
           'id', id, 'rotation', rotation, 'trigger', "trigger", 'reason', reason,
           'window', CASE WHEN opens IS NOT NULL
                          THEN jsonb_build_object('opens', opens, 'closes', closes) END,
           'state', state, 'worker', worker, 'version_id', version_id,
           'from_user', from_user, 'to_user', to_user, 'started', started, 'finished', finished,
           'attempt', attempt,
           'steps', COALESCE((
               SELECT jsonb_agg(
                          jsonb_build_object('name', s.name, 'state', s.state, 'started', s.started,
                                             'finished', s.finished, 'detail', s.detail)
                          ORDER BY array_position(ARRAY['create', 'set', 'test', 'finish'], s.name))
                 FROM steps s WHERE s.run = runs.id AND s.attempt = runs.attempt), '[]'),
           'error', CASE WHEN error_code IS NOT NULL
                         THEN jsonb_build_object('code', error_code, 'message', error_message,
                                                 'hint', error_hint) END
       ) AS document
  FROM runs;
