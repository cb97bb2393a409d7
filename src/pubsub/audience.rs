//! Who may read, and what a watcher is shown.

use crate::pubsub::{AccessModel, Affiliation, Change, Contact, Event, EventKind, NodeConfig, Refusal, Role};

/// What an entity is to a node, as far as reading it goes.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    pub affiliation: Affiliation,
    pub role: Role,
    /// It has a subscription that stands: one that waits for an owner does not count.
    pub subscribed: bool,
    /// What the rosters that count say of it: the account's, or the owners' (XEP-0060 §4.5).
    pub contacts: &'a [Contact],
}

/// May an entity read this node: subscribe, retrieve, and be notified (XEP-0060 §4.1, §4.5)?
pub fn may_read(config: &NodeConfig, reader: &Reader<'_>) -> bool {
    why_unreadable(config, reader).is_none()
}

/// Is an XMPP subscriber shown this event, under the configuration with which it was committed?
///
/// What an event shows (a payload, a configuration form) is another question, and
/// `deliver_payloads` answers it.
pub fn shows(config: &NodeConfig, event: &Event) -> bool {
    if !config.deliver_notifications {
        return false;
    }
    match &event.kind {
        EventKind::Published { .. } => true,
        EventKind::Retracted { notify, .. } => *notify,
        // XEP-0060 §8.5.2: a purge is told where the deletion of items would be.
        EventKind::Purged => config.notify_retract,
        EventKind::Configured { .. } => config.notify_config,
        EventKind::Associated { .. } => true,
        EventKind::Dissociated { deleted, .. } => !deleted,
        EventKind::Deleted { .. } => config.notify_delete,
    }
}

/// May a reader of the node's log hear of this event, on whatever transport? An event that names another node which
/// is hidden is for those to whom a list of what the collection holds names it, too: administrators.
pub fn may_hear(kind: &EventKind, role: Role) -> bool {
    match kind {
        EventKind::Associated { hidden, .. } | EventKind::Dissociated { hidden, .. } => !hidden || role == Role::Admin,
        EventKind::Published { .. }
        | EventKind::Retracted { .. }
        | EventKind::Purged
        | EventKind::Configured { .. }
        | EventKind::Deleted { .. } => true,
    }
}

/// Whether a commit to a node, whose configuration was the first and is the second, may take somebody's right to read
/// it: everybody who was found to have it must be asked about again.
///
/// Where a subscription is not what lets its subscriber read, its coming and going takes nobody's right, so that
/// nobody is asked about because of another's.
pub fn doubts(before: &NodeConfig, after: &NodeConfig, changes: &[Change]) -> bool {
    let lets_read = after.hidden || after.access_model == AccessModel::Authorize;
    let readers = |config: &NodeConfig| (config.access_model, config.roster_groups_allowed.clone(), config.hidden);
    let takes = |change: &Change| match change {
        Change::SetAffiliation { .. } => true,
        Change::SetSubscription { subscription } => lets_read && !subscription.counts(),
        _ => false,
    };
    readers(before) != readers(after) || changes.iter().any(takes)
}

/// The refusal of a reading, if it is refused.
///
/// Where Table 1 of XEP-0060 §4.1 lets "none" retrieve nothing and §4.5 lets anyone read an open
/// node, the access model decides. The whitelist of §4.5 is the list of affiliations: whoever is on
/// it retrieves without being subscribed, as §12.12 has it for owners and publishers.
pub(super) fn why_unreadable(config: &NodeConfig, reader: &Reader<'_>) -> Option<Refusal> {
    if reader.role == Role::Admin {
        return None;
    }
    match reader.affiliation {
        Affiliation::Owner | Affiliation::Publisher | Affiliation::Member => None,
        Affiliation::PublishOnly => Some(Refusal::Forbidden),
        Affiliation::Outcast => Some(Refusal::Outcast),
        Affiliation::None => why_no_stranger(config, reader),
    }
}

/// The same of somebody who has no affiliation: the access model decides alone.
fn why_no_stranger(config: &NodeConfig, reader: &Reader<'_>) -> Option<Refusal> {
    let mut contacts = reader.contacts.iter();
    let (lets_in, refusal) = match config.access_model {
        AccessModel::Open => (true, Refusal::Forbidden),
        AccessModel::Presence => (contacts.any(|contact| contact.from), Refusal::PresenceRequired),
        // XEP-0060 §6.5.1: seen in presence, and in the group.
        AccessModel::Roster => {
            let allowed = |group| config.roster_groups_allowed.contains(group);
            let mut listed = contacts.filter(|contact| contact.from && contact.groups.iter().any(allowed));
            (listed.next().is_some(), Refusal::NotInRosterGroup)
        }
        AccessModel::Authorize => (reader.subscribed, Refusal::SubscriptionRequired),
        AccessModel::Whitelist => (false, Refusal::NotOnWhitelist),
    };
    (!lets_in).then_some(refusal)
}

/// May an entity know that the node exists? A hidden node is absent to everybody but administrators,
/// those whom its owners have given an affiliation, and those who are, or wait to be, subscribed.
pub fn may_know(config: &NodeConfig, affiliation: Affiliation, role: Role, has_subscriptions: bool) -> bool {
    let affiliated = !matches!(affiliation, Affiliation::None | Affiliation::Outcast);
    let subscribed = has_subscriptions && affiliation != Affiliation::Outcast;
    !config.hidden || role == Role::Admin || affiliated || subscribed
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::pubsub::world::{World, bare, item, raw};
    use crate::pubsub::{Payload, RawField, Seq};
    use crate::time::Timestamp;

    fn event(kind: EventKind) -> Event {
        Event { seq: Seq(1), time: Timestamp(1), kind }
    }

    /// Each switch hides its own kind of event and no other.
    // rows: 232, 277, 325, 343, 352, F5, F15, F16, F17
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
        let silent = config.with(&[raw("deliver_notifications", "0")], &policy).unwrap();
        assert!(!events.iter().any(|(_, event)| shows(&silent, event)), "nothing is told where nothing shall be");
        for (switch, event) in &events {
            assert!(shows(&config, event), "{event:?}");
            for off in ["notify_config", "notify_delete", "notify_retract"] {
                let config = config.with(&[raw(off, "0")], &policy).unwrap();
                assert_eq!(shows(&config, event), off != *switch, "{off} {event:?}");
            }
        }
        assert!(!shows(&config, &event(EventKind::Retracted { item: item("a"), notify: false })));
    }

    // rows: 24, 25, 26, 27, 28, 29, 57, 58, 59, 60, 61, 62, 197, 198
    #[test]
    fn the_access_model_says_who_reads() {
        let policy = World::new().policy;
        let contact = |from, groups: &[&str]| Contact {
            to: true,
            from,
            groups: groups.iter().map(|group| Arc::from(*group)).collect(),
        };
        let near = [contact(false, &["Friends"]), contact(true, &["Foes"])];
        let friend = [contact(false, &[]), contact(true, &["Foes", "Friends"])];
        // Who has no affiliation: subscribed, and what rosters say of him.
        let strangers: [(bool, &[Contact]); 4] = [(false, &[]), (true, &[]), (false, &near), (false, &friend)];
        for (model, expected) in [
            ("open", [true, true, true, true]),
            ("presence", [false, false, true, true]),
            ("roster", [false, false, false, true]),
            ("authorize", [false, true, false, false]),
            ("whitelist", [false, false, false, false]),
        ] {
            let fields = [raw("access_model", model), raw("roster_groups_allowed", "Friends")];
            let config = NodeConfig::new(&policy).with(&fields, &policy).unwrap();
            for ((subscribed, contacts), reads) in strangers.into_iter().zip(expected) {
                for affiliation in Affiliation::ALL {
                    let reader = Reader { affiliation, role: Role::Account, subscribed, contacts };
                    let expected = match affiliation {
                        Affiliation::Owner | Affiliation::Publisher | Affiliation::Member => true,
                        Affiliation::PublishOnly | Affiliation::Outcast => false,
                        Affiliation::None => reads,
                    };
                    assert_eq!(may_read(&config, &reader), expected, "{model} {reader:?}");
                    assert_eq!(may_read(&config, &Reader { role: Role::Stranger, ..reader }), expected);
                    assert!(may_read(&config, &Reader { role: Role::Admin, ..reader }));
                }
            }
        }
    }

    #[test]
    fn a_hidden_node_is_known_to_those_who_have_to_do_with_it() {
        let policy = World::new().policy;
        let hidden = RawField { name: "tidings#hidden".to_owned(), values: vec!["1".to_owned()] };
        let config = NodeConfig::new(&policy).with(&[hidden], &policy).unwrap();
        for affiliation in Affiliation::ALL {
            for subscribed in [false, true] {
                let known = match affiliation {
                    Affiliation::None => subscribed,
                    Affiliation::Outcast => false,
                    _ => true,
                };
                assert_eq!(may_know(&config, affiliation, Role::Account, subscribed), known, "{affiliation:?}");
                assert!(may_know(&config, affiliation, Role::Admin, subscribed));
                assert!(may_know(&NodeConfig::new(&policy), affiliation, Role::Stranger, subscribed));
            }
        }
    }
}
