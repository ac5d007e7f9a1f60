-- A tag under the store's key over the secret's ARN, name, version ids and labels. NULL only in files
-- of earlier versions, until the store is opened once.
ALTER TABLE secrets ADD COLUMN label_seal BLOB;
