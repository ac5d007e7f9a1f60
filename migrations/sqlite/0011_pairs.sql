-- The pair of users of each rotation, and whose it is. Times are microseconds since 1970-01-01 UTC.
CREATE TABLE pairs (
    rotation TEXT PRIMARY KEY NOT NULL,
    -- The ARN of the secret, else its name.
    secret TEXT NOT NULL,
    -- Host and port at which the master signs in.
    server TEXT NOT NULL,
    base TEXT NOT NULL,
    clone TEXT NOT NULL,
    -- When a run of the rotation first succeeded with this pair.
    owned INTEGER,
    -- When a run took over a standby that was not the secret's own.
    adopted INTEGER
) STRICT;
CREATE INDEX pairs_by_server ON pairs (server);
