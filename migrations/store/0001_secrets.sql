-- The embedded store. Times are milliseconds since 1970, UTC.

-- One row: a known text under the key, by which a wrong key file is told from a damaged value.
CREATE TABLE key_check (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    sealed BLOB NOT NULL
) STRICT;

CREATE TABLE secrets (
    arn         TEXT PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    description TEXT,
    created     INTEGER NOT NULL,
    changed     INTEGER NOT NULL,
    -- Marked for deletion then; gone for good from `due` on.
    deleted     INTEGER,
    due         INTEGER,
    CHECK ((deleted IS NULL) = (due IS NULL))
) STRICT;

CREATE TABLE versions (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    secret  TEXT NOT NULL REFERENCES secrets (arn) ON DELETE CASCADE,
    id      TEXT NOT NULL,
    is_text INTEGER NOT NULL CHECK (is_text IN (0, 1)),
    sealed  BLOB NOT NULL,
    created INTEGER NOT NULL,
    UNIQUE (secret, id)
) STRICT;

-- The primary key is why no label is ever on two versions; the reference is why a labelled version
-- cannot be pruned.
CREATE TABLE labels (
    secret  TEXT NOT NULL REFERENCES secrets (arn) ON DELETE CASCADE,
    label   TEXT NOT NULL,
    version TEXT NOT NULL,
    PRIMARY KEY (secret, label),
    FOREIGN KEY (secret, version) REFERENCES versions (secret, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE tags (
    secret TEXT NOT NULL REFERENCES secrets (arn) ON DELETE CASCADE,
    key    TEXT NOT NULL,
    value  TEXT NOT NULL,
    PRIMARY KEY (secret, key)
) STRICT, WITHOUT ROWID;
