-- The latest attempts of each endpoint: a ring of slots, in the order of `number`.
CREATE TABLE webhook_attempts (
    webhook TEXT    NOT NULL,
    slot    INTEGER NOT NULL,
    number  INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    time    INTEGER NOT NULL,
    took_ms INTEGER NOT NULL,
    outcome TEXT    NOT NULL,
    success INTEGER NOT NULL,
    PRIMARY KEY (webhook, slot)
) STRICT, WITHOUT ROWID;
