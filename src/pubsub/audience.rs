//! Who may read, and what a watcher is shown.

use crate::pubsub::{AccessModel, Affiliation, Event, EventKind, NodeConfig, Refusal, Role};

/// May an entity read this node: subscribe, retrieve, and be notified (XEP-0060 §4.1, §4.5)?
pub fn may_read(config: &NodeConfig, affiliation: Affiliation, role: Role) -> bool {
    why_unreadable(config, affiliation, role).is_none()
}

/// Is an XMPP subscriber shown this event, under the configuration with which it was committed?
///
/// What an event shows (a payload, a configuration form) is another question, and
/// `deliver_payloads` answers it.
pub fn shows(config: &NodeConfig, event: &Event) -> bool {
    match &event.kind {
        EventKind::Published { .. } => true,
        EventKind::Retracted { notify, .. } => *notify,
        // XEP-0060 §8.5.2: a purge is told where the deletion of items would be.
        EventKind::Purged => config.notify_retract,
        EventKind::Configured { .. } => config.notify_config,
        EventKind::Deleted { .. } => config.notify_delete,
    }
}

/// The refusal of a reading, if it is refused.
///
/// Where Table 1 of XEP-0060 §4.1 lets "none" retrieve nothing and §4.5 lets anyone read an open
/// node, the access model decides. The whitelist of §4.5 is the list of affiliations: whoever is on
/// it retrieves without being subscribed, as §12.12 has it for owners and publishers.
pub(super) fn why_unreadable(config: &NodeConfig, affiliation: Affiliation, role: Role) -> Option<Refusal> {
    if role == Role::Admin {
        return None;
    }
    match (affiliation, config.access_model) {
        (Affiliation::Owner | Affiliation::Publisher | Affiliation::Member, _) => None,
        (Affiliation::None, AccessModel::Open) => None,
        (Affiliation::None, AccessModel::Whitelist) => Some(Refusal::NotOnWhitelist),
        (Affiliation::PublishOnly, _) => Some(Refusal::Forbidden),
        (Affiliation::Outcast, _) => Some(Refusal::Outcast),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::pubsub::world::{World, bare, item, raw};
    use crate::pubsub::{Payload, Seq};
    use crate::time::Timestamp;

    fn event(kind: EventKind) -> Event {
        Event { seq: Seq(1), time: Timestamp(1), kind }
    }

    /// Each switch hides its own kind of event and no other.
    // rows: 232, 277, 325, 343, 352, F15, F16, F17
    #[test]
    fn subscribers_are_shown_what_the_owner_wants_told() {
        let policy = World::new().policy;
        let all_on = [raw("notify_config", "1"), raw("notify_delete", "1"), raw("notify_retract", "1")];
        let config = NodeConfig::new(&policy).with(&all_on, &policy).unwrap();
        let published = |payload: Option<Payload>| {
            event(EventKind::Published { item: Some(item("a")), publisher: bare("hamlet"), payload, replaces: None })
        };
        let events = [
            ("", published(None)),
            ("", event(EventKind::Retracted { item: item("a"), notify: true })),
            ("notify_retract", event(EventKind::Purged)),
            ("notify_config", event(EventKind::Configured { config: Arc::new(config.clone()) })),
            ("notify_delete", event(EventKind::Deleted { redirect: None })),
        ];
        for (switch, event) in &events {
            assert!(shows(&config, event), "{event:?}");
            for off in ["notify_config", "notify_delete", "notify_retract"] {
                let config = config.with(&[raw(off, "0")], &policy).unwrap();
                assert_eq!(shows(&config, event), off != *switch, "{off} {event:?}");
            }
        }
        assert!(!shows(&config, &event(EventKind::Retracted { item: item("a"), notify: false })));
    }

    // rows: 24, 25, 26, 27, 28, 29, 57, 61, 62
    #[test]
    fn the_access_model_says_who_reads() {
        let policy = World::new().policy;
        for (model, readers) in
            [("open", [true, true, false, true, true, false]), ("whitelist", [true, true, false, true, false, false])]
        {
            let config = NodeConfig::new(&policy).with(&[raw("access_model", model)], &policy).unwrap();
            for (affiliation, reads) in Affiliation::ALL.into_iter().zip(readers) {
                for role in [Role::Account, Role::Stranger] {
                    assert_eq!(may_read(&config, affiliation, role), reads, "{model} {affiliation:?}");
                }
                assert!(may_read(&config, affiliation, Role::Admin));
            }
        }
    }
}
