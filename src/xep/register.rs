//! XEP-0077: In-Band Registration, of which an account changes its password here, or goes. Whoever has no
//! account makes one before he authenticates, where the operator lets him (`stream::registration`).

use crate::access::{Access, NewPassword, NotDone};
use crate::jid::BareJid;
use crate::pubsub::Role;
use crate::xep::commands::accounts::not_done;
use crate::xep::{Asked, Body, Claim, Entity, Extension, Feature, RequestKind, Target, Work, bad_request};
use crate::xml::Element;
use crate::xmpp::{Condition, StanzaError};

pub(super) const EXTENSION: Extension = Extension {
    number: 77,
    name: "In-Band Registration",
    version: "2.4",
    features: &[Feature::always(NS_REGISTER, &[Entity::Server])],
    claims: &[
        Claim { name: "query", ns: NS_REGISTER, kinds: &[RequestKind::Get], at: AT, handler: show },
        Claim { name: "query", ns: NS_REGISTER, kinds: &[RequestKind::Set], at: AT, handler: change },
    ],
};

/// XEP-0077 §3.1: who asks is registered, and is told what could be changed.
fn show(asked: &Asked<'_>) -> Result<Work, StanzaError> {
    let account = own_account(asked)?;
    let word = |name: &str| Element::new(name, NS_REGISTER);
    let username = word("username").with_text(account.local().unwrap_or_default());
    let query = word("query").with_child(word("registered")).with_child(username).with_child(word("password"));
    Ok(Work::Done(Body::Element(query)))
}

/// XEP-0077 §3.2, §3.3.
fn change(asked: &Asked<'_>) -> Result<Work, StanzaError> {
    let account = own_account(asked)?;
    let not_allowed = |why: &str| StanzaError::new(Condition::NotAllowed).with_text(why);
    let access = asked.access.cloned().ok_or_else(|| not_allowed("accounts are not seen to here"))?;
    let (options, query) = (asked.options, &asked.element);
    if query.child("remove", NS_REGISTER).is_some() {
        if query.children().count() != 1 {
            return Err(bad_request("who goes says nothing else"));
        }
        if !options.remove_account {
            return Err(not_allowed("accounts are removed by administrators"));
        }
        let messaging = asked.messaging.clone();
        return Ok(Work::Wait(Box::pin(async move {
            may_go(&access, &account).await?;
            if let Err(wrong) = messaging.end_subscriptions(&account).await {
                return Err(crate::xep::roster::error(&wrong));
            }
            access.remove_user(&account).await.map(|()| Body::Empty).map_err(|why| not_done(&why))
        })));
    }
    let text = |name: &str| query.child(name, NS_REGISTER).map(Element::text);
    let (Some(username), Some(password)) = (text("username"), text("password").filter(|text| !text.is_empty())) else {
        return Err(bad_request("a change of the password names the account and its new password"));
    };
    if BareJid::new(Some(username.trim()), account.domain()).ok().as_ref() != Some(&account) {
        return Err(not_allowed("everybody changes his own password"));
    }
    if !options.change_password {
        return Err(not_allowed("passwords are changed by administrators"));
    }
    Ok(Work::Wait(Box::pin(async move {
        match access.set_password(&account, NewPassword::Chosen(password)).await {
            Ok(_) => Ok(Body::Empty),
            Err(why @ NotDone::Password) => Err(bad_request(why.to_string())),
            Err(why) => Err(not_done(&why)),
        }
    })))
}

/// Before anybody is told that it goes.
async fn may_go(access: &Access, account: &BareJid) -> Result<(), StanzaError> {
    let found = access.account(account).await.map_err(|why| not_done(&why))?;
    let found = found.ok_or_else(|| StanzaError::new(Condition::RegistrationRequired))?;
    let totals = access.totals().await.map_err(|why| not_done(&why))?;
    if found.admin && totals.admins < 2 { Err(not_done(&NotDone::LastAdmin(account.clone()))) } else { Ok(()) }
}

/// The account that asks, of this server or of the one that is asked.
fn own_account(asked: &Asked<'_>) -> Result<BareJid, StanzaError> {
    let account = asked.caller.jid.bare();
    let here = match &asked.target {
        Target::Server(host) => host.domain.domain() == account.domain(),
        Target::Account(_) => true,
        Target::Service(_) | Target::Contact(_) => false,
    };
    if here && asked.caller.role != Role::Stranger {
        Ok(account.clone())
    } else {
        Err(StanzaError::new(Condition::RegistrationRequired).with_text("accounts are made by administrators"))
    }
}

const AT: &[Entity] = &[Entity::Server, Entity::Account];
pub(super) const NS_REGISTER: &str = "jabber:iq:register";
