-- Who did what, why, and with which outcome. Rows are only added. No password, ever.
CREATE TABLE audit (
    -- Breaks ties between records of one microsecond.
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id uuid NOT NULL UNIQUE,
    at timestamptz NOT NULL,
    -- kind, name, address.
    actor jsonb NOT NULL,
    action text NOT NULL,
    -- NULL: an action on the worker.
    rotation text,
    reason text,
    -- The id of a run.
    run uuid,
    outcome text NOT NULL CHECK (outcome IN ('done', 'refused', 'failed')),
    code text
);

CREATE INDEX audit_newest ON audit (at, seq);
CREATE INDEX audit_newest_by_rotation ON audit (rotation, at, seq);

-- Who requested a run, as in `audit`. NULL: a run of a version before the records.
ALTER TABLE runs ADD COLUMN actor jsonb;

-- Details of a pause: by, at, reason, until. NULL: not known, or not paused.
ALTER TABLE rotations ADD COLUMN pause jsonb;
