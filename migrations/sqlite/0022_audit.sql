-- Who did what, why, and with which outcome. Rows are only added. No password, ever.
CREATE TABLE audit (
    -- Breaks ties between records of one microsecond.
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    -- Microseconds since 1970-01-01 UTC.
    at INTEGER NOT NULL,
    -- A JSON object: kind, name, address.
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    -- NULL: an action on the worker.
    rotation TEXT,
    reason TEXT,
    -- The id of a run.
    run TEXT,
    outcome TEXT NOT NULL CHECK (outcome IN ('done', 'refused', 'failed')),
    code TEXT
) STRICT;

CREATE INDEX audit_newest ON audit (at, seq);
CREATE INDEX audit_newest_by_rotation ON audit (rotation, at, seq);

-- Who requested a run, as in `audit`. NULL: a run of a version before the records.
ALTER TABLE runs ADD COLUMN actor TEXT;

-- Details of a pause, a JSON object: by, at, reason, until. NULL: not known, or not paused.
ALTER TABLE rotations ADD COLUMN pause TEXT;
