-- How many accounts there are, so that nobody needs to count them: all, those that are shut out, and
-- the administrators that are not.
CREATE TABLE account_totals (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    accounts INTEGER NOT NULL,
    disabled INTEGER NOT NULL,
    admins   INTEGER NOT NULL
) STRICT;

INSERT INTO account_totals (one, accounts, disabled, admins)
SELECT 1, count(*), coalesce(sum(disabled), 0), coalesce(sum(admin AND NOT disabled), 0) FROM accounts;

CREATE TRIGGER an_account_came AFTER INSERT ON accounts BEGIN
    UPDATE account_totals SET
        accounts = accounts + 1,
        disabled = disabled + new.disabled,
        admins = admins + (new.admin AND NOT new.disabled);
END;

CREATE TRIGGER an_account_changed AFTER UPDATE ON accounts BEGIN
    UPDATE account_totals SET
        disabled = disabled + new.disabled - old.disabled,
        admins = admins + (new.admin AND NOT new.disabled) - (old.admin AND NOT old.disabled);
END;

CREATE TRIGGER an_account_went AFTER DELETE ON accounts BEGIN
    UPDATE account_totals SET
        accounts = accounts - 1,
        disabled = disabled - old.disabled,
        admins = admins - (old.admin AND NOT old.disabled);
END;
