-- The pair of users of each rotation, and whose it is.
CREATE TABLE pairs (
    rotation text PRIMARY KEY,
    -- The ARN of the secret, else its name.
    secret text NOT NULL,
    -- Host and port at which the master signs in.
    server text NOT NULL,
    base text NOT NULL,
    clone text NOT NULL,
    -- When a run of the rotation first succeeded with this pair.
    owned timestamptz,
    -- When a run took over a standby that was not the secret's own.
    adopted timestamptz
);
CREATE INDEX pairs_by_server ON pairs (server);
