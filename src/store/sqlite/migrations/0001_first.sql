-- The first schema. Never edited once released: what changes comes in a migration of its own.
--
-- Text is compared bytewise (BINARY), which is the order that pages promise. Names, JIDs and ids are
-- stored as they were prepared. Times are microseconds since 1970, seqs and versions are integers.

PRAGMA application_id = 1952738919;

CREATE TABLE migrations (
    version INTEGER PRIMARY KEY,
    applied INTEGER NOT NULL
) STRICT;

-- One row. `next_node_key` only grows: a node key is never handed out twice.
CREATE TABLE meta (
    one           INTEGER PRIMARY KEY CHECK (one = 1),
    incarnation   INTEGER NOT NULL,
    cursor_key    BLOB    NOT NULL,
    decoy_key     BLOB    NOT NULL,
    next_node_key INTEGER NOT NULL
) STRICT;

-- How many nodes each service has, so that nobody needs to count them.
CREATE TABLE services (
    service TEXT    NOT NULL PRIMARY KEY,
    nodes   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- `oldest_time` is the time of the event at `floor_seq`, and NULL where the log holds none.
CREATE TABLE nodes (
    key         INTEGER PRIMARY KEY,
    service     TEXT    NOT NULL,
    node        TEXT    NOT NULL,
    config      TEXT    NOT NULL,
    creator     TEXT    NOT NULL,
    created     INTEGER NOT NULL,
    last_seq    INTEGER NOT NULL,
    floor_seq   INTEGER NOT NULL,
    items       INTEGER NOT NULL,
    owners      INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    oldest_time INTEGER,
    UNIQUE (service, node)
) STRICT;

CREATE INDEX nodes_by_oldest_time ON nodes (oldest_time) WHERE oldest_time IS NOT NULL;

CREATE TABLE tombstones (
    service  TEXT    NOT NULL,
    node     TEXT    NOT NULL,
    key      INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    deleted  INTEGER NOT NULL,
    redirect TEXT,
    PRIMARY KEY (service, node)
) STRICT, WITHOUT ROWID;

CREATE INDEX tombstones_by_deleted ON tombstones (deleted);

CREATE TABLE affiliations (
    node        INTEGER NOT NULL,
    jid         TEXT    NOT NULL,
    affiliation TEXT    NOT NULL,
    PRIMARY KEY (node, jid)
) STRICT, WITHOUT ROWID;

CREATE INDEX affiliations_by_jid ON affiliations (jid, node);

-- `resource` is empty where the subscription is an account's and not one session's.
CREATE TABLE subscriptions (
    node     INTEGER NOT NULL,
    bare     TEXT    NOT NULL,
    resource TEXT    NOT NULL,
    subid    TEXT    NOT NULL,
    state    TEXT    NOT NULL,
    PRIMARY KEY (node, bare, resource, subid)
) STRICT, WITHOUT ROWID;

CREATE INDEX subscriptions_by_bare ON subscriptions (bare, node, resource, subid);

-- A current item stands on the log row of its publication, which holds everything else about it.
CREATE TABLE items (
    node    INTEGER NOT NULL,
    item_id TEXT    NOT NULL,
    seq     INTEGER NOT NULL,
    PRIMARY KEY (node, item_id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX items_by_seq ON items (node, seq);

-- A rowid table on purpose: rows with payloads are appended, and only the narrow index is written at
-- many places (see docs/decisions/0002). `prev` is the seq of the publication that this one
-- overwrote. `detail` holds the configuration, the redirect or the notify flag of the other kinds.
-- Rows below the node's `floor_seq` are those that a current item stands on.
CREATE TABLE log (
    id        INTEGER PRIMARY KEY,
    node      INTEGER NOT NULL,
    seq       INTEGER NOT NULL,
    kind      INTEGER NOT NULL,
    time      INTEGER NOT NULL,
    item_id   TEXT,
    publisher TEXT,
    media     INTEGER,
    namespace TEXT,
    prev      INTEGER,
    detail    TEXT,
    payload   BLOB
) STRICT;

CREATE UNIQUE INDEX log_by_seq ON log (node, seq);

CREATE TABLE accounts (
    jid      TEXT    NOT NULL PRIMARY KEY,
    admin    INTEGER NOT NULL,
    disabled INTEGER NOT NULL,
    created  INTEGER NOT NULL,
    -- A PHC string; NULL where the account's verifiers are in scram_keys.
    argon2id TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE scram_keys (
    jid        TEXT    NOT NULL,
    hash       TEXT    NOT NULL,
    salt       BLOB    NOT NULL,
    iterations INTEGER NOT NULL,
    stored_key BLOB    NOT NULL,
    server_key BLOB    NOT NULL,
    PRIMARY KEY (jid, hash)
) STRICT, WITHOUT ROWID;

-- `scopes` is a list of counted texts.
CREATE TABLE tokens (
    id            TEXT    NOT NULL PRIMARY KEY,
    secret_sha256 BLOB    NOT NULL,
    account       TEXT    NOT NULL,
    scopes        TEXT    NOT NULL,
    created       INTEGER NOT NULL,
    expires       INTEGER,
    last_used     INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX tokens_by_account ON tokens (account, id);
