//! The configuration of a node: `GET` and `PATCH /v1/nodes/{node}` (XEP-0060 §8.2, §5.4).
//!
//! The configuration goes by the names of XEP-0060 §16.4.4 without the prefix. A node's owners see all
//! of it; who else may know of the node sees what the node's metadata shows.

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;

use crate::engine::{Answer, Wrong};
use crate::http::body::{receive, require_json};
use crate::http::conditional::WriteCondition;
use crate::http::json::{Object, Shown, write_config};
use crate::http::pairs::Pairs;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::routes::{Call, Scope, json};
use crate::pubsub::{NodeConfig, NodeId, RawField, Refusal, Verb};

pub(super) async fn show(call: &Call, node: NodeId) -> Result<Response, Problem> {
    Query::parse(call.parts.uri.query(), &[])?;
    if call.covers(Scope::Manage, &node) {
        match call.ask(Verb::Configuration { node: node.clone() }).await {
            Ok(answered) => {
                let Answer::Configuration { node: found, collections, children } = &answered.answer else {
                    return Err(Problem::internal("a configuration was answered with something else"));
                };
                let related = [("collection", &**collections), ("children", &**children)];
                return Ok(call.mark(rendered(&node, &found.config, Shown::All, &related), answered.at));
            }
            // Not an owner: the metadata is what is left, if the token covers that.
            Err(Wrong::Refused(Refusal::Forbidden)) => {}
            Err(wrong) => return Err(wrong.into()),
        }
    }
    call.require(Scope::Read, &node)?;
    let answered = call.ask(Verb::Metadata { node }).await?;
    let Answer::Metadata { node, .. } = &answered.answer else {
        return Err(Problem::internal("metadata was answered with something else"));
    };
    Ok(call.mark(rendered(&node.address.node, &node.config, Shown::Metadata, &[]), answered.at))
}

pub(super) async fn patch(call: &Call, node: NodeId, body: Body) -> Result<Response, Problem> {
    Query::parse(call.parts.uri.query(), &[])?;
    WriteCondition::refuse(&call.parts.headers)?;
    call.require(Scope::Manage, &node)?;
    require_json(&call.parts.headers, "application/json, application/merge-patch+json")?;
    let (config, place) =
        Pairs::read(&receive(&call.door, &call.parts.headers, body).await?.bytes)?.into_fields(&node)?;
    configure(call, node, config, place).await
}

/// Sets the fields that are named, and answers with the whole. Faults are told within the place of the body where the
/// fields stood.
pub(super) async fn configure(
    call: &Call,
    node: NodeId,
    config: Vec<RawField>,
    place: &str,
) -> Result<Response, Problem> {
    let asked = call.ask(Verb::Configure { node: node.clone(), config }).await;
    asked.map_err(|wrong| Problem::from(wrong).within(place))?;
    let answered = call.ask(Verb::Configuration { node: node.clone() }).await?;
    match &answered.answer {
        Answer::Configuration { node: found, collections, children } => {
            let related = [("collection", &**collections), ("children", &**children)];
            Ok(call.mark(rendered(&node, &found.config, Shown::All, &related), answered.at))
        }
        _ => Err(Problem::internal("a configuration was answered with something else")),
    }
}

/// Where a node stands among collections is told where it does.
fn rendered(node: &NodeId, config: &NodeConfig, fields: Shown, related: &[(&str, &[NodeId])]) -> Response {
    let mut out = Vec::with_capacity(512);
    let mut object = Object::begin(&mut out);
    object.text("node", node.as_str());
    let mut shown = object.object("config");
    write_config(&mut shown, config, fields);
    for (name, nodes) in related.iter().filter(|(_, nodes)| !nodes.is_empty()) {
        let mut names = shown.array(name);
        nodes.iter().for_each(|node| names.text(node.as_str()));
        names.end();
    }
    shown.end();
    object.end();
    json(StatusCode::OK, out)
}
