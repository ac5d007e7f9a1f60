-- The refusal of AWSCURRENT at the heartbeats, as a JSON document (code, message, hint), and when it
-- was first seen; microseconds since 1970-01-01 UTC. No flip and no accepted heartbeat since then.
ALTER TABLE rotations ADD COLUMN refused TEXT;
ALTER TABLE rotations ADD COLUMN refused_since INTEGER;
