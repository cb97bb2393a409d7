//! Commands that publish and retract an item.

use crate::engine::Answer;
use crate::payload::{self, PayloadError};
use crate::pubsub::{FieldKind, ItemId, NewItem, Payload, Precondition, Reply, Verb};
use crate::xep::Entity;
use crate::xep::commands::answers::{self, Answers, Question};
use crate::xep::commands::nodes::NODE;
use crate::xep::commands::{Command, NS_OURS, Note, Run, Screen, Then, Whom, errors};
use crate::xmpp::{FieldType, Form, FormType, StanzaError};

pub(super) const COMMANDS: &[Command] = &[
    Command {
        node: "tidings:commands:0#publish-item",
        name: "Publish an item",
        at: Entity::Service,
        whom: Whom::Everyone,
        asks: PUBLISH,
        next: |run| Box::pin(publish(run)),
    },
    Command {
        node: "tidings:commands:0#retract-items",
        name: "Retract items",
        at: Entity::Service,
        whom: Whom::Everyone,
        asks: RETRACT,
        next: |run| Box::pin(retract(run)),
    },
];

async fn publish(run: &Run) -> Result<Screen, StanzaError> {
    let Some(given) = run.answered(0, PUBLISH)? else {
        let instructions = "An item of the same id is overwritten.";
        return Ok(Screen::Ask(answers::form(NS_OURS, "Publish an item", instructions, PUBLISH), Then::Complete));
    };
    let node = given.node("node")?;
    let id = given.text("item").map(item_id).transpose()?;
    let payload = written(&given).map_err(|why| errors::bad_payload(format!("payload: {why}")))?;
    let items = vec![NewItem { id, payload, precondition: Precondition::None }];
    let answered = run.ask(Verb::Publish { node: node.clone(), items, options: None, create: false }).await?;
    let Answer::Reply(Reply::Published { items, .. }) = answered.answer else { return Err(errors::internal()) };
    let Some(id) = items.first().and_then(|published| published.id.as_ref()) else {
        return Ok(Screen::done(format!("The subscribers of {node} were notified.")));
    };
    let told = answers::told("item", FieldType::TextSingle, "The id of the item", vec![id.to_string()]);
    let form = Form::of_type(FormType::Result, NS_OURS).with_field(told);
    Ok(Screen::Done(vec![Note::info(format!("The item {id} was published at {node}."))], Some(form)))
}

/// The payload, as its format has it.
fn written(given: &Answers) -> Result<Option<Payload>, PayloadError> {
    // XEP-0004 §3.3: a text of several lines has a value for each.
    let text = given.values("payload").join("\n");
    if text.trim().is_empty() {
        return Ok(None);
    }
    let read = match given.text("format") {
        Some("json") => payload::from_json,
        Some("text") => payload::from_text,
        _ => payload::from_xml,
    };
    read(text.as_bytes()).map(Some)
}

async fn retract(run: &Run) -> Result<Screen, StanzaError> {
    let Some(given) = run.answered(0, RETRACT)? else {
        let instructions = "All the items are retracted, or none.";
        return Ok(Screen::Ask(answers::form(NS_OURS, "Retract items", instructions, RETRACT), Then::Complete));
    };
    let node = given.node("node")?;
    let items = given.lines("items").map(item_id).collect::<Result<Vec<ItemId>, StanzaError>>()?;
    let notify = match given.text("notify") {
        Some("yes") => Some(true),
        Some("no") => Some(false),
        _ => None,
    };
    let count = items.len();
    run.ask(Verb::Retract { node: node.clone(), items, notify, precondition: Precondition::None }).await?;
    Ok(Screen::done(match count {
        1 => format!("The item was retracted from {node}."),
        count => format!("{count} items were retracted from {node}."),
    }))
}

fn item_id(text: &str) -> Result<ItemId, StanzaError> {
    ItemId::parse(text).ok_or_else(|| errors::bad_payload(format!("an item cannot be called {text:?}")))
}

const FORMATS: &[(&str, &str)] = &[("xml", "XML, one element"), ("json", "JSON"), ("text", "Plain text")];
const NOTIFY: &[(&str, &str)] = &[("configured", "As the node is configured"), ("yes", "Yes"), ("no", "No")];

const PUBLISH: &[Question] = &[
    NODE,
    Question::optional("item", FieldKind::Text, "The id of the item; without one the service makes it"),
    Question::preset("format", FieldKind::Choice(FORMATS), "How the payload is written", "xml"),
    Question::optional("payload", FieldKind::Texts, "The payload; none for an item that only notifies"),
];

const RETRACT: &[Question] = &[
    NODE,
    Question::needed("items", FieldKind::Texts, "The ids of the items, one a line"),
    Question::preset("notify", FieldKind::Choice(NOTIFY), "Whether subscribers are told", "configured"),
];
