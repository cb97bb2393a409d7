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
