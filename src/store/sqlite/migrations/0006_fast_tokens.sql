-- Tokens of FAST (XEP-0484): at most two of a client, of which one has been used.

CREATE TABLE fast_tokens (
    account       TEXT    NOT NULL,
    client        TEXT    NOT NULL,
    used          INTEGER NOT NULL,
    mechanism     TEXT    NOT NULL,
    secret_sha256 BLOB    NOT NULL,
    issued        INTEGER NOT NULL,
    expires       INTEGER NOT NULL,
    count         INTEGER,
    PRIMARY KEY (account, client, used)
) STRICT, WITHOUT ROWID;
