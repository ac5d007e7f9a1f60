-- The day of the last read through the served store, as its first millisecond.
ALTER TABLE secrets ADD COLUMN accessed INTEGER;
