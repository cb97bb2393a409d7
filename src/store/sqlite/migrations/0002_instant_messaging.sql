-- Rosters, block lists and messages that wait for their receiver.

-- The version of an account's roster only grows.
CREATE TABLE rosters (
    owner   TEXT    NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- `groups` is a list of counted texts, `links` a set of bits (see contacts.rs), `request` the stanza
-- of a contact that asks to see the owner's presence and was not answered.
CREATE TABLE contacts (
    owner   TEXT    NOT NULL,
    contact TEXT    NOT NULL,
    name    TEXT,
    groups  TEXT    NOT NULL,
    links   INTEGER NOT NULL,
    listed  INTEGER NOT NULL,
    request BLOB,
    PRIMARY KEY (owner, contact)
) STRICT, WITHOUT ROWID;

CREATE TABLE blocked (
    owner TEXT NOT NULL,
    jid   TEXT NOT NULL,
    PRIMARY KEY (owner, jid)
) STRICT, WITHOUT ROWID;

CREATE TABLE offline_messages (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    owner  TEXT    NOT NULL,
    time   INTEGER NOT NULL,
    stanza BLOB    NOT NULL
) STRICT;

CREATE INDEX offline_messages_by_owner ON offline_messages (owner, id);
