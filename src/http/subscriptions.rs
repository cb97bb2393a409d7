//! Subscriptions: all of a node's for its owners (XEP-0060 §8.8), and one entity's with its options (§5.6, §6.1 to
//! §6.3).
//!
//! A subscription is for those who are told over XMPP: over HTTP nobody needs one to watch. It is named by the JID
//! that it is of, and by its `subid` where the operator lets a JID have several.

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::Response;
use serde_json::Value;

use crate::delivery::Due;
use crate::engine::{Answer, Answered, Wrong};
use crate::http::body::require_json;
use crate::http::conditional::WriteCondition;
use crate::http::json::{Object, write_options};
use crate::http::page::{PARAMETERS, Paging};
use crate::http::pairs::Pairs;
use crate::http::path::{location, subscription_location};
use crate::http::problem::{Problem, escape_pointer};
use crate::http::query::Query;
use crate::http::routes::{Call, Scope, json, no_content};
use crate::jid::Jid;
use crate::pubsub::{NodeId, Public, RawField, Refusal, Reply, SubId, Subscription, SubscriptionState, Verb};
use crate::store::List;

/// Everyone's to an owner, to others their own.
pub(super) async fn list(call: &Call, node: NodeId) -> Result<Response, Problem> {
    let query = Query::parse(call.parts.uri.query(), PARAMETERS)?;
    let paging = Paging::read(&query, &call.door.options)?;
    if call.covers(Scope::Manage, &node) {
        match call.ask(Verb::NodeSubscriptions { node: node.clone(), page: paging.page.clone() }).await {
            Ok(answered) => {
                let Answer::NodeSubscriptions(list) = &answered.answer else { return Err(something_else()) };
                let subscriptions = paging.ordered(list);
                return Ok(call.mark(page(subscriptions, &paging, list), answered.at));
            }
            Err(Wrong::Refused(Refusal::Forbidden)) => {}
            Err(wrong) => return Err(wrong.into()),
        }
    }
    call.require(Scope::Read, &node)?;
    let answered = call.ask(Verb::Subscriptions { node: Some(node), page: paging.page.clone() }).await?;
    let Answer::SubscriptionsOf(list) = &answered.answer else { return Err(something_else()) };
    let subscriptions = paging.ordered(list).map(|(_, subscription)| subscription);
    Ok(call.mark(page(subscriptions, &paging, list), answered.at))
}

/// Sets the states of those who are named, all or none: `subscribed` approves or subscribes, `none` ends.
pub(super) async fn put_all(call: &Call, node: NodeId, body: Body) -> Result<Response, Problem> {
    Query::parse(call.parts.uri.query(), &[])?;
    let pairs = receive(call, &node, body).await?;
    let changes = changes(pairs)?;
    let answered = call.ask(Verb::SetSubscriptions { node, changes }).await?;
    Ok(call.mark(no_content(), answered.at))
}

pub(super) async fn show(call: &Call, node: NodeId, jid: Jid) -> Result<Response, Problem> {
    let subid = subid(call)?;
    call.require(Scope::Read, &node)?;
    let (subscription, answered) = standing(call, &node, &jid, subid).await?;
    Ok(call.mark(one(StatusCode::OK, &subscription), answered.at))
}

/// Subscribes, or sets the options of the subscription that is there.
pub(super) async fn put(call: &Call, node: NodeId, jid: Jid, body: Body) -> Result<Response, Problem> {
    let subid = subid(call)?;
    // Whoever is told from now on must be one who may read.
    call.require(Scope::Read, &node)?;
    let options = receive(call, &node, body).await?.into_options()?;
    match standing(call, &node, &jid, subid.clone()).await {
        // One that waits is asked for again: its owner may have opened the node.
        Ok((subscription, _)) if subscription.state != SubscriptionState::Pending => {
            return set_options(call, node, jid, subid, options).await;
        }
        Ok(_) => {}
        Err(problem) if problem.kind == NOT_SUBSCRIBED => {}
        Err(problem) => return Err(problem),
    }
    let verb = Verb::Subscribe { node: node.clone(), jid: jid.clone(), options: Some(options), public: Public::AsItIs };
    let answered = call.ask(verb).await?;
    let Answer::Reply(Reply::Subscribed { subscription, send_last }) = &answered.answer else {
        return Err(something_else());
    };
    // Whom somebody else has subscribed, is told by whoever tells him of that.
    if *send_last && *jid.bare() == call.login.account {
        // It goes where the notifications will go, over XMPP.
        let due = answered.at.map(|at| Due { node: at.node, subscription: subscription.clone(), at: at.seq });
        due.iter().for_each(|due| call.door.rooms.delivery.owe_last(due));
    }
    let mut response = one(StatusCode::CREATED, subscription);
    let at = format!("{}/subscriptions/{}", location(&call.service, &node, None), subscription_location(&jid));
    response.headers_mut().insert(LOCATION, HeaderValue::try_from(at).expect("a location is percent-encoded"));
    Ok(call.mark(response, answered.at))
}

/// Sets the options that are named.
pub(super) async fn patch(call: &Call, node: NodeId, jid: Jid, body: Body) -> Result<Response, Problem> {
    let subid = subid(call)?;
    let options = receive(call, &node, body).await?.into_options()?;
    set_options(call, node, jid, subid, options).await
}

/// Whoever may not read any more may still end what it began.
pub(super) async fn delete(call: &Call, node: NodeId, jid: Jid) -> Result<Response, Problem> {
    let subid = subid(call)?;
    WriteCondition::refuse(&call.parts.headers)?;
    call.require(Scope::Manage, &node)?;
    let answered = call.ask(Verb::Unsubscribe { node, jid, subid }).await?;
    Ok(call.mark(no_content(), answered.at))
}

async fn set_options(
    call: &Call,
    node: NodeId,
    jid: Jid,
    subid: Option<SubId>,
    options: Vec<RawField>,
) -> Result<Response, Problem> {
    if !options.is_empty() {
        let verb = Verb::SetOptions { node: node.clone(), jid: jid.clone(), subid: subid.clone(), options };
        call.ask(verb).await?;
    }
    let (subscription, answered) = standing(call, &node, &jid, subid).await?;
    Ok(call.mark(one(StatusCode::OK, &subscription), answered.at))
}

/// The subscription as it is.
async fn standing(
    call: &Call,
    node: &NodeId,
    jid: &Jid,
    subid: Option<SubId>,
) -> Result<(Subscription, Answered), Problem> {
    let answered = call.ask(Verb::Options { node: node.clone(), jid: jid.clone(), subid }).await?;
    match &answered.answer {
        Answer::Reply(Reply::Options { subscription }) => Ok((subscription.clone(), answered)),
        _ => Err(something_else()),
    }
}

fn subid(call: &Call) -> Result<Option<SubId>, Problem> {
    let query = Query::parse(call.parts.uri.query(), &["subid"])?;
    Ok(query.text("subid").map(|text| SubId(text.into())))
}

/// The object that a change bears; the token must cover the change before it is read.
async fn receive(call: &Call, node: &NodeId, body: Body) -> Result<Pairs, Problem> {
    WriteCondition::refuse(&call.parts.headers)?;
    call.require(Scope::Manage, node)?;
    require_json(&call.parts.headers, "application/json, application/merge-patch+json")?;
    Pairs::read(&call.receive(body).await?.bytes)
}

/// Reads `{"juliet@example.org": "subscribed"}`. Every fault is named, not the first only.
fn changes(pairs: Pairs) -> Result<Vec<(Jid, Option<SubId>, SubscriptionState)>, Problem> {
    let mut changes = vec![];
    let mut problem = Problem::invalid("an object of JIDs and states of their subscriptions is expected");
    for (jid, state) in pairs.0 {
        let word = match &state {
            Value::String(word) => SubscriptionState::parse(word),
            _ => None,
        };
        let pointer = format!("/{}", escape_pointer(&jid));
        match (Jid::parse(&jid), word) {
            (Ok(jid), Some(state @ (SubscriptionState::None | SubscriptionState::Subscribed))) => {
                changes.push((jid, None, state));
            }
            (Err(error), _) => problem = problem.fault(pointer, format!("not a JID: {error}")),
            (Ok(_), _) => problem = problem.fault(pointer, "subscribed or none is expected"),
        }
    }
    if problem.faults().is_empty() { Ok(changes) } else { Err(problem) }
}

fn page<'a, T>(subscriptions: impl Iterator<Item = &'a Subscription>, paging: &Paging, list: &List<T>) -> Response {
    let mut out = Vec::with_capacity(1024);
    let mut object = Object::begin(&mut out);
    let mut array = object.array("subscriptions");
    for subscription in subscriptions {
        let mut entry = array.object();
        write(&mut entry, subscription);
        entry.end();
    }
    array.end();
    paging.write(&mut object, list);
    object.end();
    json(StatusCode::OK, out)
}

fn one(status: StatusCode, subscription: &Subscription) -> Response {
    let mut out = Vec::with_capacity(256);
    let mut object = Object::begin(&mut out);
    write(&mut object, subscription);
    object.end();
    json(status, out)
}

fn write(object: &mut Object<'_>, subscription: &Subscription) {
    object.text("jid", &subscription.jid.to_string());
    object.text("subid", subscription.subid.as_str());
    object.text("state", subscription.state.as_str());
    let mut options = object.object("options");
    write_options(&mut options, &subscription.options);
    options.end();
}

fn something_else() -> Problem {
    Problem::internal("a subscription was answered with something else")
}

const NOT_SUBSCRIBED: &str = "not-subscribed";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_and_faults_are_placed() {
        let read = |json: &str| changes(Pairs::read(json.as_bytes()).unwrap());
        let jid = |text| Jid::parse(text).unwrap();
        let expected = vec![
            (jid("romeo@example.org"), None, SubscriptionState::Subscribed),
            (jid("a@b/c"), None, SubscriptionState::None),
        ];
        assert_eq!(read(r#"{"Romeo@example.org":"subscribed","a@b/c":"none"}"#), Ok(expected));
        assert_eq!(read("{}"), Ok(vec![]));
        let problem = read(r#"{"@":"none","d@e":"pending","f@g":1,"h@i":"none"}"#).unwrap_err();
        let pointers: Vec<&str> = problem.faults().iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!((problem.status.as_u16(), pointers), (422, vec!["/@", "/d@e", "/f@g"]));
    }
}
