-- The secret of each rotation, by which a rotation that was renamed in the config is recognised.
CREATE TABLE rotation_secrets (
    rotation TEXT PRIMARY KEY NOT NULL,
    -- As the config has it.
    secret TEXT NOT NULL,
    -- When a worker last had the rotation in its config; microseconds since 1970-01-01 UTC.
    configured INTEGER NOT NULL
) STRICT;
