//! Commands that show and change a node's subscriptions and affiliations.

use crate::engine::Answer;
use crate::jid::{BareJid, Jid};
use crate::pubsub::{Affiliation, Edge, FieldKind, NodeId, Page, SubId, Subscription, SubscriptionState, Verb};
use crate::store::List;
use crate::xep::Entity;
use crate::xep::commands::answers::{self, Answers, Question, table};
use crate::xep::commands::nodes::NODE;
use crate::xep::commands::{Command, NS_OURS, Note, Run, Screen, Then, Whom, errors};
use crate::xmpp::{Field, FieldType, Form, StanzaError};

pub(super) const COMMANDS: &[Command] = &[
    Command {
        node: "tidings:commands:0#show-subscriptions",
        name: "Show the subscriptions of a node",
        at: Entity::Service,
        whom: Whom::Owners,
        asks: SHOW,
        next: |run| Box::pin(show_subscriptions(run)),
    },
    Command {
        node: "tidings:commands:0#set-subscription",
        name: "Change a subscription of a node",
        at: Entity::Service,
        whom: Whom::Owners,
        asks: SET_SUBSCRIPTION,
        next: |run| Box::pin(set_subscription(run)),
    },
    Command {
        node: "tidings:commands:0#show-affiliations",
        name: "Show the affiliations of a node",
        at: Entity::Service,
        whom: Whom::Owners,
        asks: SHOW,
        next: |run| Box::pin(show_affiliations(run)),
    },
    Command {
        node: "tidings:commands:0#set-affiliation",
        name: "Change affiliations of a node",
        at: Entity::Service,
        whom: Whom::Owners,
        asks: SET_AFFILIATION,
        next: |run| Box::pin(set_affiliation(run)),
    },
];

/// Which node, and which part of the list.
const SHOW: &[Question] = &[
    NODE,
    Question::optional("after", FieldKind::Text, "Where an earlier list ended, as its result says"),
    Question::number("max", "How many entries to show", "100", (1, SHOWN_MAX)),
];

async fn show_subscriptions(run: &Run) -> Result<Screen, StanzaError> {
    const COLUMNS: &[(&str, FieldKind, &str)] = &[
        ("jid", FieldKind::Jid, "Subscriber"),
        ("subscription", FieldKind::Text, "State"),
        ("subid", FieldKind::Text, "Identifier"),
    ];
    let Some(given) = run.answered(0, SHOW)? else {
        let form = answers::form(NS_OURS, "Show the subscriptions of a node", "Name the node.", SHOW);
        return Ok(Screen::Ask(form, Then::Complete));
    };
    let (node, page) = wanted(&given, run.shared.options.list_entries_max)?;
    let answered = run.ask(Verb::NodeSubscriptions { node: node.clone(), page }).await?;
    let Answer::NodeSubscriptions(list) = answered.answer else { return Err(errors::internal()) };
    let row = |subscription: &Subscription| {
        vec![
            subscription.jid.to_string(),
            subscription.state.as_str().to_owned(),
            subscription.subid.as_str().to_owned(),
        ]
    };
    let title = format!("Subscriptions of {node}");
    Ok(part(table(NS_OURS, &title, COLUMNS, list.entries.iter().map(row)), &list))
}

async fn set_subscription(run: &Run) -> Result<Screen, StanzaError> {
    let Some(given) = run.answered(0, SET_SUBSCRIPTION)? else {
        let form = answers::form(
            NS_OURS,
            "Change a subscription of a node",
            "Name the node and the subscriber.",
            SET_SUBSCRIPTION,
        );
        return Ok(Screen::Ask(form, Then::Complete));
    };
    let node = given.node("node")?;
    let state = given.text("subscription").and_then(SubscriptionState::parse).unwrap_or(SubscriptionState::None);
    let subid = given.text("subid").map(|subid| SubId(subid.into()));
    let changes: Vec<(Jid, Option<SubId>, SubscriptionState)> =
        given.jids("jid").into_iter().map(|jid| (jid, subid.clone(), state)).collect();
    run.ask(Verb::SetSubscriptions { node: node.clone(), changes }).await?;
    Ok(Screen::done(format!("The subscriptions of {node} were changed.")))
}

async fn show_affiliations(run: &Run) -> Result<Screen, StanzaError> {
    const COLUMNS: &[(&str, FieldKind, &str)] =
        &[("jid", FieldKind::Jid, "Entity"), ("affiliation", FieldKind::Text, "Affiliation")];
    let Some(given) = run.answered(0, SHOW)? else {
        let form = answers::form(NS_OURS, "Show the affiliations of a node", "Name the node.", SHOW);
        return Ok(Screen::Ask(form, Then::Complete));
    };
    let (node, page) = wanted(&given, run.shared.options.list_entries_max)?;
    let answered = run.ask(Verb::NodeAffiliations { node: node.clone(), page }).await?;
    let Answer::NodeAffiliations(list) = answered.answer else { return Err(errors::internal()) };
    let row = |(jid, affiliation): &(BareJid, Affiliation)| vec![jid.to_string(), affiliation.as_str().to_owned()];
    let title = format!("Affiliations of {node}");
    Ok(part(table(NS_OURS, &title, COLUMNS, list.entries.iter().map(row)), &list))
}

async fn set_affiliation(run: &Run) -> Result<Screen, StanzaError> {
    let Some(given) = run.answered(0, SET_AFFILIATION)? else {
        let instructions = "All of them are changed, or none. A node keeps at least one owner.";
        let form = answers::form(NS_OURS, "Change affiliations of a node", instructions, SET_AFFILIATION);
        return Ok(Screen::Ask(form, Then::Complete));
    };
    let node = given.node("node")?;
    let affiliation = given.text("affiliation").and_then(Affiliation::parse).unwrap_or_default();
    let changes: Vec<(BareJid, Affiliation)> =
        given.bare_jids("jids").into_iter().map(|jid| (jid, affiliation)).collect();
    run.ask(Verb::SetAffiliations { node: node.clone(), changes }).await?;
    Ok(Screen::done(format!("The affiliations of {node} were changed.")))
}

fn wanted(given: &Answers, entries_max: u64) -> Result<(NodeId, Page), StanzaError> {
    let max = given.number("max").unwrap_or(entries_max).clamp(1, entries_max);
    let edge = given.text("after").map_or(Edge::First, |after| Edge::After(after.to_owned()));
    Ok((given.node("node")?, Page { max, edge }))
}

/// A table that is a part of a list, and how to go on.
fn part<T>(mut form: Form, list: &List<T>) -> Screen {
    let mut notes = vec![Note::info(format!("{} of {} entries.", list.entries.len(), list.count))];
    if let Some(next) = list.last.as_ref().filter(|_| !list.complete) {
        notes.push(Note::info(format!("Ask again for those after {next}")));
        form.fields.push(Field::new("after", FieldType::Hidden).with_value(next));
    }
    Screen::Done(notes, Some(form))
}

const STATES: &[(&str, &str)] = &[("subscribed", "Subscribed"), ("none", "Not subscribed")];
const AFFILIATIONS: &[(&str, &str)] = &[
    ("owner", "Owner"),
    ("publisher", "Publisher"),
    ("publish-only", "Publishes and does not read"),
    ("member", "Member"),
    ("none", "None"),
    ("outcast", "Outcast"),
];

const SET_SUBSCRIPTION: &[Question] = &[
    NODE,
    Question::needed("jid", FieldKind::Jid, "The subscriber"),
    Question::optional("subid", FieldKind::Text, "The identifier, to be sure of which subscription is meant"),
    Question::needed("subscription", FieldKind::Choice(STATES), "What the entity is to be"),
];

const SET_AFFILIATION: &[Question] = &[
    NODE,
    Question::needed("jids", FieldKind::Jids, "Whose affiliation is changed"),
    Question::needed("affiliation", FieldKind::Choice(AFFILIATIONS), "What they are to be"),
];
/// Entries of one answer.
const SHOWN_MAX: u64 = 1000;
