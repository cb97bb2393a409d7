-- Whoever speaks for a whole domain (a component, a server behind which we are one) watches for all
-- its addresses. A bare JID has one `@` at most, and its domain behind it.
CREATE INDEX subscriptions_by_domain
    ON subscriptions (substr(bare, instr(bare, '@') + 1), node, bare, resource, subid);
