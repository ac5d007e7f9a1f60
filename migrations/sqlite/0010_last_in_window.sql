-- The last run of a rotation that had a window is asked for at each start: of all rotations, however long their history.
CREATE INDEX runs_last_in_window ON runs (rotation, seq) WHERE opens IS NOT NULL;
