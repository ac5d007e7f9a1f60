-- A row a store, by account and region where the config has them, else by name. The row of [secrets] has
-- `one`, by which a worker of an earlier version finds it.
ALTER TABLE store_quota DROP CONSTRAINT store_quota_pkey;
ALTER TABLE store_quota ALTER COLUMN one DROP NOT NULL;
ALTER TABLE store_quota ADD COLUMN store text NOT NULL DEFAULT 'secrets';
ALTER TABLE store_quota ADD PRIMARY KEY (store);
ALTER TABLE store_quota ADD UNIQUE (one);
