-- The newest success of a rotation is never removed, however many failures follow it.
CREATE INDEX runs_last_success ON runs (rotation, started, seq) WHERE state = 'succeeded';
