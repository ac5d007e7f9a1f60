-- Limits that all workers keep together. Times are this server's.

-- One row: until when the writes to the store that were granted so far use up its quota.
CREATE TABLE store_quota (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    used_until timestamptz NOT NULL
);

-- A row a place at a database host; free once its time is over.
CREATE TABLE host_places (
    host text NOT NULL,
    place integer NOT NULL CHECK (place >= 1),
    holder uuid,
    until timestamptz NOT NULL,
    PRIMARY KEY (host, place)
);
CREATE INDEX host_places_by_holder ON host_places (holder) WHERE holder IS NOT NULL;
