-- The refusal of AWSCURRENT at the heartbeats (code, message, hint), and when it was first seen. No
-- flip and no accepted heartbeat since then.
ALTER TABLE rotations ADD COLUMN refused jsonb;
ALTER TABLE rotations ADD COLUMN refused_since timestamptz;
