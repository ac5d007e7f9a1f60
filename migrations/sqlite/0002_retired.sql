-- When the user that AWSPREVIOUS names was locked (`retire_after`); no flip since then.
ALTER TABLE rotations ADD COLUMN retired INTEGER;
