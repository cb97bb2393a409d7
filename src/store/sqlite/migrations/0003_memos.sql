-- What was answered under idempotency keys, written in the transaction of the publish.
CREATE TABLE memos (
    caller      TEXT    NOT NULL,
    service     TEXT    NOT NULL,
    node        TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    fingerprint BLOB    NOT NULL,
    node_key    INTEGER NOT NULL,
    created     INTEGER NOT NULL,
    -- Each item's seq, time, replaced flag and counted name.
    items       BLOB    NOT NULL,
    expires     INTEGER NOT NULL,
    PRIMARY KEY (caller, service, node, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX memos_by_expiry ON memos (expires);

-- How many each caller has, so that nobody needs to count them.
CREATE TABLE memo_counts (
    caller TEXT    NOT NULL PRIMARY KEY,
    memos  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
