//! XEP-0050: Ad-Hoc Commands. What people do to nodes and accounts from any client that can show a form.
//!
//! A command is a function from the answers given so far to the next screen: a form to fill in, or the
//! result. A session is the list of those answers, so that going back is to forget the last one
//! ([`session`]). A command decides nothing: it asks the engine with the verbs that the other doors use,
//! or `access`, and says what came of it.
//!
//! Here: who may run which command, and the course of an execution. [`nodes`], [`items`] and [`people`]
//! are the commands of a pub/sub service, [`accounts`] and
//! [`online`] those of a server (XEP-0133), [`answers`] is how forms are asked and read.

pub(super) mod accounts;
mod answers;
mod errors;
mod items;
mod nodes;
mod online;
mod pending;
mod people;
mod session;

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;

use crate::engine::{Answer, Answered, Wrong};
use crate::jid::{BareJid, Jid};
use crate::pubsub::{
    self as core, Affiliation, Caller, Edge, Field, Page, Refusal, Request, Role, ServicePolicy, Verb,
};
use crate::xep::pubsub::errors::{Context, failed, overloaded};
use crate::xep::{
    Administration, Asked, Body, Claim, Entity, Extension, Feature, RequestKind, Shared, Target, Trouble, Work,
    bad_request, disco,
};
use crate::xml::Element;
use crate::xmpp::{Condition, Form, FormType, NS_DATA, StanzaError};

use answers::Answers;
pub(super) use answers::Question;
use session::{Allows, Kept, Session};
pub(super) use session::{Limits, Sessions};

pub(super) const EXTENSION: Extension = Extension {
    number: 50,
    name: "Ad-Hoc Commands",
    version: "1.3.0",
    features: &[Feature::always(NS_COMMANDS, &[Entity::Server, Entity::Service, Entity::Account])],
    claims: &[Claim { name: "command", ns: NS_COMMANDS, kinds: &[RequestKind::Set], at: AT, handler: execute }],
};

/// What can be run.
pub(super) struct Command {
    /// Names it (XEP-0050 §3.2).
    pub(super) node: &'static str,
    pub(super) name: &'static str,
    pub(super) at: Entity,
    pub(super) whom: Whom,
    /// The first form; what follows is a form of another specification.
    pub(super) asks: &'static [Question],
    next: for<'a> fn(&'a Run) -> Showing<'a>,
}

/// Every command.
pub(super) fn all() -> impl Iterator<Item = &'static Command> {
    [accounts::COMMANDS, online::COMMANDS, nodes::COMMANDS, items::COMMANDS, people::COMMANDS, pending::COMMANDS]
        .into_iter()
        .flatten()
}

/// Who may run a command: what it does to a node is still for the rules to allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    Everyone,
    /// Those who may create nodes.
    Creators,
    /// Those who own a node of the service.
    Owners,
    /// Those who administer the server, whom nothing is closed to.
    Administrators,
}

/// What is shown next.
pub(super) enum Screen {
    Ask(Form, Then),
    Done(Vec<Note>, Option<Form>),
    /// Done, and these messages follow the answer.
    Sent(Messages),
}

/// What may follow a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Next,
    Complete,
    /// The rest may be left as it is.
    Either,
}

/// XEP-0050 §4.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    kind: &'static str,
    text: String,
}

/// One step of a command.
pub(super) struct Run {
    shared: std::sync::Arc<Shared>,
    caller: Caller,
    /// Who is asked.
    at: BareJid,
    /// The service whose nodes are spoken of.
    service: BareJid,
    answers: Vec<Answers>,
    /// No further form is wanted.
    finish: bool,
}

/// Messages, each with whom it is for.
pub(super) type Messages = Vec<(Jid, Bytes)>;

type Showing<'a> = Pin<Box<dyn Future<Output = Result<Screen, StanzaError>> + Send + 'a>>;

/// A request that concerns commands.
pub(super) struct Order {
    caller: Caller,
    target: Target,
    what: What,
}

enum What {
    List,
    Info(&'static Command),
    Execute(Element),
}

fn execute(asked: &Asked<'_>) -> Result<Work, StanzaError> {
    if !has_commands(asked) {
        return Err(StanzaError::new(Condition::ServiceUnavailable));
    }
    Ok(order(asked, What::Execute(asked.element.clone())))
}

/// Accounts are pub/sub services (XEP-0163), whose commands are for themselves and for administrators.
fn has_commands(asked: &Asked<'_>) -> bool {
    match asked.target {
        Target::Server(_) | Target::Service(_) => true,
        Target::Account(_) => asked.caller.role != Role::Stranger,
        Target::Contact(_) => asked.caller.role == Role::Admin,
    }
}

/// Questions of service discovery about commands (XEP-0050 §2.2); nothing where the node is none of theirs.
pub(super) fn discovered(asked: &Asked<'_>) -> Option<Work> {
    let node = asked.element.attr("node")?;
    if !has_commands(asked) {
        return None;
    }
    if node == NS_COMMANDS {
        return match asked.element.ns() {
            disco::NS_ITEMS => Some(order(asked, What::List)),
            _ => Some(Work::Done(Body::Element(automation(NS_COMMANDS, "command-list", "Commands")))),
        };
    }
    let command = all().find(|command| command.node == node && command.is_of(&asked.target))?;
    match asked.element.ns() {
        // A command has nothing below it.
        disco::NS_ITEMS => {
            Some(Work::Done(Body::Element(Element::new("query", disco::NS_ITEMS).with_attr("node", node))))
        }
        _ => Some(order(asked, What::Info(command))),
    }
}

fn order(asked: &Asked<'_>, what: What) -> Work {
    Work::Command(Box::new(Order { caller: asked.caller.clone(), target: asked.target.clone(), what }))
}

fn automation(node: &str, kind: &str, name: &str) -> Element {
    let identity = Element::new("identity", disco::NS_INFO)
        .with_attr("category", "automation")
        .with_attr("type", kind)
        .with_attr("name", name);
    let feature = |var: &str| Element::new("feature", disco::NS_INFO).with_attr("var", var);
    Element::new("query", disco::NS_INFO)
        .with_attr("node", node)
        .with_child(identity)
        .with_children([feature(NS_COMMANDS), feature(NS_DATA)])
}

impl Command {
    fn is_of(&self, target: &Target) -> bool {
        match target.entity() {
            Entity::Account | Entity::Contact => self.at == Entity::Service,
            entity => self.at == entity,
        }
    }
}

impl Order {
    pub(super) async fn outcome(self, shared: &std::sync::Arc<Shared>) -> Result<(Body, Messages), Trouble> {
        let Order { caller, target, what } = self;
        let service = target.service().clone();
        let at = target.jid().clone();
        let run = Run { shared: shared.clone(), caller, at, service, answers: Vec::new(), finish: false };
        match what {
            What::List => Ok((run.list(&target).await?, Vec::new())),
            What::Info(command) if run.may(command).await? => {
                Ok((Body::Element(automation(command.node, "command-node", command.name)), Vec::new()))
            }
            What::Info(_) => Err(errors::forbidden().into()),
            What::Execute(element) => {
                let outcome = run.execute(&target, &element).await;
                outcome
                    .map(|(answer, then)| (Body::Element(answer), then))
                    .map_err(|error| Trouble { error, beside: Some(element) })
            }
        }
    }
}

impl Run {
    /// XEP-0050 §2.2: what the requester may run.
    async fn list(&self, target: &Target) -> Result<Body, StanzaError> {
        let jid = target.jid();
        let mut query = Element::new("query", disco::NS_ITEMS).with_attr("node", NS_COMMANDS);
        for command in all().filter(|command| command.is_of(target)) {
            if self.may(command).await? {
                let item = Element::new("item", disco::NS_ITEMS).with_attr("jid", jid.as_str());
                query.push(item.with_attr("node", command.node).with_attr("name", command.name));
            }
        }
        Ok(Body::Element(query))
    }

    async fn may(&self, command: &Command) -> Result<bool, StanzaError> {
        match command.whom {
            Whom::Creators => Ok(core::may_create(&self.caller, &self.policy(), None)),
            _ if self.caller.role == Role::Admin => Ok(true),
            Whom::Administrators => Ok(false),
            Whom::Everyone => Ok(true),
            Whom::Owners => self.owns_a_node().await,
        }
    }

    /// Whether the caller owns any node of the service. Who has more affiliations than are looked at is
    /// taken for an owner: the verb itself decides.
    async fn owns_a_node(&self) -> Result<bool, StanzaError> {
        let mut edge = Edge::First;
        for _ in 0..OWNER_PAGES_MAX {
            let page = Page { max: OWNER_PAGE_ENTRIES, edge };
            let answered = self.ask(Verb::Affiliations { node: None, page }).await?;
            let Answer::AffiliationsOf(list) = answered.answer else { return Err(errors::internal()) };
            if list.entries.iter().any(|(_, affiliation)| *affiliation == Affiliation::Owner) {
                return Ok(true);
            }
            match list.last {
                Some(last) if !list.complete => edge = Edge::After(last),
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Runs a command from where its session stands (XEP-0050 §2.4).
    async fn execute(mut self, target: &Target, element: &Element) -> Result<(Element, Messages), StanzaError> {
        let command = named(target, element)?;
        let action = Action::parse(element.attr("action"))?;
        // XEP-0050 §3.7: we have one language.
        if element.attr_ns(NS_XML, "lang").is_some_and(|lang| !is_english(lang)) {
            return Err(errors::bad_locale());
        }
        if !self.may(command).await? {
            return Err(errors::forbidden());
        }
        let shared = self.shared.clone();
        let Some(id) = element.attr("sessionid") else {
            if action != Action::Execute {
                return Err(errors::bad_session_id());
            }
            return self.begin(command, target, element).await;
        };
        let now = shared.engine.clock().now();
        let kept = shared.commands.take(id, &self.caller.jid, command.node, target.jid(), now)?;
        let restore = kept.clone();
        let outcome = self.go_on(command, action, element, kept).await;
        if outcome.is_err() {
            // Whoever made a mistake may mend it.
            shared.commands.keep(restore);
        }
        outcome
    }

    /// The first screen; and what follows it where the answer to it came along.
    async fn begin(
        &mut self,
        command: &'static Command,
        target: &Target,
        element: &Element,
    ) -> Result<(Element, Messages), StanzaError> {
        let now = self.shared.engine.clock().now();
        let number = self.shared.commands.number(now);
        let mut session = Session::new(self.caller.jid.clone(), target.jid().clone(), command.node);
        let mut screen = (command.next)(self).await?;
        if let Screen::Ask(form, then) = &screen
            && element.child("x", NS_DATA).is_some()
        {
            self.answers.push(submitted(element, form.form_type())?);
            self.finish = *then == Then::Complete;
            screen = (command.next)(self).await?;
        }
        session.answers = std::mem::take(&mut self.answers);
        self.show(command, Kept { number, session }, screen)
    }

    async fn go_on(
        &mut self,
        command: &'static Command,
        action: Action,
        element: &Element,
        mut kept: Kept,
    ) -> Result<(Element, Messages), StanzaError> {
        let Some(step) = kept.session.allows.step(action)? else {
            let id = self.shared.commands.id(kept.number, &self.caller.jid);
            return Ok((answer(command, &id, "canceled"), Vec::new()));
        };
        self.answers = std::mem::take(&mut kept.session.answers);
        let screen = match step {
            Step::Back => {
                let forgotten = self.answers.pop().unwrap_or_default();
                match (command.next)(self).await? {
                    Screen::Ask(form, then) => Screen::Ask(forgotten.remembered(form), then),
                    done @ (Screen::Done(..) | Screen::Sent(_)) => done,
                }
            }
            Step::On { finish } => {
                self.answers.push(submitted(element, kept.session.form_type.as_deref())?);
                self.finish = finish;
                (command.next)(self).await?
            }
        };
        kept.session.answers = std::mem::take(&mut self.answers);
        self.show(command, kept, screen)
    }

    /// The answer that bears a screen. A session that goes on is kept.
    fn show(&self, command: &Command, mut kept: Kept, screen: Screen) -> Result<(Element, Messages), StanzaError> {
        let sessions = &self.shared.commands;
        let id = sessions.id(kept.number, &self.caller.jid);
        match screen {
            Screen::Ask(form, then) => {
                kept.session.allows = Allows { back: !kept.session.answers.is_empty(), then };
                kept.session.form_type = form.form_type().map(str::to_owned);
                let actions = kept.session.allows.to_element();
                sessions.open(kept, self.shared.engine.clock().now())?;
                let shown = answer(command, &id, "executing").with_child(actions).with_child(form.to_element());
                Ok((shown, Vec::new()))
            }
            Screen::Done(notes, form) => {
                let done = answer(command, &id, "completed").with_children(notes.iter().map(Note::to_element));
                Ok((done.with_children(form.map(|form| form.to_element())), Vec::new()))
            }
            Screen::Sent(messages) => Ok((answer(command, &id, "completed"), messages)),
        }
    }

    /// The answers to a form, checked against its questions; nothing while it has not been answered.
    fn answered(&self, step: usize, questions: &[Question]) -> Result<Option<Answers>, StanzaError> {
        self.answers.get(step).map(|answers| answers.checked(questions)).transpose()
    }

    /// Whoever keeps the accounts.
    fn administration(&self) -> Result<&Administration, StanzaError> {
        self.shared.administration.get().ok_or_else(|| StanzaError::new(Condition::ServiceUnavailable))
    }

    /// The rules of the service, as its forms must show them.
    fn policy(&self) -> ServicePolicy {
        self.shared.engine.policy(&self.service)
    }

    /// The error of a refusal that is known before the engine is asked.
    fn refused(verb: &Verb, refusal: &Refusal) -> StanzaError {
        Context::of(verb).refused(refusal).error
    }

    /// Asks the engine in the caller's name.
    async fn ask(&self, verb: Verb) -> Result<Answered, StanzaError> {
        let context = Context::of(&verb);
        let request = Request { caller: self.caller.clone(), service: self.service.clone(), verb };
        self.shared.engine.ask(request).await.map_err(|wrong| match wrong {
            Wrong::Refused(Refusal::InvalidConfig { field, why }) => errors::bad_payload(format!("{field}: {why}")),
            Wrong::Refused(refusal) => context.refused(&refusal).error,
            Wrong::Failed(failure) => failed(&failure),
            Wrong::Overloaded => overloaded(),
        })
    }
}

/// The command that is to be run.
fn named(target: &Target, element: &Element) -> Result<&'static Command, StanzaError> {
    let Some(node) = element.attr("node").filter(|node| !node.is_empty()) else {
        return Err(bad_request("the request names no command"));
    };
    match all().find(|command| command.node == node && command.is_of(target)) {
        Some(command) => Ok(command),
        None => Err(errors::no_such_command(node)),
    }
}

/// What the requester filled in: the form that was shown, which bore this FORM_TYPE. A form that bears none is taken for
/// it (XEP-0068 §3).
fn submitted(element: &Element, shown: Option<&str>) -> Result<Answers, StanzaError> {
    let form = Form::within(element).map_err(|why| errors::bad_payload(why.to_string()))?;
    match form {
        Some(form) if form.form_type().is_some_and(|given| Some(given) != shown) => {
            Err(errors::bad_payload("the form is of another FORM_TYPE than the one that was asked for"))
        }
        // XEP-0050 §3.5.1: a form of type cancel counts as submitted.
        Some(form) if matches!(form.kind, FormType::Submit | FormType::Cancel) => Ok(Answers::of(&form)),
        Some(_) => Err(errors::bad_payload("the form is not of type submit")),
        None => Err(errors::bad_payload("the form that was asked for is missing")),
    }
}

/// XEP-0050 §4.1, Table 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Execute,
    Cancel,
    Prev,
    Next,
    Complete,
}

impl Action {
    fn parse(word: Option<&str>) -> Result<Self, StanzaError> {
        match word {
            None | Some("execute") => Ok(Action::Execute),
            Some("cancel") => Ok(Action::Cancel),
            Some("prev") => Ok(Action::Prev),
            Some("next") => Ok(Action::Next),
            Some("complete") => Ok(Action::Complete),
            Some(_) => Err(errors::malformed_action()),
        }
    }
}

/// Where an action leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Back,
    On { finish: bool },
}

impl Allows {
    /// What the action comes to here; nothing where it ends the session.
    fn step(self, action: Action) -> Result<Option<Step>, StanzaError> {
        let on = |finish: bool| Ok(Some(Step::On { finish }));
        match (action, self.then) {
            (Action::Cancel, _) => Ok(None),
            (Action::Prev, _) if self.back => Ok(Some(Step::Back)),
            (Action::Execute | Action::Next, Then::Next | Then::Either) => on(false),
            (Action::Execute, Then::Complete) | (Action::Complete, Then::Complete | Then::Either) => on(true),
            (Action::Prev, _) | (Action::Next, Then::Complete) | (Action::Complete, Then::Next) => {
                Err(errors::bad_action())
            }
        }
    }

    /// XEP-0050 §4.2.
    fn to_element(self) -> Element {
        let (default, next, complete) = match self.then {
            Then::Next => ("next", true, false),
            Then::Complete => ("complete", false, true),
            Then::Either => ("next", true, true),
        };
        let allowed = [("prev", self.back), ("next", next), ("complete", complete)];
        let allowed = allowed.into_iter().filter(|(_, allowed)| *allowed);
        let actions = Element::new("actions", NS_COMMANDS).with_attr("execute", default);
        actions.with_children(allowed.map(|(name, _)| Element::new(name, NS_COMMANDS)))
    }
}

impl Screen {
    fn done(text: impl Into<String>) -> Self {
        Screen::Done(vec![Note::info(text)], None)
    }
}

impl Note {
    fn info(text: impl Into<String>) -> Self {
        Note { kind: "info", text: text.into() }
    }

    fn error(text: impl Into<String>) -> Self {
        Note { kind: "error", text: text.into() }
    }

    fn to_element(&self) -> Element {
        Element::new("note", NS_COMMANDS).with_attr("type", self.kind).with_text(self.text.as_str())
    }
}

fn answer(command: &Command, id: &str, status: &str) -> Element {
    let mut element = Element::new("command", NS_COMMANDS)
        .with_attr("node", command.node)
        .with_attr("sessionid", id)
        .with_attr("status", status);
    element.set_attr_ns(NS_XML, "lang", "en");
    element
}

/// The name of a field of a node's configuration, as forms bear it.
pub(super) fn var(field: &Field) -> String {
    field.var()
}

fn is_english(tag: &str) -> bool {
    tag.is_empty() || tag.split('-').next().is_some_and(|language| language.eq_ignore_ascii_case("en"))
}

pub(super) const NS_COMMANDS: &str = "http://jabber.org/protocol/commands";
/// The forms of our own commands, and what their names begin with.
const NS_OURS: &str = "tidings:commands:0";
const NS_XML: &str = "http://www.w3.org/XML/1998/namespace";
const AT: &[Entity] = &[Entity::Server, Entity::Service, Entity::Account, Entity::Contact];
/// Pages of the caller's affiliations that are searched for a node of its own.
const OWNER_PAGES_MAX: usize = 10;
const OWNER_PAGE_ENTRIES: u64 = 100;
