-- Who may have items at which nodes that keep them only as long as their publishers are online.
CREATE TABLE passing (
    publisher TEXT NOT NULL,
    node      INTEGER NOT NULL,
    PRIMARY KEY (publisher, node)
) STRICT, WITHOUT ROWID;

CREATE INDEX passing_by_node ON passing (node, publisher);
