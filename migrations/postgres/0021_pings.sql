-- One row, which every check of the journal writes: a full disk is noticed before a run needs it.
CREATE TABLE pings (
    one integer PRIMARY KEY CHECK (one = 1),
    at timestamptz NOT NULL
);
