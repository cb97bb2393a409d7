//! Who waits for an owner's approval (XEP-0060 §8.7).

use crate::engine::Answer;
use crate::jid::Jid;
use crate::pubsub::{FieldKind, Node, Subscription, Verb};
use crate::xep::Entity;
use crate::xep::commands::answers::Question;
use crate::xep::commands::{Command, Run, Screen, Then, Whom, errors};
use crate::xep::pubsub::approval;
use crate::xmpp::{Field, FieldType, Form, FormType, StanzaError};

pub(super) const COMMANDS: &[Command] = &[Command {
    node: "http://jabber.org/protocol/pubsub#get-pending",
    name: "Requests to subscribe",
    at: Entity::Service,
    whom: Whom::Owners,
    asks: PENDING,
    next: |run| Box::pin(pending(run)),
}];

/// Which of the nodes for which somebody waits, then the requests, each in a message after the answer.
async fn pending(run: &Run) -> Result<Screen, StanzaError> {
    let Some(given) = run.answered(0, PENDING)? else {
        let waiting = waiting(run, Verb::Pending { node: None }).await?;
        let mut nodes: Vec<&str> = waiting.iter().map(|(node, _)| node.address.node.as_str()).collect();
        nodes.dedup();
        let field = Field::new(NODE, FieldType::ListSingle).with_label(PENDING[0].label);
        let options = nodes.into_iter().map(|node| (None, node.to_owned())).collect();
        let form = Form::of_type(FormType::Form, NS_SUBSCRIBE_AUTHORIZATION);
        return Ok(Screen::Ask(form.with_field(Field { options, required: true, ..field }), Then::Complete));
    };
    let waiting = waiting(run, Verb::Pending { node: Some(given.node(NODE)?) }).await?;
    let to = &run.caller.jid;
    let requests = waiting.iter().map(|(node, subscription)| (to.clone(), approval::request(node, subscription, to)));
    let requests: Vec<(Jid, bytes::Bytes)> = requests.collect();
    Ok(Screen::Sent(requests))
}

async fn waiting(run: &Run, verb: Verb) -> Result<Vec<(Node, Subscription)>, StanzaError> {
    match run.ask(verb).await?.answer {
        Answer::Pending(waiting) => Ok(waiting),
        _ => Err(errors::internal()),
    }
}

const PENDING: &[Question] =
    &[Question::needed(NODE, FieldKind::Text, "The node whose requests to subscribe are to be sent")];
const NODE: &str = "pubsub#node";
const NS_SUBSCRIBE_AUTHORIZATION: &str = "http://jabber.org/protocol/pubsub#subscribe_authorization";
