//! The subscriptions of a node, for its owners: `GET …/subscriptions` (XEP-0060 §8.8.1).

use axum::http::StatusCode;
use axum::response::Response;

use crate::engine::Answer;
use crate::http::json::Object;
use crate::http::page::{PARAMETERS, Paging};
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::routes::{Call, Scope, json};
use crate::pubsub::{NodeId, Verb};

pub(super) async fn list(call: &Call, node: NodeId) -> Result<Response, Problem> {
    let query = Query::parse(call.parts.uri.query(), PARAMETERS)?;
    let paging = Paging::read(&query, &call.door.options)?;
    call.require(Scope::Manage, &node)?;
    let answered = call.ask(Verb::NodeSubscriptions { node, page: paging.page.clone() }).await?;
    let Answer::NodeSubscriptions(list) = &answered.answer else {
        return Err(Problem::internal("subscriptions were answered with something else"));
    };
    let mut out = Vec::with_capacity(1024);
    let mut object = Object::begin(&mut out);
    let mut subscriptions = object.array("subscriptions");
    for subscription in paging.ordered(list) {
        let mut entry = subscriptions.object();
        entry.text("jid", &subscription.jid.to_string());
        entry.text("subid", subscription.subid.as_str());
        entry.text("state", subscription.state.as_str());
        entry.end();
    }
    subscriptions.end();
    paging.write(&mut object, list);
    object.end();
    Ok(call.mark(json(StatusCode::OK, out), answered.at))
}
