-- Archives of messages between people (XEP-0313). A number is handed out once, whatever becomes of it.

ALTER TABLE meta ADD COLUMN next_archive_number INTEGER NOT NULL DEFAULT 1;

-- Messages come at the end, whosever they are: in the order of numbers they are in that of time too.
CREATE TABLE archived (
    number   INTEGER PRIMARY KEY,
    owner    TEXT    NOT NULL,
    time     INTEGER NOT NULL,
    peer     TEXT    NOT NULL,
    resource TEXT,
    stanza   BLOB    NOT NULL
) STRICT;

-- The row's number stands at the end of each entry.
CREATE INDEX archived_by_time ON archived (owner, time);
CREATE INDEX archived_by_peer ON archived (owner, peer, time);

-- How much each archive has, and the time of its last message; what its owner has said of it, as
-- counted texts.
CREATE TABLE archives (
    owner     TEXT    NOT NULL PRIMARY KEY,
    messages  INTEGER NOT NULL,
    last_time INTEGER NOT NULL,
    others    TEXT,
    always    TEXT,
    never     TEXT
) STRICT, WITHOUT ROWID;
