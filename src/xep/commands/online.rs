//! XEP-0133: Service Administration, as far as it concerns who is online.

use crate::jid::Jid;
use crate::messaging::Online;
use crate::pubsub::FieldKind;
use crate::xep::Entity;
use crate::xep::commands::accounts::{LIST, NS_ADMIN, account_of, counted, listed, most};
use crate::xep::commands::answers::{self, Question, told};
use crate::xep::commands::{Command, Run, Screen, Then, Whom, errors};
use crate::xml::Element;
use crate::xmpp::{Condition, FieldType, Form, FormType, Message, MessageType, NS_CLIENT, StanzaError};

pub(super) const COMMANDS: &[Command] = &[
    Command {
        node: "http://jabber.org/protocol/admin#end-user-session",
        name: "End sessions of users",
        at: Entity::Server,
        whom: Whom::Administrators,
        asks: END,
        next: |run| Box::pin(end(run)),
    },
    Command {
        node: "http://jabber.org/protocol/admin#user-stats",
        name: "Statistics of a user",
        at: Entity::Server,
        whom: Whom::Administrators,
        asks: STATISTICS,
        next: |run| Box::pin(statistics(run)),
    },
    Command {
        node: "http://jabber.org/protocol/admin#get-online-users-num",
        name: "Number of online users",
        at: Entity::Server,
        whom: Whom::Administrators,
        asks: &[],
        next: |run| Box::pin(number(run, "onlineusersnum", "online users", |_| true)),
    },
    Command {
        node: "http://jabber.org/protocol/admin#get-active-users-num",
        name: "Number of active users",
        at: Entity::Server,
        whom: Whom::Administrators,
        asks: &[],
        next: |run| Box::pin(number(run, "activeusersnum", "active users", |online| online.active)),
    },
    Command {
        node: "http://jabber.org/protocol/admin#get-idle-users-num",
        name: "Number of idle users",
        at: Entity::Server,
        whom: Whom::Administrators,
        asks: &[],
        next: |run| Box::pin(number(run, "idleusersnum", "idle users", |online| !online.active)),
    },
    Command {
        node: "http://jabber.org/protocol/admin#get-online-users-list",
        name: "List of online users",
        at: Entity::Server,
        whom: Whom::Administrators,
        asks: LIST,
        next: |run| Box::pin(list(run, "onlineuserjids", "The online users", |_| true)),
    },
    Command {
        node: "http://jabber.org/protocol/admin#get-active-users-list",
        name: "List of active users",
        at: Entity::Server,
        whom: Whom::Administrators,
        asks: LIST,
        next: |run| Box::pin(list(run, "activeuserjids", "The active users", |online| online.active)),
    },
    Command {
        node: "http://jabber.org/protocol/admin#announce",
        name: "Send an announcement to online users",
        at: Entity::Server,
        whom: Whom::Administrators,
        asks: ANNOUNCE,
        next: |run| Box::pin(announce(run)),
    },
];

/// XEP-0133 §4.5: all sessions of a bare JID, the one of a full JID.
async fn end(run: &Run) -> Result<Screen, StanzaError> {
    let Some(given) = run.answered(0, END)? else {
        let instructions = "An address with a resource is that of one session. They can log in again.";
        return Ok(Screen::Ask(answers::form(NS_ADMIN, "End sessions of users", instructions, END), Then::Complete));
    };
    let access = &run.administration()?.access;
    let jids = given.jids("accountjids");
    if jids.len() > ENDED_MAX {
        return Err(errors::bad_payload(format!("accountjids: at most {ENDED_MAX} values")));
    }
    for jid in &jids {
        account_of(access, jid.bare().as_str())?;
    }
    let ended: usize = jids.iter().map(|jid| run.shared.messaging.end(jid)).sum();
    match ended {
        0 => Err(StanzaError::new(Condition::ItemNotFound).with_text("there is no such session")),
        1 => Ok(Screen::done("One session was ended.")),
        count => Ok(Screen::done(format!("{count} sessions were ended."))),
    }
}

/// XEP-0133 §4.10, as far as it is known.
async fn statistics(run: &Run) -> Result<Screen, StanzaError> {
    let Some(given) = run.answered(0, STATISTICS)? else {
        let form = answers::form(NS_ADMIN, "Statistics of a user", "Name the account.", STATISTICS);
        return Ok(Screen::Ask(form, Then::Complete));
    };
    let access = &run.administration()?.access;
    let jid = account_of(access, given.text("accountjid").unwrap_or_default())?;
    let account = access.account(&jid).await.map_err(|why| super::accounts::not_done(&why))?;
    if account.is_none() {
        return Err(StanzaError::new(Condition::ItemNotFound).with_text(format!("there is no account {jid}")));
    }
    let here = run.shared.messaging.online().into_iter().find(|online| online.account == jid);
    let sessions = here.map(|online| online.sessions).unwrap_or_default();
    let resources = sessions.iter().map(|session| session.resource().to_owned()).collect();
    let field = told("onlineresources", FieldType::TextMulti, "The names of the account's online sessions", resources);
    Ok(Screen::Done(Vec::new(), Some(Form::of_type(FormType::Result, NS_ADMIN).with_field(field))))
}

/// XEP-0133 §4.15 to §4.17. Active is who is available and does not say that he is away.
async fn number(run: &Run, name: &'static str, what: &str, is: fn(&Online) -> bool) -> Result<Screen, StanzaError> {
    let count = run.shared.messaging.online().iter().filter(|online| is(online)).count();
    Ok(Screen::Done(Vec::new(), Some(counted(name, what, count as u64))))
}

/// XEP-0133 §4.20, §4.21.
async fn list(run: &Run, name: &'static str, label: &str, is: fn(&Online) -> bool) -> Result<Screen, StanzaError> {
    let Some(given) = run.answered(0, LIST)? else {
        return Ok(Screen::Ask(answers::form(NS_ADMIN, label, "Say how many to show.", LIST), Then::Complete));
    };
    let after = given.jids("after").into_iter().next();
    let follows = |online: &Online| after.as_ref().is_none_or(|after| online.account.as_str() > after.bare().as_str());
    let online = run.shared.messaging.online().into_iter().filter(|online| is(online) && follows(online));
    let mut jids: Vec<String> = online.map(|online| online.account.to_string()).collect();
    let max = most(&given);
    let more = jids.len() > max;
    jids.truncate(max);
    Ok(listed(name, label, jids, more))
}

/// XEP-0133 §4.23. A headline: nobody is told later what is over by then.
async fn announce(run: &Run) -> Result<Screen, StanzaError> {
    let Some(given) = run.answered(0, ANNOUNCE)? else {
        let instructions = "It goes to every session that is online now.";
        let form = answers::form(NS_ADMIN, "Send an announcement to online users", instructions, ANNOUNCE);
        return Ok(Screen::Ask(form, Then::Complete));
    };
    let text = given.values("announcement").join("\n");
    if text.len() > ANNOUNCEMENT_BYTES_MAX {
        return Err(errors::bad_payload(format!("announcement: at most {ANNOUNCEMENT_BYTES_MAX} bytes")));
    }
    let sessions = run.shared.messaging.online().into_iter().flat_map(|online| online.sessions);
    let mut told = 0;
    for session in sessions {
        let to = Jid::Full(session);
        let message = Message {
            id: None,
            from: Some(Jid::Bare(run.at.clone())),
            to: Some(to.clone()),
            kind: MessageType::Headline,
            content: Element::new("message", NS_CLIENT)
                .with_child(Element::new("body", NS_CLIENT).with_text(text.as_str())),
        };
        let mut bytes = Vec::with_capacity(256 + text.len());
        message.into_element().write(&mut bytes, NS_CLIENT);
        told += run.shared.messaging.send(&to, &bytes.into());
    }
    Ok(Screen::done(format!("{told} sessions were told.")))
}

const END: &[Question] =
    &[Question::needed("accountjids", FieldKind::Jids, "The Jabber ID(s) for which to end sessions")];
const STATISTICS: &[Question] = &[Question::needed("accountjid", FieldKind::Jid, "The Jabber ID for statistics")];
const ANNOUNCE: &[Question] = &[Question::needed("announcement", FieldKind::Texts, "Announcement")];
/// Addresses of one command.
const ENDED_MAX: usize = 100;
/// Room for a few paragraphs: each session gets a copy.
const ANNOUNCEMENT_BYTES_MAX: usize = 4096;
