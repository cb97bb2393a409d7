//! What an account leaves behind at nodes and in the rosters of others, taken away when it goes: whoever
//! has its name next inherits nothing.

use rusqlite::{Connection, params};

use crate::jid::BareJid;
use crate::pubsub::{PUBLIC, SUBSCRIBERS};
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
    forget_public(db, jid)?;
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

/// Takes it from among the public subscribers of nodes (XEP-0465), where its subscriptions say that it is. No event
/// tells of it: the position of a log is the turns' to move, and there is nobody any more of whom to tell.
fn forget_public(db: &Connection, jid: &str) -> Result<(), Trouble> {
    let places: Vec<(i64, i64)> = collect(
        db,
        "SELECT DISTINCT p.key, i.seq FROM subscriptions s JOIN nodes n ON n.key = s.node \
         JOIN nodes p ON p.service = n.service AND p.node = ?2 || n.node AND p.owners = 0 \
         JOIN items i ON i.node = p.key AND i.item_id = ?1 WHERE s.bare = ?1 AND instr(s.options, ?3) > 0",
        params![jid, SUBSCRIBERS, PUBLIC],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    for (node, seq) in places {
        for sql in [
            "DELETE FROM items WHERE node = ?1 AND seq = ?2",
            "DELETE FROM log WHERE node = ?1 AND seq = ?2 AND seq < (SELECT floor_seq FROM nodes WHERE key = ?1)",
            "UPDATE log SET payload = NULL, media = NULL, namespace = NULL WHERE node = ?1 AND seq = ?2",
            "UPDATE nodes SET items = items - 1, version = version + 1 WHERE key = ?1 AND ?2 = ?2",
        ] {
            db.prepare_cached(sql)?.execute([node, seq])?;
        }
    }
    Ok(())
}
