-- What the server of a pair reports as its identity. NULL: not known, or a row of an older version.
ALTER TABLE pairs ADD COLUMN server_identity text;

CREATE INDEX pairs_by_server_identity ON pairs (server_identity);

-- The port of the secret with `host`. NULL: not known, or a row of an older version.
ALTER TABLE rotations ADD COLUMN port integer;
