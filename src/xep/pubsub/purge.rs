//! `<purge/>` (XEP-0060 §8.5).

use crate::pubsub::Verb;
use crate::xep::Work;
use crate::xep::pubsub::{Words, configure};
use crate::xmpp::StanzaError;

pub(super) fn purge(words: &Words<'_>) -> Result<Work, StanzaError> {
    Ok(Work::ask(words.asked.request(Verb::Purge { node: words.node()? }), configure::done))
}
