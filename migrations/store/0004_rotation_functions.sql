-- The rotation function that RotateSecret set for a secret; 0 since CancelRotateSecret; its last success.
ALTER TABLE secrets ADD COLUMN rotation_function TEXT;
ALTER TABLE secrets ADD COLUMN rotation_enabled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE secrets ADD COLUMN rotated INTEGER;
