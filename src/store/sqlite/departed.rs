//! What an account leaves behind at nodes and in the rosters of others, taken away when it goes: whoever
//! has its name next inherits nothing.

use rusqlite::{Connection, params};

use crate::jid::BareJid;
use crate::store::sqlite::commit;
use crate::store::sqlite::read::collect;
use crate::store::sqlite::trouble::Trouble;

/// Its cost grows with what the account has.
pub(super) fn forget(db: &Connection, jid: &BareJid) -> Result<(), Trouble> {
    let jid = jid.as_str();
    let own: Vec<i64> = collect(db, "SELECT key FROM nodes WHERE service = ?1", params![jid], |row| row.get(0))?;
    for key in own {
        commit::erase(db, key)?;
    }
    for sql in [
        "DELETE FROM services WHERE service = ?1",
        "DELETE FROM tombstones WHERE service = ?1",
        // A node keeps an owner: where there was no other, it is the service, for whom administrators speak.
        "INSERT INTO affiliations (node, jid, affiliation) \
         SELECT nodes.key, nodes.service, 'owner' FROM affiliations AS left_behind JOIN nodes ON nodes.key = left_behind.node \
         WHERE left_behind.jid = ?1 AND left_behind.affiliation = 'owner' AND nodes.owners = 1 \
         ON CONFLICT (node, jid) DO UPDATE SET affiliation = excluded.affiliation",
        // The owner whose address items bear is another; the line is the configuration's last (`NodeConfig::to_text`).
        "UPDATE nodes SET config = replace(config, char(10) || 'shown_owner=' || ?1 || char(10), \
         char(10) || 'shown_owner=' || (SELECT jid FROM affiliations \
          WHERE node = nodes.key AND affiliation = 'owner' AND jid <> ?1 ORDER BY jid LIMIT 1) || char(10)) \
         WHERE key IN (SELECT node FROM affiliations WHERE jid = ?1 AND affiliation = 'owner')",
        "UPDATE nodes SET owners = owners - 1 WHERE owners > 1 AND key IN \
         (SELECT node FROM affiliations WHERE jid = ?1 AND affiliation = 'owner')",
        // The version moves, so that nothing is committed upon what was known before.
        "UPDATE nodes SET version = version + 1, subscribers = subscribers - \
         (SELECT count(*) FROM subscriptions AS gone WHERE gone.node = nodes.key AND gone.bare = ?1 \
          AND gone.state <> 'pending') \
         WHERE key IN (SELECT node FROM affiliations WHERE jid = ?1 \
                       UNION SELECT node FROM subscriptions WHERE bare = ?1)",
        "DELETE FROM affiliations WHERE jid = ?1",
        "DELETE FROM subscriptions WHERE bare = ?1",
        "UPDATE rosters SET version = version + 1 WHERE owner IN (SELECT owner FROM contacts WHERE contact = ?1)",
        "DELETE FROM contacts WHERE contact = ?1 AND listed = 0",
        "UPDATE contacts SET links = 0, request = NULL WHERE contact = ?1",
    ] {
        db.prepare_cached(sql)?.execute([jid])?;
    }
    Ok(())
}
