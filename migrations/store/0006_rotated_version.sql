-- The version of the last success of a secret's function, so that a repeated RotateSecret succeeds.
ALTER TABLE secrets ADD COLUMN rotated_version TEXT;
