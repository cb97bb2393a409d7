-- What an account's address looks like, so that those that look alike are found. NULL where it was not noted yet,
-- which whoever opens the database does.
ALTER TABLE accounts ADD COLUMN look TEXT;
CREATE INDEX accounts_by_look ON accounts (look);
