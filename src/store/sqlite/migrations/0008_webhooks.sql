-- Endpoints that are called with what happens at a node. `key` signs what is sent.
CREATE TABLE webhooks (
    id            TEXT    NOT NULL PRIMARY KEY,
    service       TEXT    NOT NULL,
    node          TEXT    NOT NULL,
    node_key      INTEGER NOT NULL,
    owner         TEXT    NOT NULL,
    url           TEXT    NOT NULL,
    -- A list of counted texts.
    types         TEXT    NOT NULL,
    key           BLOB    NOT NULL,
    ordered       INTEGER NOT NULL,
    created       INTEGER NOT NULL,
    disabled      TEXT,
    failing_since INTEGER,
    position      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX webhooks_by_node ON webhooks (node_key, id);

-- Deliveries that have failed: `due` is when they are tried again, and NULL where they are given up.
CREATE TABLE parked (
    webhook  TEXT    NOT NULL,
    seq      INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    due      INTEGER,
    error    TEXT    NOT NULL,
    body     BLOB    NOT NULL,
    PRIMARY KEY (webhook, seq)
) STRICT;
