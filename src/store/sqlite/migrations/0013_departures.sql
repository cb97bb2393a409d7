-- When an account was available last, and what it said as it went.
CREATE TABLE departures (
    owner  TEXT    NOT NULL PRIMARY KEY,
    time   INTEGER NOT NULL,
    status TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
