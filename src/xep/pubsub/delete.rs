//! `<delete/>` (XEP-0060 §8.4).

use std::sync::Arc;

use crate::pubsub::Verb;
use crate::xep::pubsub::{Words, configure};
use crate::xep::{Work, bad_request};
use crate::xmpp::StanzaError;

pub(super) fn delete(words: &Words<'_>) -> Result<Work, StanzaError> {
    let node = words.node()?;
    let redirect = match words.children("redirect").next() {
        None => None,
        Some(redirect) => match redirect.attr("uri") {
            None | Some("") => return Err(bad_request("the redirection has no uri")),
            Some(uri) => Some(Arc::from(uri)),
        },
    };
    Ok(Work::ask(words.asked.request(Verb::Delete { node, redirect }), configure::done))
}
