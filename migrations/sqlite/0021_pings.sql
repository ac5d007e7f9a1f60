-- One row, which every check of the journal writes: a full disk is noticed before a run needs it.
CREATE TABLE pings (
    one INTEGER PRIMARY KEY NOT NULL CHECK (one = 1),
    -- Seconds since 1970-01-01 UTC.
    at INTEGER NOT NULL
) STRICT;
