-- In whose rosters somebody stands: asked when an account goes.
CREATE INDEX contacts_by_contact ON contacts (contact, owner);
