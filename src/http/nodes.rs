//! The nodes that the caller may know of: `GET /v1/nodes` (XEP-0060 §5.2).

use axum::http::StatusCode;
use axum::response::Response;

use crate::engine::Answer;
use crate::http::json::Object;
use crate::http::page::{PARAMETERS, Paging};
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::routes::{Call, Scope, json};
use crate::pubsub::Verb;

pub(super) async fn list(call: &Call) -> Result<Response, Problem> {
    let query = Query::parse(call.parts.uri.query(), PARAMETERS)?;
    let paging = Paging::read(&query, &call.door.options)?;
    let answered = call.ask(Verb::Nodes { page: paging.page.clone() }).await?;
    let Answer::Nodes(list) = &answered.answer else {
        return Err(Problem::internal("a list of nodes was answered with something else"));
    };
    let mut out = Vec::with_capacity(1024);
    let mut object = Object::begin(&mut out);
    let mut nodes = object.array("nodes");
    // A token sees the nodes that it covers; the page is shorter by the others.
    for node in paging.ordered(list).filter(|node| call.covers(Scope::Read, &node.address.node)) {
        let mut entry = nodes.object();
        entry.text("node", node.address.node.as_str());
        entry.text("title", &node.config.title);
        entry.number("items", node.items);
        entry.plain("created", node.created);
        entry.end();
    }
    nodes.end();
    paging.write(&mut object, list);
    object.end();
    Ok(json(StatusCode::OK, out))
}
