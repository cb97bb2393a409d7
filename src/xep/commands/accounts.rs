//! XEP-0133: Service Administration, as far as it concerns accounts. Asked at the server's own address.

use crate::access::{Access, NewPassword, NewUser, NotDone};
use crate::jid::BareJid;
use crate::pubsub::FieldKind;
use crate::store::{Account, AccountTotals};
use crate::xep::commands::answers::{self, Question, told};
use crate::xep::commands::{Command, Note, Run, Screen, Then, Whom, errors};
use crate::xep::pubsub::errors::{failed, wrong};
use crate::xep::{Entity, Extension};
use crate::xmpp::{Condition, FieldType, Form, FormType, StanzaError};

pub(in crate::xep) const EXTENSION: Extension =
    Extension { number: 133, name: "Service Administration", version: "1.3.1", features: &[], claims: &[] };

pub(super) const COMMANDS: &[Command] = &[
    Command {
        node: "http://jabber.org/protocol/admin#add-user",
        name: "Add a user",
        at: Entity::Server,
        whom: Whom::Administrators,
        asks: ADD,
        next: |run| Box::pin(add(run)),
    },
    Command {
        node: "http://jabber.org/protocol/admin#delete-user",
        name: "Delete users",
        at: Entity::Server,
        whom: Whom::Administrators,
        asks: DELETE_ASKS,
        next: |run| Box::pin(each(run, &DELETE)),
    },
    Command {
        node: "http://jabber.org/protocol/admin#disable-user",
        name: "Disable users",
        at: Entity::Server,
        whom: Whom::Administrators,
        asks: DISABLE_ASKS,
        next: |run| Box::pin(each(run, &DISABLE)),
    },
    Command {
        node: "http://jabber.org/protocol/admin#reenable-user",
        name: "Re-enable users",
        at: Entity::Server,
        whom: Whom::Administrators,
        asks: ENABLE_ASKS,
        next: |run| Box::pin(each(run, &ENABLE)),
    },
    Command {
        node: "http://jabber.org/protocol/admin#change-user-password",
        name: "Change the password of a user",
        at: Entity::Server,
        whom: Whom::Administrators,
        asks: CHANGE_PASSWORD,
        next: |run| Box::pin(change_password(run)),
    },
    Command {
        node: "http://jabber.org/protocol/admin#get-registered-users-num",
        name: "Number of registered users",
        at: Entity::Server,
        whom: Whom::Administrators,
        asks: &[],
        next: |run| Box::pin(number(run, "registeredusersnum", "registered users", |totals| totals.accounts)),
    },
    Command {
        node: "http://jabber.org/protocol/admin#get-disabled-users-num",
        name: "Number of disabled users",
        at: Entity::Server,
        whom: Whom::Administrators,
        asks: &[],
        next: |run| Box::pin(number(run, "disabledusersnum", "disabled users", |totals| totals.disabled)),
    },
    Command {
        node: "http://jabber.org/protocol/admin#get-registered-users-list",
        name: "List of registered users",
        at: Entity::Server,
        whom: Whom::Administrators,
        asks: LIST,
        next: |run| Box::pin(list(run)),
    },
];

/// XEP-0133 §4.1. Only what is kept is asked for.
async fn add(run: &Run) -> Result<Screen, StanzaError> {
    let Some(given) = run.answered(0, ADD)? else {
        let form = answers::form(NS_ADMIN, "Add a user", "Name the account and its password.", ADD);
        return Ok(Screen::Ask(form, Then::Complete));
    };
    let password = given.text("password").unwrap_or_default().to_owned();
    if given.text("password-verify") != Some(&*password) {
        return Err(errors::bad_payload("password-verify: the passwords differ"));
    }
    let name = given.text("accountjid").unwrap_or_default().to_owned();
    let access = &run.administration()?.access;
    let jid = account_of(access, &name)?;
    let new = NewUser { name: jid.to_string(), password: NewPassword::Chosen(password), admin: false, verifier: None };
    let jid = access.add_user(new).await.map_err(|why| not_done(&why))?;
    let mut notes = vec![Note::info(format!("The account {jid} was added."))];
    if let Some(other) = access.looks_like(&jid).await.map_err(|why| not_done(&why))? {
        notes.push(Note { kind: "warn", text: format!("It looks like {other}: people may take one for the other.") });
    }
    Ok(Screen::Done(notes, None))
}

/// XEP-0133 §4.7.
async fn change_password(run: &Run) -> Result<Screen, StanzaError> {
    let Some(given) = run.answered(0, CHANGE_PASSWORD)? else {
        let instructions = "What was opened with the old password ends, and the account's API tokens are revoked.";
        let form = answers::form(NS_ADMIN, "Change the password of a user", instructions, CHANGE_PASSWORD);
        return Ok(Screen::Ask(form, Then::Complete));
    };
    let access = &run.administration()?.access;
    let jid = account_of(access, given.text("accountjid").unwrap_or_default())?;
    let password = NewPassword::Chosen(given.text("password").unwrap_or_default().to_owned());
    access.set_password(&jid, password).await.map_err(|why| not_done(&why))?;
    Ok(Screen::done(format!("The password of {jid} was changed.")))
}

/// Something that is done to one account after the other.
struct Deed {
    title: &'static str,
    instructions: &'static str,
    asks: &'static [Question],
    /// What is said of an account to which it was done.
    done: &'static str,
    act: Act,
}

#[derive(Clone, Copy)]
enum Act {
    Delete,
    SetDisabled(bool),
}

/// XEP-0133 §4.2.
const DELETE: Deed = Deed {
    title: "Delete users",
    instructions: "Their sessions end, and their tokens and rosters go with them.",
    asks: DELETE_ASKS,
    done: "was deleted",
    act: Act::Delete,
};
/// XEP-0133 §4.3.
const DISABLE: Deed = Deed {
    title: "Disable users",
    instructions: "Their sessions end, and nobody logs in to them any more; what they have stays.",
    asks: DISABLE_ASKS,
    done: "was disabled",
    act: Act::SetDisabled(true),
};
/// XEP-0133 §4.4.
const ENABLE: Deed = Deed {
    title: "Re-enable users",
    instructions: "They can log in again.",
    asks: ENABLE_ASKS,
    done: "was re-enabled",
    act: Act::SetDisabled(false),
};

/// All the accounts must be there before the first is touched. What fails then is told beside what was
/// done (XEP-0050 §3.6), unless nothing was.
async fn each(run: &Run, deed: &Deed) -> Result<Screen, StanzaError> {
    let Some(given) = run.answered(0, deed.asks)? else {
        let form = answers::form(NS_ADMIN, deed.title, deed.instructions, deed.asks);
        return Ok(Screen::Ask(form, Then::Complete));
    };
    let access = &run.administration()?.access;
    let mut jids: Vec<BareJid> = Vec::new();
    for name in given.values("accountjids") {
        let jid = account_of(access, name)?;
        if !jids.contains(&jid) {
            jids.push(jid);
        }
    }
    if jids.len() > ACCOUNTS_MAX {
        return Err(errors::bad_payload(format!("accountjids: at most {ACCOUNTS_MAX} values")));
    }
    for jid in &jids {
        if access.account(jid).await.map_err(|why| not_done(&why))?.is_none() {
            return Err(not_done(&NotDone::NoSuchUser(jid.clone())));
        }
    }
    let mut notes = Vec::new();
    for jid in &jids {
        let outcome = match deed.act {
            Act::Delete => {
                let removed = access.remove_user(jid).await;
                run.shared.engine.forget_facts().await.map_err(|why| wrong(&why))?;
                removed
            }
            Act::SetDisabled(disabled) => access.set_disabled(jid, disabled).await,
        };
        match outcome {
            Ok(()) => notes.push(Note::info(format!("{jid} {}.", deed.done))),
            Err(why) if notes.is_empty() && jids.len() == 1 => return Err(not_done(&why)),
            Err(why) => notes.push(Note::error(why.to_string())),
        }
    }
    Ok(Screen::Done(notes, None))
}

/// XEP-0133 §4.13, §4.14.
async fn number(
    run: &Run,
    name: &'static str,
    what: &str,
    of: fn(&AccountTotals) -> u64,
) -> Result<Screen, StanzaError> {
    let totals = run.administration()?.access.totals().await.map_err(|why| not_done(&why))?;
    Ok(Screen::Done(Vec::new(), Some(counted(name, what, of(&totals)))))
}

/// A number of users, as XEP-0133 answers with it.
pub(super) fn counted(name: &str, what: &str, number: u64) -> Form {
    let label = format!("The number of {what}");
    Form::of_type(FormType::Result, NS_ADMIN).with_field(told(
        name,
        FieldType::TextSingle,
        &label,
        vec![number.to_string()],
    ))
}

/// XEP-0133 §4.18.
async fn list(run: &Run) -> Result<Screen, StanzaError> {
    let Some(given) = run.answered(0, LIST)? else {
        let form = answers::form(NS_ADMIN, "List of registered users", "Say how many to show.", LIST);
        return Ok(Screen::Ask(form, Then::Complete));
    };
    let access = &run.administration()?.access;
    let after = given.text("after").map(|name| account_of(access, name)).transpose()?;
    let max = most(&given);
    let mut accounts = access.list_users(after, max + 1).await.map_err(|why| not_done(&why))?;
    let more = accounts.len() > max;
    accounts.truncate(max);
    let jids = accounts.iter().map(|account: &Account| account.jid.to_string()).collect();
    Ok(listed("registereduserjids", "The registered users", jids, more))
}

/// How a list is asked for: its length as XEP-0133 has it, and our own way to go on.
pub(super) const LIST: &[Question] = &[
    Question::preset("max_items", FieldKind::Choice(LENGTHS), "Maximum number of items to show", "100"),
    Question::optional("after", FieldKind::Jid, "Only addresses after this one, in the order of the list"),
];

pub(super) fn most(given: &answers::Answers) -> usize {
    given.number("max_items").and_then(|max| usize::try_from(max).ok()).unwrap_or(LISTED_MAX).min(LISTED_MAX)
}

/// A list of addresses, and where to go on.
pub(super) fn listed(name: &str, label: &str, jids: Vec<String>, more: bool) -> Screen {
    let note = match jids.last() {
        Some(last) if more => vec![Note::info(format!("There are more: ask again for those after {last}"))],
        _ => Vec::new(),
    };
    let form = Form::of_type(FormType::Result, NS_ADMIN).with_field(told(name, FieldType::JidMulti, label, jids));
    Screen::Done(note, Some(form))
}

/// The account that an address names. A resource is no part of it (XEP-0133 §4.2).
pub(super) fn account_of(access: &Access, text: &str) -> Result<BareJid, StanzaError> {
    let bare = text.split('/').next().unwrap_or(text);
    // A name without an `@` would be a domain here, not the name of an account.
    if !bare.contains('@') {
        return Err(errors::bad_payload(format!("{text}: not the address of an account")));
    }
    access.user(bare).map_err(|why| not_done(&why))
}

/// XEP-0133 §5.
pub(in crate::xep) fn not_done(why: &NotDone) -> StanzaError {
    let plain = |condition: Condition| StanzaError::new(condition).with_text(why.to_string());
    match why {
        NotDone::Name(..) | NotDone::Password | NotDone::Scope(_) | NotDone::Entry(..) => {
            errors::bad_payload(why.to_string())
        }
        NotDone::Exists(_) => plain(Condition::Conflict),
        NotDone::ForeignDomain(_) | NotDone::NoSuchUser(_) | NotDone::NoSuchToken(_) => plain(Condition::ItemNotFound),
        NotDone::LastAdmin(_) => plain(Condition::NotAllowed),
        NotDone::Failed(failure) => failed(failure),
    }
}

pub(super) const NS_ADMIN: &str = "http://jabber.org/protocol/admin";
/// Accounts of one command.
const ACCOUNTS_MAX: usize = 100;
/// Addresses of one list.
const LISTED_MAX: usize = 1000;
/// XEP-0133 §4.18; `none` is for as many as one answer may have.
const LENGTHS: &[(&str, &str)] =
    &[("25", "25"), ("50", "50"), ("75", "75"), ("100", "100"), ("150", "150"), ("200", "200"), ("none", "None")];

const ADD: &[Question] = &[
    Question::needed("accountjid", FieldKind::Jid, "The Jabber ID for the account to be added"),
    Question::needed("password", FieldKind::Secret, "The password for this account"),
    Question::needed("password-verify", FieldKind::Secret, "Retype password"),
];

const CHANGE_PASSWORD: &[Question] = &[
    Question::needed("accountjid", FieldKind::Jid, "The Jabber ID for this account"),
    Question::needed("password", FieldKind::Secret, "The new password for this account"),
];
const DELETE_ASKS: &[Question] = &[Question::needed("accountjids", FieldKind::Jids, "The Jabber ID(s) to delete")];
const DISABLE_ASKS: &[Question] = &[Question::needed("accountjids", FieldKind::Jids, "The Jabber ID(s) to disable")];
const ENABLE_ASKS: &[Question] = &[Question::needed("accountjids", FieldKind::Jids, "The Jabber ID(s) to re-enable")];
