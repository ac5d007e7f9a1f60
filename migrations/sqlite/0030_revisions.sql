-- Numbers the changes of the rotation records, so that a list of rotations reads those that changed since it
-- was last read. What a state depends on counts; the steps of runs do not.
ALTER TABLE rotations ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;

CREATE INDEX rotations_by_revision ON rotations (revision);

CREATE TRIGGER rotation_added AFTER INSERT ON rotations BEGIN
    UPDATE rotations SET revision = (SELECT MAX(revision) FROM rotations) + 1 WHERE name = NEW.name;
END;

-- Many updates set the values that a row has already, for example at each start.
CREATE TRIGGER rotation_changed
AFTER UPDATE OF paused, pause, first_seen, last_success, last_flip, refused, engine, host ON rotations
WHEN (OLD.paused, OLD.pause, OLD.first_seen, OLD.last_success, OLD.last_flip, OLD.refused, OLD.engine, OLD.host)
    IS NOT (NEW.paused, NEW.pause, NEW.first_seen, NEW.last_success, NEW.last_flip, NEW.refused, NEW.engine, NEW.host)
BEGIN
    UPDATE rotations SET revision = (SELECT MAX(revision) FROM rotations) + 1 WHERE name = NEW.name;
END;

CREATE TRIGGER run_added AFTER INSERT ON runs BEGIN
    UPDATE rotations SET revision = (SELECT MAX(revision) FROM rotations) + 1 WHERE name = NEW.rotation;
END;

CREATE TRIGGER run_changed AFTER UPDATE OF state ON runs BEGIN
    UPDATE rotations SET revision = (SELECT MAX(revision) FROM rotations) + 1 WHERE name = NEW.rotation;
END;
