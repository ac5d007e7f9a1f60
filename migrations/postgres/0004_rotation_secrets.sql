-- The secret of each rotation, by which a rotation that was renamed in the config is recognised.
CREATE TABLE rotation_secrets (
    rotation text PRIMARY KEY,
    -- As the config has it.
    secret text NOT NULL,
    -- When a worker last had the rotation in its config.
    configured timestamptz NOT NULL
);
