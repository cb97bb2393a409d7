//! What is attached to an item, counted (XEP-0470 §4.7, §4.8).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::jid::BareJid;
use crate::pubsub::Payload;

/// What one entity has attached, as far as it is summed up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attached {
    pub noticed: bool,
    /// Each once, whatever the entity says.
    pub reactions: BTreeSet<Arc<str>>,
}

/// The sums for one item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub noticed: u64,
    /// How many have reacted so; never 0.
    pub reactions: BTreeMap<Arc<str>, u64>,
}

/// How payloads that the service understands are read and written. The rules know no XML: `payload` does.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    /// Nothing where the root is not that of attachments.
    pub attached: fn(&Payload) -> Option<Attached>,
    pub tally: fn(&Payload) -> Tally,
    pub summary: fn(&Tally) -> Payload,
    /// One who is publicly subscribed (XEP-0465).
    pub subscriber: fn(&BareJid) -> Payload,
}

impl Tally {
    pub(super) fn add(&mut self, attached: &Attached) {
        self.noticed += u64::from(attached.noticed);
        for reaction in &attached.reactions {
            *self.reactions.entry(reaction.clone()).or_default() += 1;
        }
    }

    pub(super) fn take(&mut self, attached: &Attached) {
        self.noticed = self.noticed.saturating_sub(u64::from(attached.noticed));
        for reaction in &attached.reactions {
            if let Some(count) = self.reactions.get_mut(reaction) {
                *count -= 1;
                if *count == 0 {
                    self.reactions.remove(reaction);
                }
            }
        }
    }
}

/// Different reactions to one item, of one entity and of all: what a sum may grow to.
pub const REACTIONS_MAX: usize = 32;
pub(super) const TALLY_REACTIONS_MAX: usize = 256;
/// A reaction that is longer is no emoji, and is not counted (XEP-0470 §5).
pub const REACTION_BYTES_MAX: usize = 64;
