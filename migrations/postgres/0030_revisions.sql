-- The transaction that last changed a rotation's record, so that a list of rotations reads those that changed
-- since it was last read. Every transaction that begins or ends a run also writes the row of its rotation.
ALTER TABLE rotations ADD COLUMN changed_by bigint NOT NULL DEFAULT 0;

CREATE INDEX rotations_by_change ON rotations (changed_by);

CREATE FUNCTION rotation_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changed_by := pg_current_xact_id()::text::bigint;
    RETURN NEW;
END
$$;

CREATE TRIGGER rotation_changed BEFORE INSERT OR UPDATE ON rotations
    FOR EACH ROW EXECUTE FUNCTION rotation_changed();
