-- What nodes are found by beside their names: those that keep nothing, hidden ones, those with an
-- item that is due to go; who waits for approval, and who is to be asked.

ALTER TABLE nodes ADD COLUMN keeps_items INTEGER NOT NULL DEFAULT 1;
UPDATE nodes SET keeps_items = 0
WHERE instr(char(10) || config, char(10) || 'persist_items=0' || char(10)) > 0;

-- The two kinds are kept for different times, so that each has an order of its own.
DROP INDEX nodes_by_oldest_time;
CREATE INDEX nodes_by_oldest_time ON nodes (keeps_items, oldest_time) WHERE oldest_time IS NOT NULL;

ALTER TABLE nodes ADD COLUMN hidden INTEGER NOT NULL DEFAULT 0;
CREATE INDEX nodes_visible ON nodes (service, node) WHERE hidden = 0;
ALTER TABLE services ADD COLUMN hidden INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tombstones ADD COLUMN hidden INTEGER NOT NULL DEFAULT 0;

-- When the oldest item of the node is due to go, where items are.
ALTER TABLE nodes ADD COLUMN item_due INTEGER;
CREATE INDEX nodes_by_item_due ON nodes (item_due) WHERE item_due IS NOT NULL;

CREATE INDEX subscriptions_pending ON subscriptions (node, bare, resource, subid) WHERE state = 'pending';
CREATE INDEX affiliations_of_owners ON affiliations (node, jid) WHERE affiliation = 'owner';
