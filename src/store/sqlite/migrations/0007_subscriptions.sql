-- Subscription options, leases, and what is known of nodes without counting.

-- `options` holds what differs from the defaults, a line each. `expires` is when a lease ends, 0 where
-- the subscription ends with the presence of its subscriber, and NULL where it does not end by itself.
ALTER TABLE subscriptions ADD COLUMN options TEXT NOT NULL DEFAULT '';
ALTER TABLE subscriptions ADD COLUMN expires INTEGER;

CREATE INDEX subscriptions_by_expires ON subscriptions (expires) WHERE expires IS NOT NULL;

-- How many subscriptions a node has that are not pending.
ALTER TABLE nodes ADD COLUMN subscribers INTEGER NOT NULL DEFAULT 0;
UPDATE nodes SET subscribers = (SELECT count(*) FROM subscriptions s WHERE s.node = nodes.key AND s.state <> 'pending');

-- The seq at which an item of this id was published that was new; overwriting it does not change that.
ALTER TABLE items ADD COLUMN created INTEGER NOT NULL DEFAULT 0;
UPDATE items SET created = seq;

-- Owners and publishers are named in metadata, among whatever number of members.
CREATE INDEX affiliations_leading ON affiliations (node, affiliation, jid)
    WHERE affiliation IN ('owner', 'publisher');
