//! XEP-0280: Message Carbons. Which messages are copied is decided where they are delivered.

use crate::xep::{Asked, Body, Claim, Entity, Extension, Feature, RequestKind, Work};
use crate::xmpp::StanzaError;

pub(super) const EXTENSION: Extension = Extension {
    number: 280,
    name: "Message Carbons",
    version: "1.0.1",
    features: &[Feature::always(NS_CARBONS, &[Entity::Server])],
    claims: &[
        Claim { name: "enable", ns: NS_CARBONS, kinds: &[RequestKind::Set], at: &[Entity::Account], handler: enable },
        Claim { name: "disable", ns: NS_CARBONS, kinds: &[RequestKind::Set], at: &[Entity::Account], handler: disable },
    ],
};

/// XEP-0280 §4.
fn enable(asked: &Asked<'_>) -> Result<Work, StanzaError> {
    switch(asked, true)
}

/// XEP-0280 §5.
fn disable(asked: &Asked<'_>) -> Result<Work, StanzaError> {
    switch(asked, false)
}

fn switch(asked: &Asked<'_>, enabled: bool) -> Result<Work, StanzaError> {
    asked.own_account()?;
    asked.messaging.set_carbons(&asked.session()?, enabled);
    Ok(Work::Done(Body::Empty))
}

const NS_CARBONS: &str = "urn:xmpp:carbons:2";
