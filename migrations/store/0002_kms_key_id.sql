-- What CreateSecret and UpdateSecret were given: it is told again, and encrypts nothing here.
ALTER TABLE secrets ADD COLUMN kms_key_id TEXT;
