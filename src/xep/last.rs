//! XEP-0012: Last Activity. Of the server and its services, for how long they have been running; of an
//! account, for how long it has been away.

use crate::messaging::LastActivity;
use crate::time::Timestamp;
use crate::xep::{Asked, Body, Claim, Entity, Extension, Feature, RequestKind, Target, Work, pubsub};
use crate::xml::Element;
use crate::xmpp::{Condition, StanzaError};

pub(super) const EXTENSION: Extension = Extension {
    number: 12,
    name: "Last Activity",
    version: "2.0",
    features: &[Feature::always(NS_LAST, &[Entity::Server, Entity::Service, Entity::Account])],
    claims: &[Claim { name: "query", ns: NS_LAST, kinds: &[RequestKind::Get], at: AT, handler: last }],
};

fn last(asked: &Asked<'_>) -> Result<Work, StanzaError> {
    let account = match &asked.target {
        Target::Server(_) | Target::Service(_) => {
            return Ok(Work::Done(since(asked.started, asked.now, "")));
        }
        Target::Account(account) | Target::Contact(account) => account.clone(),
    };
    let (messaging, from, now) = (asked.messaging.clone(), asked.caller.jid.clone(), asked.now);
    Ok(Work::Wait(Box::pin(async move {
        match messaging.last_activity(&from, &account).await.map_err(|failure| pubsub::errors::failed(&failure))? {
            LastActivity::Hidden => Err(StanzaError::new(Condition::Forbidden)),
            LastActivity::Never => Err(StanzaError::new(Condition::ItemNotFound)),
            LastActivity::Now => Ok(since(now, now, "")),
            LastActivity::Since(departure) => Ok(since(departure.at, now, &departure.status)),
        }
    })))
}

/// XEP-0012 §2. A clock that was set back counts as if no time had passed.
fn since(then: Timestamp, now: Timestamp, status: &str) -> Body {
    let seconds = (now.seconds() - then.seconds()).max(0).to_string();
    let query = Element::new("query", NS_LAST).with_attr("seconds", seconds);
    Body::Element(if status.is_empty() { query } else { query.with_text(status) })
}

const AT: &[Entity] = &[Entity::Server, Entity::Service, Entity::Account, Entity::Contact];
const NS_LAST: &str = "jabber:iq:last";
