//! Who wants to subscribe, told to those who decide, and their answers (XEP-0060 §8.6); and what else
//! is told apart from events: changes of subscriptions (§12.14) and of affiliations (§8.9.4).

use bytes::Bytes;

use crate::engine::Engine;
use crate::jid::{BareJid, Jid};
use crate::pubsub::{Affiliation, Caller, Node, NodeAddress, NodeId, Request, SubId, Subscription, Verb};
use crate::xep::pubsub::{NS_EVENT, NS_PUBSUB, NS_SUBSCRIBE_AUTHORIZATION, errors};
use crate::xep::{Xep, bad_request};
use crate::xml::Element;
use crate::xmpp::{Condition, Field, FieldType, Form, FormType, Message, MessageType, NS_CLIENT, StanzaError};

/// The question to an owner whether somebody may subscribe. It has one name, however often it is asked.
pub fn request(node: &Node, subscription: &Subscription, to: &Jid) -> Bytes {
    let (name, subscriber) = (node.address.node.as_str(), subscription.jid.to_string());
    let field = |name: &str, kind, value: &str| Field::new(name, kind).with_value(value);
    let mut form = Form::of_type(FormType::Form, NS_SUBSCRIBE_AUTHORIZATION)
        .with_field(field("pubsub#subid", FieldType::Hidden, subscription.subid.as_str()))
        .with_field(field("pubsub#node", FieldType::TextSingle, name).with_label("Node"))
        .with_field(field("pubsub#subscriber_jid", FieldType::JidSingle, &subscriber).with_label("Subscriber"))
        .with_field(field("pubsub#allow", FieldType::Boolean, "0").with_label("Whether the subscriber is let in"));
    form.title = Some("A request to subscribe".to_owned());
    form.instructions = vec!["Answer to let the subscriber in or to turn it away.".to_owned()];
    let body = Element::new("body", NS_CLIENT).with_text(format!("{subscriber} asks to subscribe to {name}."));
    let id = format!("approve-{}-{}", node.key.0, subscription.subid.as_str());
    message(&node.address.service, to, Some(id), [body, form.to_element()])
}

/// That a subscription has become what it is now; to the subscriber, or to an owner.
pub fn subscription(address: &NodeAddress, subscription: &Subscription, to: &Jid) -> Bytes {
    let changed = Element::new("subscription", NS_EVENT)
        .with_attr("node", address.node.as_str())
        .with_attr("jid", subscription.jid.to_string())
        .with_attr("subscription", subscription.state.as_str())
        .with_attr("subid", subscription.subid.as_str());
    message(&address.service, to, None, [Element::new("event", NS_EVENT).with_child(changed)])
}

/// That a node has been deleted at which somebody waits (XEP-0060 §8.4.2).
pub fn deleted(address: &NodeAddress, to: &Jid, redirect: Option<&str>) -> Bytes {
    let redirect = redirect.map(|uri| Element::new("redirect", NS_EVENT).with_attr("uri", uri));
    let deleted = Element::new("delete", NS_EVENT).with_attr("node", address.node.as_str()).with_children(redirect);
    message(&address.service, to, None, [Element::new("event", NS_EVENT).with_child(deleted)])
}

/// That somebody has another affiliation now.
pub fn affiliation(address: &NodeAddress, jid: &BareJid, affiliation: Affiliation) -> Bytes {
    let changed = Element::new("affiliation", NS_PUBSUB)
        .with_attr("jid", jid.as_str())
        .with_attr("affiliation", affiliation.as_str());
    let affiliations =
        Element::new("affiliations", NS_PUBSUB).with_attr("node", address.node.as_str()).with_child(changed);
    let to = Jid::Bare(jid.clone());
    message(&address.service, &to, None, [Element::new("pubsub", NS_PUBSUB).with_child(affiliations)])
}

impl Xep {
    /// Takes an owner's answer to [`request`] out of a message to a service of ours; nothing, if it is
    /// another message. What comes is an error to be sent back, or silence: the answer was taken.
    pub fn hear(
        &self,
        caller: &Caller,
        message: &Message,
    ) -> Option<impl Future<Output = Option<Bytes>> + Send + use<>> {
        let service = match &message.to {
            Some(Jid::Bare(to)) if self.hosts().iter().any(|host| host.service == *to) => to.clone(),
            _ => return None,
        };
        if message.kind == MessageType::Error {
            return None;
        }
        let form = Form::within(&message.content).ok().flatten();
        let form = form.filter(|form| form.form_type() == Some(NS_SUBSCRIBE_AUTHORIZATION))?;
        let (engine, envelope) = (self.shared.engine.clone(), message.clone());
        let work = answer(&form, caller.clone(), service);
        Some(async move {
            let error = take(&engine, work).await?;
            let content = Element::new("message", NS_CLIENT).with_child(error.to_element(NS_CLIENT));
            let Message { id, from, to, .. } = envelope;
            let bounced = Message { id, from: to, to: from, kind: MessageType::Error, content };
            Some(bytes(&bounced.into_element()))
        })
    }
}

/// What an owner decided. Nothing, where the form was cancelled: then the request goes on waiting.
fn answer(form: &Form, caller: Caller, service: BareJid) -> Result<Option<Request>, StanzaError> {
    match form.kind {
        FormType::Cancel => return Ok(None),
        FormType::Submit => {}
        FormType::Form | FormType::Result => return Err(bad_request("the form is not of type submit")),
    }
    let value = |name: &str| match form.field(name).map(|field| field.values.as_slice()) {
        Some([value]) if !value.is_empty() => Ok(value.as_str()),
        _ => Err(bad_request(format!("the form does not say {name}"))),
    };
    let allow = match value("pubsub#allow")? {
        "1" | "true" => true,
        "0" | "false" => false,
        _ => return Err(bad_request("pubsub#allow is not a boolean")),
    };
    let node = NodeId::parse(value("pubsub#node")?).ok_or_else(|| StanzaError::new(Condition::ItemNotFound))?;
    let jid = Jid::parse(value("pubsub#subscriber_jid")?).map_err(|_| errors::invalid_jid())?;
    let subid = value("pubsub#subid").ok().map(|subid| SubId(subid.into()));
    Ok(Some(Request { caller, service, verb: Verb::Approve { node, jid, subid, allow } }))
}

async fn take(engine: &Engine, work: Result<Option<Request>, StanzaError>) -> Option<StanzaError> {
    match work {
        Err(error) => Some(error),
        Ok(None) => None,
        Ok(Some(request)) => {
            let context = errors::Context::of(&request.verb);
            engine.ask(request).await.err().map(|wrong| context.wrong(&wrong).error)
        }
    }
}

fn message<const N: usize>(from: &BareJid, to: &Jid, id: Option<String>, children: [Element; N]) -> Bytes {
    let content = Element::new("message", NS_CLIENT).with_children(children);
    let (from, to) = (Some(Jid::Bare(from.clone())), Some(to.clone()));
    bytes(&Message { id, from, to, kind: MessageType::Normal, content }.into_element())
}

fn bytes(element: &Element) -> Bytes {
    let mut out = Vec::with_capacity(512);
    element.write(&mut out, NS_CLIENT);
    Bytes::from(out)
}
